//! Filesystem: which files are in this volume, and what are their bytes?

mod attributes;
mod bytes;
mod cache;
mod calendar;
mod checksum;
mod ext;
mod fat;
mod iso;
mod overlay;
mod runs;
mod squashfs;
mod utf16;
mod xfs;

use std::io;
use std::sync::Arc;

use crate::ReadAt;

/// A node's number in its file system.
pub type Id = u64;

/// A file system, open for reading by many threads at once.
///
/// In a crafted image folders may hold themselves, and a file may have a million names: whoever walks
/// one remembers the folders that were entered, and stops at a depth.
pub trait FileSystem: Send + Sync {
    /// `ext2`, `ext3`, `ext4`, `xfs`, `squashfs`, `vfat`, `iso9660`.
    fn kind(&self) -> &'static str;

    /// The label, as bytes.
    fn label(&self) -> Option<Vec<u8>>;

    /// The identifier that an fstab uses (`UUID=`), lower case.
    fn uuid(&self) -> Option<String>;

    /// What about the whole file system was not as it should be: an unclean journal that was
    /// replayed, features that were passed over. For the reader of a report.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }

    /// The root folder.
    fn root(&self) -> Id;

    /// What is recorded about a node.
    ///
    /// # Errors
    ///
    /// [`Error`] if the node is damaged.
    fn node(&self, id: Id) -> Result<Node, Error>;

    /// Hands each entry of a folder to `each` until that returns false. `.` and `..` are left out.
    ///
    /// # Errors
    ///
    /// [`Error`] if the folder is damaged; entries before the damage were handed over.
    fn list(&self, folder: Id, each: &mut dyn FnMut(Listed) -> bool) -> Result<(), Error>;

    /// Where a symbolic link points, as written. At most 64 KiB.
    ///
    /// # Errors
    ///
    /// [`Error`] if it is no link or damaged.
    fn link_target(&self, id: Id) -> Result<Vec<u8>, Error>;

    /// Opens a regular file, to be read from front to back.
    ///
    /// # Errors
    ///
    /// [`Error`] if it is no regular file or damaged.
    fn open<'a>(&'a self, id: Id) -> Result<Box<dyn Content + 'a>, Error>;

    /// How many files are best read at once, if that is not one for each core: a file system behind a
    /// slow link.
    fn readers(&self) -> Option<std::num::NonZeroUsize> {
        None
    }

    /// Where on the volume the file's first bytes lie, for reading in disk order; zero if unknown.
    fn place(&self, id: Id) -> u64 {
        let _ = id;
        0
    }
}

/// The bytes of one file, from front to back.
pub trait Content: Send {
    /// Reads on. Zero means the end, and comes exactly after [`Node::size`] bytes.
    ///
    /// # Errors
    ///
    /// [`Error`] if the next bytes cannot be read: nothing is filled in for them.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error>;
}

/// One entry of a folder.
#[derive(Debug, Clone)]
pub struct Listed {
    /// As recorded: any bytes, possibly with slashes or zeros if the image is crafted.
    pub name: Vec<u8>,
    /// Which node it names.
    pub id: Id,
}

/// What a file system records about a node.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// Type and permission bits as in `st_mode`.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// How many names it has.
    pub links: u64,
    /// When the content was changed: seconds since 1970 and nanoseconds, always below a billion. XFS and
    /// ext reach from 1901 to 2486; a crafted FAT or ISO time is the nearest date.
    pub mtime: (i64, u32),
    /// When the node was changed, where recorded.
    pub ctime: Option<(i64, u32)>,
    /// When the node was made, where recorded.
    pub birth: Option<(i64, u32)>,
    /// Extended attributes: full name (`security.capability`) and value.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Why something in a file system cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes below could not be read.
    #[error("the volume cannot be read")]
    Io(#[from] io::Error),
    /// Damaged or crafted.
    #[error("damaged: {0}")]
    Damaged(String),
    /// Sound, and not read here: encrypted files, features of later versions.
    #[error("not read: {0}")]
    NotRead(String),
    /// It changed while it was read; only where the file system is in use.
    #[error("changed: {0}")]
    Changed(String),
    /// Another file system stands here that holds no files of the instance.
    #[error("a file system of kind {kind} is mounted here")]
    Foreign {
        /// Its kind, as the instance calls it.
        kind: String,
        /// Whether it lies on another machine.
        is_network: bool,
    },
}

/// Opens the file system of a volume, told by its magic numbers. `Ok(None)` if there is none that is
/// known: an empty or foreign volume.
///
/// # Errors
///
/// [`Error`] if there is one that is damaged or not read.
pub fn open(volume: Arc<dyn ReadAt>) -> Result<Option<Arc<dyn FileSystem>>, Error> {
    if ext::is_here(&*volume) {
        return Ok(Some(Arc::new(ext::open(volume)?)));
    }
    if xfs::is_here(&*volume) {
        return Ok(Some(Arc::new(xfs::open(volume)?)));
    }
    if squashfs::is_here(&*volume) {
        return Ok(Some(Arc::new(squashfs::open(volume)?)));
    }
    if iso::is_here(&*volume) {
        return Ok(Some(Arc::new(iso::open(volume)?)));
    }
    // Last, since it has no magic number.
    Ok(fat::open(volume)?.map(|fat| Arc::new(fat) as Arc<dyn FileSystem>))
}
