//! Sftp: the few requests of the file transfer protocol that reading takes.
//!
//! By hand, because what is read is hostile: the libraries at hand refuse a whole folder for one name
//! that is not UTF-8, and read a listing without end into memory. Only requests that read exist here.
//! Source: draft-ietf-secsh-filexfer-02 (version 3, what OpenSSH speaks).

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const INIT: u8 = 1;
const VERSION: u8 = 2;
const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const READ: u8 = 5;
const LSTAT: u8 = 7;
const FSTAT: u8 = 8;
const OPENDIR: u8 = 11;
const READDIR: u8 = 12;
const STAT: u8 = 17;
const READLINK: u8 = 19;
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;
const NAME: u8 = 104;
const ATTRS: u8 = 105;

const EOF: u32 = 1;
const NO_SUCH_FILE: u32 = 2;
const PERMISSION_DENIED: u32 = 3;

/// Bytes of one packet from the other side. OpenSSH sends at most 256 KiB.
const PACKET: u32 = 1 << 20;

/// Bytes asked for at once: what every server answers in one packet.
pub(crate) const READ_BYTES: u32 = 32 << 10;

/// How long a single answer may take before the host counts as gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// Questions that wait for an answer.
#[derive(Default)]
struct Questions {
    asked: HashMap<u32, Sender<Vec<u8>>>,
    /// The connection is gone: nobody will answer any more.
    ended: bool,
}

type Waiting = Arc<Mutex<Questions>>;

/// A conversation with an SFTP server; many threads may ask at once.
pub(crate) struct Sftp {
    to: Mutex<Box<dyn Write + Send>>,
    waiting: Waiting,
    next: AtomicU32,
}

/// What is recorded about a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) size: u64,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u32,
    pub(crate) mtime: u32,
}

/// Names in a folder, with what is recorded about each.
type Names = Vec<(Vec<u8>, Attributes)>;

/// An answer that is still to come.
pub(crate) struct Pending(Receiver<Vec<u8>>, Waiting);

impl Sftp {
    /// Agrees on the version and starts to sort answers.
    pub(crate) fn new(to: impl Write + Send + 'static, mut from: impl Read + Send + 'static) -> io::Result<Self> {
        let mut to: Box<dyn Write + Send> = Box::new(to);
        send(&mut *to, INIT, &3_u32.to_be_bytes())?;
        let answer = receive(&mut from)?;
        match answer.split_first() {
            Some((&VERSION, version)) if version.len() >= 4 => {}
            _ => return Err(bad("the answer is not that of an SFTP server")),
        }
        let waiting: Waiting = Arc::default();
        let sorter = Arc::clone(&waiting);
        // Ends with the connection.
        std::thread::spawn(move || {
            while let Ok(packet) = receive(&mut from) {
                let Some(id) = packet.get(1..5).and_then(|id| id.try_into().ok()).map(u32::from_be_bytes) else {
                    break;
                };
                // An answer to a question that nobody asked is dropped.
                if let Some(asker) = lock(&sorter).asked.remove(&id) {
                    let _ = asker.send(packet);
                }
            }
            let mut questions = lock(&sorter);
            questions.ended = true;
            questions.asked.clear();
        });
        Ok(Self { to: Mutex::new(to), waiting, next: AtomicU32::new(0) })
    }

