//! Limits: how much may a hostile tree cost us?
//!
//! Every limit names the attack that it stops. What lies beyond a limit is an obstacle with a
//! reason, never silence.

/// Bounds on what one walk takes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Levels of folders below the root. Trees of real systems stay under 60; a tree without end
    /// costs memory for every level.
    pub depth: usize,
    /// Bytes of one path. The kernel takes 4,096 at once, but a tree walked level by level can be
    /// deeper; without a bound a path costs more than the file it names.
    pub path_bytes: usize,
    /// Apparent bytes of one file. A sparse file of exabytes costs its author nothing and would
    /// keep the hash busy for years.
    pub file_bytes: u64,
    /// Directories held open at once. The usual allowance of a process is 1,024 open files.
    pub open_directories: usize,
    /// Files that wait for a reader. Bounds memory in a folder with millions of files.
    pub waiting_files: usize,
    /// Files with several names whose digest is remembered, so that they are read once. Beyond
    /// it, such a file is read once for each of its names.
    pub hard_links: usize,
    /// Entries of one folder of a disk image. Real folders have up to some millions; a crafted one
    /// can list the same file without end.
    pub folder_entries: usize,
    /// Folders of a disk image that wait to be looked into. Those of real hosts are some thousands, since the one
    /// met last is looked into first; a crafted folder holds two million others.
    pub waiting_folders: usize,
    /// Entries of one folder that [`list`](crate::Source::list) returns.
    pub listed: usize,
    /// Members of one archive. Each takes about 80 bytes of memory beside its name, and 71 more if its
    /// digests are kept: 80 MB for all of them.
    pub archive_entries: usize,
    /// Bytes of the names of all members of one archive, with where links point, names of attributes
    /// and maps of sparse files. A member costs its author nothing once it is packed, and its name may
    /// have 64 KiB.
    pub archive_names: usize,
    /// Bytes that one archive unpacks to. A bomb of some kilobytes unpacks to exabytes; a terabyte
    /// takes about ten minutes.
    pub archive_bytes: u64,
    /// Links that are followed while one path is resolved inside the root: the kernel's own bound.
    pub links: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 4096,
            path_bytes: 64 << 10,
            file_bytes: 64 << 30,
            open_directories: 256,
            waiting_files: 4096,
            hard_links: 1 << 17,
            folder_entries: 1 << 21,
            waiting_folders: 1 << 18,
            listed: 1 << 18,
            archive_entries: 1 << 19,
            archive_names: 64 << 20,
            archive_bytes: 1 << 40,
            links: 40,
        }
    }
}
