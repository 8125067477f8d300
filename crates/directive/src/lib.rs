//! What is owed, by when, and what does a verdict oblige us to?
//!
//! The words and rules of Portcullis. Pure: no I/O, no clock, no threads, so that every answer can
//! be replayed from the records of a case.

pub mod action;
pub mod advisory;
pub mod answers;
pub mod change;
pub mod configuration;
pub mod deadline;
pub mod difference;
pub mod draft;
pub mod example;
mod filing;
pub mod form;
pub mod gate;
pub mod hunting;
mod instance;
pub mod judge;
pub mod kev;
mod ledger;
pub mod mitigation;
pub mod notice;
pub mod pack;
pub mod pattern;
pub mod plan;
pub mod playbook;
pub mod probe;
pub mod problem;
pub mod product;
pub mod progress;
pub mod record;
pub mod running;
pub mod scope;
pub mod state;
pub mod text;
mod times;
mod traces;
pub mod updating;
pub mod verdict;
pub mod version;
pub mod workaround;
pub mod workbook;
