//! What is the next step, and who runs it?
//!
//! Asks [`directive::plan`] what is owed, gives each step that waits for nobody to its room, appends
//! what the room says to the case in one transaction, and asks again. Kill it anywhere and start
//! again: the same plan comes back, minus what is recorded.
//! Never holds state that is not in the case; never reads a clock.

pub mod fingerprints;
mod inputs;
pub mod manifests;
mod open;
mod rooms;
mod run;

pub use inputs::{Given, Inputs};
pub use open::{Error as OpenError, Runs, open, runs};
pub use run::{Ended, Error, Responder, Watch};
