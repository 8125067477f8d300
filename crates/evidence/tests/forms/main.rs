//! Evidence in every form: does an archive or an image hand over the same files as the folder it was made of?
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests build evidence with real programs")]

mod archives;
mod hostile_tar;
mod hostile_zip;
mod met;
