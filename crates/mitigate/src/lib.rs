//! How do we shut the hole now, and does it hold?
//!
//! The only crate that changes anything, and only with a [`directive::change::Approved`]: a plan that a named person
//! has read. [`plan`] makes a change and touches nothing, [`apply`] carries one out and takes it back, [`prove`] asks
//! from outside whether it holds. A workaround that was applied counts for nothing here; its proof does.
//! All that is done to a machine goes through [`hands`], all that is asked through the fence of the scope.
//! Serves ED 21-03 actions 2.a.ii and 2.b.i. Never exploits: a probe asks for a path and nothing more.

pub mod apply;
mod ask;
mod disguise;
pub mod engine;
mod fence;
pub mod hands;
pub mod plan;
pub mod prove;
pub mod quarantine;
pub mod rule;
