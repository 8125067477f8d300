//! Which files does this disk image hold?
//!
//! Three layers, each behind one narrow door: a *container* ([`container`]: raw, qcow2, vmdk, vhdx)
//! gives bytes at offsets ([`ReadAt`]); *volumes* ([`volume`]: partitions, LVM, RAID-1 members,
//! LUKS) are ranges of them; a *file system* ([`filesystem`]) names files in a volume and reads them.
//!
//! Everything in an image may be crafted. Nothing here opens a file by itself, panics, loops without
//! end or allocates by a size that the image claims. What cannot be read is an error with a reason
//! for that one file, folder or volume, never silence and never somebody else's bytes.
//!
//! No kernel mount and no helper machine: a mounted hostile file system is parsed in the kernel.

pub mod container;
mod field;
pub mod filesystem;
mod joined;
mod read_at;
pub mod volume;

pub use read_at::{Memory, ReadAt, Slice};
