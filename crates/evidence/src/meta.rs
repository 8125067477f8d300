//! Meta: what does the file system say about an entry, before anybody reads it?
//!
//! Owner, mode, times and attributes exactly as recorded. `mtime` can be set by anybody; `ctime`
//! cannot without touching the clock or the disk, which is why both are kept.
//! Source: `statx(2)`, `xattr(7)`, `capabilities(7)` ("File capability extended attribute
//! versioning").

use directive::text::Text;
use jiff::Timestamp;
use rustix::fs::Statx;

/// What the file system records about one entry.
#[derive(Debug, Clone)]
pub struct Meta {
    /// Absolute from the evidence root.
    pub path: Text,
    /// What the entry is.
    pub kind: Kind,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Apparent size in bytes.
    pub size: u64,
    /// When the content was changed, as recorded.
    pub mtime: Time,
    /// When the entry was changed, where the form of evidence records it.
    pub ctime: Option<Time>,
    /// When the entry was made, where the file system records it.
    pub birth: Option<Time>,
    /// How many names the entry has.
    pub nlink: u64,
    /// Where a symbolic link points, as written in it.
    pub target: Option<Text>,
    /// Extended attributes of files and folders.
    pub xattrs: Vec<Xattr>,
    pub(crate) dev: u64,
    pub(crate) ino: u64,
}

impl Meta {
    /// Whether anybody may execute it.
    pub fn is_executable(&self) -> bool {
        self.kind == Kind::File && self.mode & 0o111 != 0
    }

    /// The capabilities that the file gives to whoever runs it, if it has any.
    pub fn capability(&self) -> Option<&str> {
        self.xattrs.iter().find(|xattr| xattr.name.as_bytes() == b"security.capability")?.value.as_deref()
    }

    pub(crate) fn from_statx(path: Text, stat: &Statx) -> Self {
        let time = |at: &rustix::fs::StatxTimestamp| Time { seconds: at.tv_sec, nanoseconds: at.tv_nsec };
        // Some filesystems say that they know it and give 1970: a timeline would believe that.
        let has_birth = stat.stx_mask & rustix::fs::StatxFlags::BTIME.bits() != 0 && stat.stx_btime.tv_sec != 0;
        Self {
            path,
            kind: Kind::from_mode(u32::from(stat.stx_mode)),
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            mode: u32::from(stat.stx_mode) & 0o7777,
            size: stat.stx_size,
            mtime: time(&stat.stx_mtime),
            ctime: Some(time(&stat.stx_ctime)),
            birth: has_birth.then(|| time(&stat.stx_btime)),
            nlink: u64::from(stat.stx_nlink),
            target: None,
            xattrs: Vec::new(),
            dev: (u64::from(stat.stx_dev_major) << 32) | u64::from(stat.stx_dev_minor),
            ino: stat.stx_ino,
        }
    }
}

/// A time as the file system records it; possibly one that no calendar holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970-01-01 UTC.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanoseconds: u32,
}

impl Time {
    /// The time as a point of the calendar; `None` beyond the year 9999 and before the year -9999.
    pub fn timestamp(self) -> Option<Timestamp> {
        Timestamp::new(self.seconds, i32::try_from(self.nanoseconds).ok()?).ok()
    }
}

/// One extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Xattr {
    /// Its name, `security.capability`.
    pub name: Text,
    /// For `security.capability`: the capabilities as `getcap` writes them. Other
    /// values are not read.
    pub value: Option<String>,
}

impl Xattr {
    /// An attribute of which name and value are at hand.
    pub(crate) fn of(name: &[u8], value: &[u8]) -> Self {
        let value = (name == b"security.capability").then(|| describe_capability(value));
        Self { name: Text::new(name), value }
    }
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A named pipe. Opening one can wait for ever.
    Fifo,
    /// A socket.
    Socket,
    /// A character device. Opening one can act on hardware.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// Something that this kernel names and we do not.
    Unknown,
}

impl Kind {
    pub(crate) fn from_mode(mode: u32) -> Self {
        Self::from_type(rustix::fs::FileType::from_raw_mode(mode))
    }

    pub(crate) fn from_type(kind: rustix::fs::FileType) -> Self {
        use rustix::fs::FileType;
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Folder,
            FileType::Symlink => Self::Link,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice => Self::CharacterDevice,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::Unknown => Self::Unknown,
        }
    }

    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "regular file",
            Self::Folder => "folder",
            Self::Link => "symbolic link",
            Self::Fifo => "named pipe",
            Self::Socket => "socket",
            Self::CharacterDevice => "character device",
            Self::BlockDevice => "block device",
            Self::Unknown => "entry of unknown kind",
        }
    }
}

/// The names of capabilities, by bit. Source: `linux/capability.h`, Linux 6.1.
const CAPABILITIES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// Writes a `security.capability` value as `cap_net_raw+ep`; as hex where it is not understood.
pub(crate) fn describe_capability(value: &[u8]) -> String {
    let word = |n: usize| value.get(n * 4..n * 4 + 4)?.try_into().ok().map(u32::from_le_bytes);
    let (Some(magic), Some(permitted), Some(inheritable)) = (word(0), word(1), word(2)) else {
        return directive::record::hex(value);
    };
    let wide = |low: u32, high: Option<u32>| u64::from(low) | (u64::from(high.unwrap_or(0)) << 32);
    let (permitted, inheritable) = (wide(permitted, word(3)), wide(inheritable, word(4)));
    let names = |bits: u64| {
        let name =
            |bit: usize| CAPABILITIES.get(bit).map_or_else(|| format!("cap_{bit}"), |name| format!("cap_{name}"));
        (0..64).filter(|bit| bits & (1 << bit) != 0).map(name).collect::<Vec<_>>().join(",")
    };
    let mut parts = Vec::new();
    if permitted != 0 {
        parts.push(format!("{}+{}p", names(permitted), if magic & 1 != 0 { "e" } else { "" }));
    }
    if inheritable != 0 {
        parts.push(format!("{}+i", names(inheritable)));
    }
    if parts.is_empty() { directive::record::hex(value) } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capability_of_ping_reads_as_in_getcap() {
        let value = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(describe_capability(&value), "cap_net_raw+ep");
    }

    #[test]
    fn a_capability_that_no_kernel_writes_is_shown_as_hex() {
        assert_eq!(describe_capability(b"\x01\x02"), "0102");
    }

    proptest::proptest! {
        #[test]
        fn no_attribute_value_makes_us_panic(value: Vec<u8>) {
            let _ = describe_capability(&value);
        }
    }
}
