//! Parse: what do the kernel's tables say?
//!
//! Mappings, sockets, modules and mounts, line by line. A line that is not understood is left out and
//! counted, so that the reader is told; no line can make us fail or take more memory than it has bytes.
//! Source: `proc(5)`, `Documentation/filesystems/proc.rst`.

/// A range of memory of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// The address behind the last.
    pub end: u64,
    /// Whether the process may write to it.
    pub is_writable: bool,
    /// Whether the processor may run it.
    pub is_executable: bool,
    /// Where in the file it begins.
    pub offset: u64,
    /// The inode of the file; zero where there is none.
    pub inode: u64,
    /// The file, `[heap]` and the like, or empty. Without ` (deleted)`.
    pub path: Vec<u8>,
    /// Whether the file has no name any more.
    pub is_deleted: bool,
}

impl Mapping {
    /// Whether it is memory that some file once filled.
    pub fn has_file(&self) -> bool {
        self.inode != 0 && self.path.starts_with(b"/")
    }

    /// Whether its file lives in memory alone (`memfd_create`).
    pub fn is_memfd(&self) -> bool {
        self.path.starts_with(b"/memfd:")
    }
}

/// A kind of sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names of the files in `/proc/net`")]
pub enum Table {
    Tcp,
    Tcp6,
    Udp,
    Udp6,
    Raw,
    Raw6,
    Packet,
    Unix,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Tcp, Self::Tcp6, Self::Udp, Self::Udp6, Self::Raw, Self::Raw6, Self::Packet, Self::Unix];

    /// The name of its file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tcp6 => "tcp6",
            Self::Udp => "udp",
            Self::Udp6 => "udp6",
            Self::Raw => "raw",
            Self::Raw6 => "raw6",
            Self::Packet => "packet",
            Self::Unix => "unix",
        }
    }
}

/// A socket that waits for somebody: a listener, an unconnected datagram socket, a raw or packet socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Socket {
    /// Of which kind.
    pub table: Table,
    /// `0.0.0.0:22`, a path, an `@abstract` name, or what a packet socket takes.
    pub at: Vec<u8>,
    /// What ties it to the processes that hold it.
    pub inode: u64,
}

/// A loaded module.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Module {
    /// Its name, with `_` throughout.
    pub name: Vec<u8>,
    /// `O`, `E` and the like, if it taints the kernel.
    pub taints: Vec<u8>,
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mount {
    /// Its number.
    pub id: u64,
    /// The number of the mount that it lies on.
    pub parent: u64,
    /// Which part of the file system: `/`, or the folder that was bound.
    pub root: Vec<u8>,
    /// Where.
    pub at: Vec<u8>,
    /// `ext4`, `tmpfs`.
    pub kind: Vec<u8>,
    /// The device, as it was given.
    pub from: Vec<u8>,
}

/// A number in decimal and nothing else.
pub(super) fn number<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    let digits = bytes.iter().all(u8::is_ascii_digit) && !bytes.is_empty();
    std::str::from_utf8(bytes).ok().filter(|_| digits)?.parse().ok()
}

fn hexadecimal(bytes: &[u8]) -> Option<u64> {
    let digits = bytes.iter().all(u8::is_ascii_hexdigit) && !bytes.is_empty();
    u64::from_str_radix(std::str::from_utf8(bytes).ok().filter(|_| digits)?, 16).ok()
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty())
}

/// What all lines say, and how many say nothing that is understood.
fn each<T>(text: &[u8], heading: usize, one: impl Fn(&[u8]) -> Option<T>) -> (Vec<T>, u64) {
    let mut strange = 0;
    let all = lines(text).skip(heading).filter_map(|line| {
        let said = one(line);
        strange += u64::from(said.is_none());
        said
    });
    (all.collect(), strange)
}

/// The mappings of `/proc/PID/maps`, and how many lines were not understood.
pub fn maps(text: &[u8]) -> (Vec<Mapping>, u64) {
    each(text, 0, mapping)
}

