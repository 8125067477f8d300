//! Is this instance compromised, since when, and who must change a password?
//!
//! One module per question. [`integrity`] answers the first: does every file on the instance match
//! what the vendor shipped? It holds evidence against a [`manifest`] from outside, against the
//! instance's own package database (which it never takes for more than consistent), and
//! against the product's rules for owners and modes. [`live`] adds what a running host shows beside its
//! files. [`hunt`] answers the others from rules, indicators and logs.
//!
//! Never opens a socket, changes evidence or runs anything from it.

mod apk;
mod database;
mod dpkg;
mod glob;
pub mod hunt;
pub mod integrity;
pub mod live;
pub mod manifest;
mod rpm;
mod selection;
mod timeline;
mod version;

pub use hunt::Hunt;
pub use integrity::{Baseline, Error, Outcome, Request};
pub use manifest::{Instance, Manifest, Operator};