    fn ask(&self, kind: u8, body: &[&[u8]]) -> io::Result<Pending> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = channel();
        let mut questions = lock(&self.waiting);
        if questions.ended {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the connection ended"));
        }
        questions.asked.insert(id, sender);
        drop(questions);
        let mut packet = id.to_be_bytes().to_vec();
        body.iter().for_each(|part| packet.extend_from_slice(part));
        send(&mut *self.to.lock().unwrap_or_else(PoisonError::into_inner), kind, &packet)?;
        Ok(Pending(receiver, Arc::clone(&self.waiting)))
    }

    /// Opens a file for reading; gives its handle.
    pub(crate) fn open(&self, path: &[u8]) -> io::Result<Vec<u8>> {
        self.ask(OPEN, &[&string(path), &1_u32.to_be_bytes(), &0_u32.to_be_bytes()])?.handle()
    }

    pub(crate) fn open_folder(&self, path: &[u8]) -> io::Result<Vec<u8>> {
        self.ask(OPENDIR, &[&string(path)])?.handle()
    }

    /// Asks to close a handle. The answer is not waited for: there is nothing to do about it.
    pub(crate) fn close(&self, handle: &[u8]) {
        drop(self.ask(CLOSE, &[&string(handle)]));
    }

    /// Asks for bytes of an open file.
    pub(crate) fn read(&self, handle: &[u8], offset: u64, count: u32) -> io::Result<Pending> {
        self.ask(READ, &[&string(handle), &offset.to_be_bytes(), &count.to_be_bytes()])
    }

    /// Reads a file without a size of its own to its end, or until more than `limit` bytes are there. What came before
    /// an error stays in `text`.
    pub(crate) fn read_text(&self, path: &[u8], limit: usize, text: &mut Vec<u8>) -> io::Result<()> {
        let handle = self.open(path)?;
        let mut read = Ok(());
        while text.len() <= limit {
            match self.read(&handle, text.len() as u64, READ_BYTES).and_then(Pending::data) {
                Ok(Some(more)) if !more.is_empty() => text.extend_from_slice(&more),
                Ok(_) => break,
                Err(error) => {
                    read = Err(error);
                    break;
                }
            }
        }
        self.close(&handle);
        read
    }

    pub(crate) fn lstat(&self, path: &[u8]) -> io::Result<Attributes> {
        self.ask(LSTAT, &[&string(path)])?.attributes()
    }

    pub(crate) fn stat(&self, path: &[u8]) -> io::Result<Attributes> {
        self.ask(STAT, &[&string(path)])?.attributes()
    }

    pub(crate) fn fstat(&self, handle: &[u8]) -> io::Result<Attributes> {
        self.ask(FSTAT, &[&string(handle)])?.attributes()
    }

    pub(crate) fn read_link(&self, path: &[u8]) -> io::Result<Vec<u8>> {
        self.ask_link(path)?.link()
    }

    /// Asks where a link leads.
    pub(crate) fn ask_link(&self, path: &[u8]) -> io::Result<Pending> {
        self.ask(READLINK, &[&string(path)])
    }

    /// Some more names of an open folder; `None` at its end.
    pub(crate) fn more_names(&self, handle: &[u8]) -> io::Result<Option<Names>> {
        self.ask(READDIR, &[&string(handle)])?.names()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pending {
    /// The kind of the answer and what follows the id.
    fn wait(self) -> io::Result<(u8, Vec<u8>)> {
        match self.0.recv_timeout(PATIENCE) {
            Ok(packet) => Ok((packet[0], packet[5..].to_vec())),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                // It counts as gone: a host that takes a minute for every answer would take days.
                let mut questions = lock(&self.1);
                questions.ended = true;
                questions.asked.clear();
                Err(io::Error::new(io::ErrorKind::TimedOut, "the host did not answer for a minute"))
            }
            Err(_) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the connection ended")),
        }
    }

    fn handle(self) -> io::Result<Vec<u8>> {
        match self.wait()? {
            (HANDLE, body) => Ok(Fields(&body).string()?.to_vec()),
            (kind, body) => Err(refusal(kind, &body)),
        }
    }

    fn attributes(self) -> io::Result<Attributes> {
        match self.wait()? {
            (ATTRS, body) => Fields(&body).attributes(),
            (kind, body) => Err(refusal(kind, &body)),
        }
    }

    /// Bytes of a file; `None` at its end.
    pub(crate) fn data(self) -> io::Result<Option<Vec<u8>>> {
        match self.wait()? {
            (DATA, body) => Ok(Some(Fields(&body).string()?.to_vec())),
            (STATUS, body) if status(&body) == Some(EOF) => Ok(None),
            (kind, body) => Err(refusal(kind, &body)),
        }
    }

    /// Where a link leads.
    pub(crate) fn link(self) -> io::Result<Vec<u8>> {
        let mut names = self.names()?.unwrap_or_default();
        names.pop().map(|(name, _)| name).ok_or_else(|| bad("a link without a target"))
    }

    fn names(self) -> io::Result<Option<Names>> {
        let body = match self.wait()? {
            (NAME, body) => body,
            (STATUS, body) if status(&body) == Some(EOF) => return Ok(None),
            (kind, body) => return Err(refusal(kind, &body)),
        };
        let mut fields = Fields(&body);
        let count = fields.number()?;
        let mut names = Vec::new();
        // Each takes at least twelve bytes of a packet whose length is bounded.
        for _ in 0..count {
            let name = fields.string()?.to_vec();
            fields.string()?;
            names.push((name, fields.attributes()?));
        }
        Ok(Some(names))
    }
}