fn mapping(line: &[u8]) -> Option<Mapping> {
    let mut rest = line;
    let mut field = || {
        let start = rest.iter().position(|byte| *byte != b' ').unwrap_or(rest.len());
        let end = rest[start..].iter().position(|byte| *byte == b' ').map_or(rest.len(), |at| start + at);
        let field = &rest[start..end];
        rest = &rest[end..];
        field
    };
    let range = field();
    let dash = range.iter().position(|byte| *byte == b'-')?;
    let (start, end) = (hexadecimal(&range[..dash])?, hexadecimal(&range[dash + 1..])?);
    let rights = field();
    let offset = hexadecimal(field())?;
    let _device = field();
    let inode = number(field())?;
    let path = rest.trim_ascii_start();
    let (path, is_deleted) = match path.strip_suffix(b" (deleted)") {
        Some(path) => (path, true),
        None => (path, false),
    };
    (end > start && rights.len() == 4).then(|| Mapping {
        start,
        end,
        is_writable: rights[1] == b'w',
        is_executable: rights[2] == b'x',
        offset,
        inode,
        path: unescape(path),
        is_deleted,
    })
}

/// Turns `\040` back into what it stands for.
fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let octal = match (first, after) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
                Some((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'))
            }
            _ => None,
        };
        plain.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    plain
}

/// The sockets of one file of `/proc/net` that wait for somebody, and how many lines were not understood.
pub fn sockets(table: Table, text: &[u8]) -> (Vec<Socket>, u64) {
    let (all, strange) = each(text, 1, |line| match table {
        Table::Unix => unix(line),
        Table::Packet => packet(line),
        _ => internet(table, line),
    });
    (all.into_iter().flatten().collect(), strange)
}

/// `sl local_address rem_address st queues timer retransmits uid timeout inode ..`
fn internet(table: Table, line: &[u8]) -> Option<Option<Socket>> {
    let all: Vec<&[u8]> = fields(line).take(10).collect();
    let [_, local, remote, state, _, _, _, _, _, inode] = all[..] else { return None };
    let (at, inode) = (address(local)?, number(inode)?);
    let is_free = remote.iter().all(|byte| matches!(byte, b'0' | b':'));
    // Source: `net/tcp_states.h`: 0A is LISTEN; a datagram socket that is connected is 01.
    let waits = match table {
        Table::Tcp | Table::Tcp6 => state == b"0A",
        Table::Udp | Table::Udp6 => is_free,
        _ => true,
    };
    Some(waits.then_some(Socket { table, at, inode }))
}

/// `0100007F:0016`: groups of four bytes in the order of the processor, the port in that of the network.
fn address(field: &[u8]) -> Option<Vec<u8>> {
    let colon = field.iter().position(|byte| *byte == b':')?;
    let (host, port) = (&field[..colon], hexadecimal(&field[colon + 1..])?);
    let mut bytes = Vec::with_capacity(16);
    for group in host.chunks(8) {
        let group = u32::try_from(hexadecimal(group)?).ok()?;
        bytes.extend_from_slice(&group.to_ne_bytes());
    }
    let shown = match (<[u8; 4]>::try_from(&bytes[..]), <[u8; 16]>::try_from(&bytes[..])) {
        (Ok(four), _) => format!("{}:{port}", std::net::Ipv4Addr::from(four)),
        (_, Ok(sixteen)) => format!("[{}]:{port}", std::net::Ipv6Addr::from(sixteen)),
        _ => return None,
    };
    Some(shown.into_bytes())
}

/// `Num: RefCount Protocol Flags Type St Inode Path`
fn unix(line: &[u8]) -> Option<Option<Socket>> {
    let all: Vec<&[u8]> = fields(line).take(7).collect();
    let [_, _, _, flags, _, _, inode] = all[..] else { return None };
    let (flags, digits, inode) = (hexadecimal(flags)?, inode, number(inode)?);
    // The path is what follows the inode, with whatever spaces it has.
    let end = digits.as_ptr() as usize - line.as_ptr() as usize + digits.len();
    let at = line[end..].strip_prefix(b" ").unwrap_or_default().to_vec();
    // Source: `linux/net.h`: SO_ACCEPTCON.
    Some((flags & 0x1_0000 != 0).then_some(Socket { table: Table::Unix, at, inode }))
}

/// `sk RefCnt Type Proto Iface R Rmem User Inode`
fn packet(line: &[u8]) -> Option<Option<Socket>> {
    let all: Vec<&[u8]> = fields(line).collect();
    let [_, _, _, protocol, interface, _, _, _, inode] = all[..] else { return None };
    let (protocol, interface, inode) = (hexadecimal(protocol)?, number::<u64>(interface)?, number(inode)?);
    let at = match interface {
        0 => format!("every interface, protocol {protocol:#06x}"),
        interface => format!("interface {interface}, protocol {protocol:#06x}"),
    };
    Some(Some(Socket { table: Table::Packet, at: at.into_bytes(), inode }))
}

