//! House: does the workspace keep its own rules?
//!
//! A crate of tests. What stands here is what they look at: the files of the workspace as they lie
//! on the disk, and what cargo says about its crates. The rules are in `tests/`, one file a question:
//!
//! - `arrows`: which crate may use which?
//! - `fences`: what can a room not do, even by mistake?
//! - `licences`: may we ship what we depend on?
//! - `tidy`: can a stranger read the file that he has just opened?
//! - `words`: does every code, dependency and crate have its place in the documents?
//!
//! A rule that a person would have to remember in a review is not a rule. A broken rule panics with
//! the place, `file:line`, and with what to do. No product crate may depend on this one.

pub mod cargo;
pub mod files;

/// Ends a test: panics with every place where a rule is broken, and with what to do about it.
///
/// # Panics
///
/// If there is any place.
pub fn none(places: impl IntoIterator<Item = String>, what_to_do: &str) {
    let places: Vec<String> = places.into_iter().collect();
    assert!(places.is_empty(), "{}\n\n{what_to_do}\n", places.join("\n"));
}