/// Fields of a packet, from front to back.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count).ok_or_else(|| bad("a packet is shorter than it says"))?;
        self.0 = rest;
        Ok(head)
    }

    fn number(&mut self) -> io::Result<u32> {
        Ok(self.take(4)?.try_into().map(u32::from_be_bytes).unwrap_or_default())
    }

    fn string(&mut self) -> io::Result<&'a [u8]> {
        let length = self.number()? as usize;
        self.take(length)
    }

    fn attributes(&mut self) -> io::Result<Attributes> {
        let flags = self.number()?;
        let mut out = Attributes::default();
        if flags & 1 != 0 {
            out.size = (u64::from(self.number()?) << 32) | u64::from(self.number()?);
        }
        if flags & 2 != 0 {
            (out.uid, out.gid) = (self.number()?, self.number()?);
        }
        if flags & 4 != 0 {
            out.mode = self.number()?;
        }
        if flags & 8 != 0 {
            self.number()?;
            out.mtime = self.number()?;
        }
        if flags & 0x8000_0000 != 0 {
            for _ in 0..self.number()? {
                self.string()?;
                self.string()?;
            }
        }
        Ok(out)
    }
}

fn status(body: &[u8]) -> Option<u32> {
    Fields(body).number().ok()
}

/// What an answer means that is not the one asked for.
fn refusal(kind: u8, body: &[u8]) -> io::Error {
    if kind != STATUS {
        return bad("an answer to another question");
    }
    let mut fields = Fields(body);
    let code = fields.number().unwrap_or(0);
    let text = fields.string().map(directive::text::escape).unwrap_or_default();
    let kind = match code {
        NO_SUCH_FILE => io::ErrorKind::NotFound,
        PERMISSION_DENIED => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, if text.is_empty() { format!("the host refused with code {code}") } else { text })
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

fn send(to: &mut dyn Write, kind: u8, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len() + 1).map_err(|_| bad("a path of four gigabytes"))?;
    to.write_all(&[&length.to_be_bytes()[..], &[kind], body].concat())?;
    to.flush()
}

/// One packet: its kind and what follows.
fn receive(from: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length == 0 || length > PACKET {
        return Err(bad("a packet of a length that no server sends"));
    }
    let mut packet = vec![0; length as usize];
    from.read_exact(&mut packet)?;
    if packet[0] != VERSION && packet.len() < 5 {
        return Err(bad("a packet without an id"));
    }
    Ok(packet)
}

/// Takes bytes for what a server said and reads every packet of them in every way.
#[cfg(fuzzing)]
pub(crate) fn read_all(mut bytes: &[u8]) {
    while let Ok(packet) = receive(&mut bytes) {
        let pending = || {
            let (sender, receiver) = channel();
            let _ = sender.send([packet.as_slice(), &[0; 5]].concat());
            Pending(receiver, Waiting::default())
        };
        let _ = (pending().names(), pending().attributes(), pending().data(), pending().handle());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(bytes: &[u8]) -> io::Result<Attributes> {
        Fields(bytes).attributes()
    }

    #[test]
    fn a_question_after_the_end_of_the_connection_is_answered_at_once() {
        let sftp = Sftp::new(io::sink(), &[0, 0, 0, 5, VERSION, 0, 0, 0, 3][..]).unwrap();
        while !lock(&sftp.waiting).ended {
            std::thread::yield_now();
        }
        assert_eq!(sftp.stat(b"/").unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }

    #[test]
    fn attributes_are_read_and_short_ones_are_refused() {
        let bytes = [0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0x81, 0xed, 0, 0, 0, 1, 0, 0, 0, 2];
        let read = attributes(&bytes).unwrap();
        assert_eq!((read.size, read.mode, read.mtime), (9, 0o100_755, 2));
        assert!(attributes(&bytes[..20]).is_err());
    }

    #[test]
    fn a_server_that_is_none_is_told() {
        let banner = &b"Welcome to the appliance! Type help."[..];
        assert!(Sftp::new(io::sink(), banner).is_err());
        assert!(Sftp::new(io::sink(), &[0, 0, 0, 5, 9, 0, 0, 0, 3][..]).is_err());
    }

    #[test]
    fn a_packet_of_four_gigabytes_is_refused_before_it_is_read() {
        assert!(receive(&mut &b"\xff\xff\xff\xff"[..]).is_err());
        assert!(receive(&mut &[0, 0, 0, 1, 104][..]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_packet_makes_us_panic(kind: u8, body: Vec<u8>) {
            let pending = || {
                let (sender, receiver) = channel();
                let packet = [&[kind][..], &[0, 0, 0, 1], &body].concat();
                sender.send(packet).unwrap();
                Pending(receiver, Waiting::default())
            };
            let _ = (pending().names(), pending().attributes(), pending().data(), pending().handle());
        }
    }
}