/// The modules of `/proc/modules`, and how many lines were not understood.
pub fn modules(text: &[u8]) -> (Vec<Module>, u64) {
    each(text, 0, |line| {
        let all: Vec<&[u8]> = fields(line).take(7).collect();
        let name = all.first()?.iter().map(|byte| if *byte == b'-' { b'_' } else { *byte }).collect();
        let taints = all.get(6).map_or_else(Vec::new, |taints| taints.trim_ascii().to_vec());
        let taints = taints.into_iter().filter(|byte| !matches!(byte, b'(' | b')')).collect();
        (all.len() >= 6).then_some(Module { name, taints })
    })
}

/// The mounts of `/proc/PID/mountinfo`, and how many lines were not understood.
pub fn mounts(text: &[u8]) -> (Vec<Mount>, u64) {
    each(text, 0, |line| {
        let mut all = fields(line);
        let (id, parent) = (number(all.next()?)?, number(all.next()?)?);
        let (root, at) = (unescape(all.nth(1)?), unescape(all.next()?));
        let mut rest = all.skip_while(|field| *field != b"-").skip(1);
        let (kind, from) = (rest.next()?.to_vec(), unescape(rest.next().unwrap_or_default()));
        Some(Mount { id, parent, root, at, kind, from })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mapping_of_a_deleted_library_with_a_space_is_read() {
        let (maps, strange) = maps(
            b"7f1c2d000000-7f1c2d021000 r-xp 00002000 fe:00 1234                       /tmp/a b.so (deleted)\n\
              7ffd0-7ffd1 rw-p 00000000 00:00 0 \nnonsense\n",
        );
        assert_eq!(strange, 1);
        assert_eq!(maps.len(), 2);
        assert_eq!((maps[0].start, maps[0].offset, maps[0].inode), (0x7f1c_2d00_0000, 0x2000, 1234));
        assert!(maps[0].is_deleted && maps[0].is_executable && !maps[0].is_writable && maps[0].has_file());
        assert_eq!(maps[0].path, b"/tmp/a b.so");
        assert!(!maps[1].has_file() && maps[1].is_writable);
    }

    #[test]
    fn a_listener_is_told_from_a_connection() {
        let text =
            b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1 0 100 0 0\n   \
            1: 0100007F:0016 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 78 1 0 20 4 30\n";
        let (found, strange) = sockets(Table::Tcp, text);
        assert_eq!((found.len(), strange), (1, 0));
        assert_eq!((&found[0].at[..], found[0].inode), (&b"127.0.0.1:22"[..], 77));
    }

    #[test]
    fn the_name_of_a_unix_socket_keeps_its_spaces() {
        let text = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 12 /run/a  b\n\
            0000000000000000: 00000002 00000000 00000000 0001 03 13\n";
        let (found, strange) = sockets(Table::Unix, text);
        assert_eq!((found.len(), strange), (1, 0));
        assert_eq!(found[0].at, b"/run/a  b");
    }

    #[test]
    fn a_bound_folder_shows_what_was_bound() {
        let (found, strange) = mounts(
            b"30 27 8:1 /srv/clean /usr/bin rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
              31 27 0:30 / /mnt/a\\040b rw - tmpfs none rw\n",
        );
        assert_eq!(strange, 0);
        assert_eq!(
            (&found[0].root[..], &found[0].at[..], &found[0].kind[..]),
            (&b"/srv/clean"[..], &b"/usr/bin"[..], &b"ext4"[..])
        );
        assert_eq!(found[1].at, b"/mnt/a b");
    }

    #[test]
    fn a_module_that_taints_says_how() {
        let (found, _) = modules(b"nf-tables 1 0 - Live 0x0\nevil 16384 0 - Live 0x0000000000000000 (OE)\n");
        assert_eq!((&found[0].name[..], &found[0].taints[..]), (&b"nf_tables"[..], &b""[..]));
        assert_eq!(found[1].taints, b"OE");
    }

    proptest! {
        #[test]
        fn no_table_makes_a_parser_fail(text in proptest::collection::vec(any::<u8>(), 0..400)) {
            maps(&text);
            modules(&text);
            mounts(&text);
            for table in Table::ALL {
                sockets(table, &text);
            }
        }

        #[test]
        fn no_line_of_fields_makes_a_parser_fail(text in "([0-9a-fA-F:\\\\/-]{0,9}[ \n]){0,40}") {
            maps(text.as_bytes());
            modules(text.as_bytes());
            mounts(text.as_bytes());
            for table in Table::ALL {
                sockets(table, text.as_bytes());
            }
        }
    }
}
