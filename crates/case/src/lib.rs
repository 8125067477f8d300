//! What happened, in which order, provably?
//!
//! A local case is a folder: `case.db` (SQLite, table `record`, one row a record, in order),
//! `evidence/` (content-addressed), `quarantine.key` (the key of what is sealed there), `head` (how many
//! records there are, and the last hash) and `lock` (one writer at a time). Records are appended in one transaction a
//! step and never changed. Never loses or reorders a record, never reads a clock, never opens a socket.
//! Source: design, words "record" and "case"; contract, "Records".

mod chain;
mod evidence;
mod sealed;
mod store;

pub use chain::{Break, Head};
pub use sealed::{KEY_FILE, Unsealed};
pub use store::{Case, Error};
