//! Serve: what does an authority take in, from whom, and what does it answer?
//!
//! The authority's end of `report submit`: HTTPS, one token an organisation, and a door at which a report is held
//! against the rules of the form before it is kept. What is kept is never changed: a later report is a new version that
//! names the one before. Whoever handed it in gets a receipt under the authority's key, with the authority's time on
//! it. [`client`] is the operator's end, so that both sides of the protocol stand in one place.
//! Never trusts a client's clock, name or judgement; never parses evidence; imports no room.
//! Protocol: docs/authority.openapi.json. Serves ED 21-03, required action 4.

mod app;
pub mod client;
mod door;
mod limits;
mod listen;
mod problem;
pub mod protocol;
mod store;

pub use limits::Limits;
pub use listen::{Config, Error, Server};
pub use store::{Added, Error as StoreError, Renew, Store};
