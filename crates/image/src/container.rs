//! Container: how does a file of a virtual machine become the bytes of its disk?
//!
//! Only the files that the caller opens are read: an image that names another one (a backing file,
//! an extent) is refused by name, unless the operator gave exactly that file.

use std::io;
use std::sync::Arc;

use crate::{ReadAt, field};

mod cache;
mod qcow2;
mod unpack;
mod vhdx;
mod vhdx_log;
mod vmdk;
mod vmdk_text;

/// Why a container cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes below could not be read.
    #[error("the image cannot be read")]
    Io(#[from] io::Error),
    /// The image is damaged, crafted, or uses what is not read.
    #[error("{format} image: {why}")]
    Refused {
        /// `qcow2`.
        format: &'static str,
        /// What is wrong, for the operator.
        why: String,
    },
}

/// How many images may stand on one another: a chain of overlays that people keep has a handful; an
/// image that names itself as its backing file would have no end.
const MAX_CHAIN: usize = 8;

/// Files that the operator named.
type Others<'a> = &'a [(String, Arc<dyn ReadAt>)];

/// Opens a container, told by its first bytes and not by its name. What has no known beginning is
/// taken as raw.
///
/// `others` are further files that the operator named (a backing file, flat extents), by the name
/// that he gave; a file is used only if an image names it by exactly that name, and no other file is
/// ever read.
///
/// # Errors
///
/// [`Error`] if it is damaged, or needs a file that was not given.
pub fn open(bytes: Arc<dyn ReadAt>, others: &[(String, Arc<dyn ReadAt>)]) -> Result<Arc<dyn ReadAt>, Error> {
    open_below(bytes, others, MAX_CHAIN)
}

fn open_below(bytes: Arc<dyn ReadAt>, others: Others<'_>, chain: usize) -> Result<Arc<dyn ReadAt>, Error> {
    let start = field::read(&*bytes, 0, crate::joined::clip(bytes.len(), 68))?;
    let begins = |magic: &[u8]| start.starts_with(magic);
    if begins(qcow2::MAGIC) {
        return qcow2::open(bytes, others, chain);
    }
    if begins(vmdk::MAGIC) {
        return vmdk::open(bytes);
    }
    if start.to_ascii_lowercase().starts_with(vmdk_text::MAGIC) {
        return vmdk::open_description(&*bytes, others);
    }
    if begins(vhdx::MAGIC) {
        return vhdx::open(bytes);
    }
    for (at, magic, format) in UNREAD {
        if start.get(at..).is_some_and(|rest| rest.starts_with(magic)) {
            let why = "this form is not read; convert it with `qemu-img convert -O raw` or its own program".into();
            return Err(Error::Refused { format, why });
        }
    }
    Ok(bytes)
}

/// Forms that would be misread as raw: offset, bytes, name.
const UNREAD: [(usize, &[u8], &str); 7] = [
    (0, b"COWD", "vmdk (ESX COWD)"),
    (0, b"QED\0", "qed"),
    (0, b"conectix", "vhd"),
    (0, b"EVF\x09\x0d\x0a\xff\x00", "EWF (E01)"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
    (64, b"\x7f\x10\xda\xbe", "vdi"),
];

/// The file that an image names, if the operator gave it.
fn named(others: Others<'_>, name: &str) -> Option<Arc<dyn ReadAt>> {
    others.iter().find(|(given, _)| given == name).map(|(_, bytes)| Arc::clone(bytes))
}
