//! What bytes are on this instance?
//!
//! Opens evidence read-only, whatever form it has, and hands every entry to a [`Visitor`]: files
//! are read exactly once, links are never followed out of the root, special files are never
//! opened. What could not be read is an [`Obstacle`], never silence.
//!
//! [`Source`] is the only door. Behind it stand a live root and a folder ([`Folder`]), tar and zip
//! archives, and disk images (through the crate `image`). A host over SSH stands behind the same trait,
//! in a crate of its own: this one opens no connection.

mod archive;
mod catalogue;
mod dir;
mod disk;
mod error;
mod file;
mod filesystem;
mod folder;
mod hash;
mod limits;
pub mod live;
mod meta;
mod path;
mod read;
mod resolve;
mod rows;
mod source;
mod spec;
mod walk;

pub use archive::Reopen;
pub use error::Error;
pub use folder::Folder;
pub use limits::Limits;
pub use meta::{Kind, Meta, Time, Xattr};
pub use path::{PathError, normalise};
pub use source::{Digests, Entry, Hides, Nature, Obstacle, ObstacleKind, ReadError, Source, Visitor, Wants};
pub use spec::{Options, SourceSpec, SpecError, of_filesystem, open, packed_tar, passing_tar, tar_in_memory};
