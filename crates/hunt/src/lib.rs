//! Which rules and indicators does a file or an event match?
//!
//! The engines that run rules of others: [`yara`] over bytes, [`sigma`] over events, [`indicator`] over both. Alone in
//! a crate because they are heavy. Never opens a file or a socket, and lets no rule do so.

pub mod indicator;
pub mod literals;
pub mod sigma;
pub mod yara;
