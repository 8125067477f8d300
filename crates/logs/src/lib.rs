//! What happened, as the logs of an instance tell it?
//!
//! One model of an [`Event`] for logs of every kind. [`read`] takes the bytes of one log, packed or not, tells
//! its [`Format`] from its content and hands out events; [`Reader`] does the same chunk by chunk. The [`Report`]
//! says what was read and what was not. What a line *means* is data ([`Meaning`]). Never opens a file or a
//! socket: bytes come in, events and what could not be read come out.

mod clock;
mod codes;
pub mod event;
mod format;
mod journal;
mod lines;
mod meaning;
mod reader;
mod report;
mod unpack;
mod vc0;

pub use event::{Action, Actor, Clock, Event, Source, USER_AGENTS};
pub use format::Format;
pub use meaning::Meaning;
pub use reader::{Limits, Reader, Settings, Sink};
pub use report::{Backward, ChainBreak, Report};
pub use unpack::{Cut, read, unpack};
