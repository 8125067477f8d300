//! Csaf: which advisories does a provider publish, and are they his?
//!
//! Vendors publish advisories as CSAF documents, listed by feeds and folders that anybody who holds the server can
//! change. So nothing is believed for being listed: a document counts when its digest is the one beside it and a key
//! that the operator pinned signed it ([`Verified`]), and whatever does not is told by name as a gap. What was left out
//! of a list can be seen only for documents that are known already. Only hosts are asked that the operator named, and
//! only what is public (TLP:WHITE). Bounds on everything that comes. Serves ED 21-03 action 3. Source: Common Security
//! Advisory Framework 2.0, OASIS Standard, section 7; RFC 8322 (ROLIE).

mod address;
mod document;
pub mod list;
mod look;
pub mod metadata;
mod place;

pub use address::{Address, Fence};
pub use document::Verified;
pub use look::{Ask, Known, Limits, Seen, look};
pub use place::{Error, Folder, Http, Place};
