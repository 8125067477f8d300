//! Filesystem: does a mount hold files of this instance, or something else?
//!
//! File systems that the kernel makes up have no files to compare and may act when read; those of
//! another machine are not this instance's and may hang for ever.
//! Source: `statfs(2)`, `linux/magic.h`.

use crate::source::ObstacleKind;

/// Kinds of file system that are not walked below the root.
const FOREIGN: &[(u64, &str, ObstacleKind)] = &[
    (0x9fa0, "proc", ObstacleKind::PseudoFilesystem),
    (0x6265_6572, "sysfs", ObstacleKind::PseudoFilesystem),
    (0x0027_e0eb, "cgroup", ObstacleKind::PseudoFilesystem),
    (0x6367_7270, "cgroup2", ObstacleKind::PseudoFilesystem),
    (0x6462_6720, "debugfs", ObstacleKind::PseudoFilesystem),
    (0x7472_6163, "tracefs", ObstacleKind::PseudoFilesystem),
    (0x1cd1, "devpts", ObstacleKind::PseudoFilesystem),
    (0x1980_0202, "mqueue", ObstacleKind::PseudoFilesystem),
    (0x7363_6673, "securityfs", ObstacleKind::PseudoFilesystem),
    (0xf97c_ff8c, "selinuxfs", ObstacleKind::PseudoFilesystem),
    (0x4341_5d53, "smackfs", ObstacleKind::PseudoFilesystem),
    (0x5a3c_69f0, "apparmorfs", ObstacleKind::PseudoFilesystem),
    (0x6165_676c, "pstore", ObstacleKind::PseudoFilesystem),
    (0xde5e_81e4, "efivarfs", ObstacleKind::PseudoFilesystem),
    (0xcafe_4a11, "bpf", ObstacleKind::PseudoFilesystem),
    (0x6265_6570, "configfs", ObstacleKind::PseudoFilesystem),
    (0x4249_4e4d, "binfmt_misc", ObstacleKind::PseudoFilesystem),
    (0x6e73_6673, "nsfs", ObstacleKind::PseudoFilesystem),
    (0x5049_4d45, "pidfs", ObstacleKind::PseudoFilesystem),
    (0x0187, "autofs", ObstacleKind::PseudoFilesystem),
    (0x6573_5543, "fusectl", ObstacleKind::PseudoFilesystem),
    (0x6759_6969, "rpc_pipefs", ObstacleKind::PseudoFilesystem),
    (0x6969, "nfs", ObstacleKind::NetworkFilesystem),
    (0xff53_4d42, "cifs", ObstacleKind::NetworkFilesystem),
    (0xfe53_4d42, "smb2", ObstacleKind::NetworkFilesystem),
    (0x517b, "smb", ObstacleKind::NetworkFilesystem),
    (0x0102_1997, "9p", ObstacleKind::NetworkFilesystem),
    (0x5346_414f, "afs", ObstacleKind::NetworkFilesystem),
    (0x7375_7245, "coda", ObstacleKind::NetworkFilesystem),
    (0x00c3_6400, "ceph", ObstacleKind::NetworkFilesystem),
    (0x0bd0_0bd0, "lustre", ObstacleKind::NetworkFilesystem),
    (0x0116_1970, "gfs2", ObstacleKind::NetworkFilesystem),
    (0x7461_636f, "ocfs2", ObstacleKind::NetworkFilesystem),
    // A program answers every read of these; it may be on another machine, and it may never answer.
    (0x6573_5546, "fuse", ObstacleKind::NetworkFilesystem),
];

/// Name and kind of a file system that is not walked; `None` if it is walked.
pub(crate) fn foreign(magic: u64) -> Option<(&'static str, ObstacleKind)> {
    FOREIGN.iter().find(|(known, ..)| *known == magic).map(|(_, name, kind)| (*name, *kind))
}
