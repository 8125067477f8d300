//! Tuf: which bytes has a repository signed, and are they current?
//!
//! A directive changed eleven times in a day, so that whoever follows one must know that it is authentic and the
//! latest. The Update Framework answers both: roles with keys of their own sign each other's versions, digests and
//! dates, and the root, whose keys lie in a safe, says whose keys count. Nothing that a repository offers is taken
//! before it was judged; each attack is refused by an error of its own ([`Refused`]).
//! The library for Rust (`tough`) is not used: it verifies what it wrote anew from its own types instead of the bytes
//! that were signed, refuses keys with fields that it does not know, and has no succinct roles.
//! Source: The Update Framework Specification 1.0.34; its clause numbers stand in the code.

#[cfg(test)]
mod attacks;
pub mod client;
mod delegation;
mod error;
mod key;
mod metadata;
pub mod packs;
pub mod publish;
mod role;
pub mod secret;
pub mod source;
mod store;
mod trusted;

pub use error::{Error, Refused};
