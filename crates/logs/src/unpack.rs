//! Unpack: how are rotated logs read as they lie?
//!
//! gzip, xz and zstd, told by their first bytes, with members one behind another. What is cut off or broken ends
//! there, with a gap; what unpacks to far more than it is, is a bomb and ends too. Memory stays bounded.
//! Source: RFC 1952, the .xz file format 1.2, RFC 8878.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use crate::reader::{Limits, Reader, Settings, Sink};
use crate::report::Report;

/// Bytes that are read at once.
const CHUNK: usize = 1 << 20;

/// Memory that an xz stream may ask for: `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 128 << 20;

/// The window that a zstd frame may ask for, as a power of two: `zstd --ultra -22` needs 128 MiB.
const ZSTD_WINDOW: u32 = 27;

/// Unpacked bytes below which no ratio is looked at.
const FREE: u64 = 64 << 20;

/// Reads a whole log, packed or not.
///
/// What cannot be read to its end is a gap of the report, never an error: what came before it counts.
pub fn read(source: impl BufRead, settings: Settings, sink: &mut dyn Sink) -> Report {
    let limits = settings.limits;
    let mut reader = Reader::new(settings);
    match unpack(source, limits, &mut |bytes| reader.push(bytes, sink)) {
        Ok(()) => {}
        Err(cut) => reader.gap(cut.code, cut.why),
    }
    reader.finish(sink)
}

/// Why a log could not be read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The code of the gap.
    pub code: &'static str,
    /// Its words.
    pub why: String,
}

impl Cut {
    fn unreadable(err: &io::Error) -> Self {
        Self { code: "log-unreadable", why: err.to_string() }
    }

    fn truncated(err: &io::Error) -> Self {
        Self { code: "log-truncated", why: format!("the packed log ends or is broken: {err}") }
    }

    fn too_large(why: String) -> Self {
        Self { code: "log-too-large", why }
    }
}

/// Hands out the bytes of a log, unpacked if it is packed.
///
/// # Errors
///
/// Why it could not be read to its end; the bytes before that were handed out.
pub fn unpack(mut source: impl BufRead, limits: Limits, take: &mut dyn FnMut(&[u8])) -> Result<(), Cut> {
    let head = source.fill_buf().map_err(|err| Cut::unreadable(&err))?;
    let magic: [u8; 6] = std::array::from_fn(|at| head.get(at).copied().unwrap_or_default());
    let packed = Rc::new(Cell::new(0));
    let counted = BufReader::with_capacity(CHUNK / 8, Counted { source, bytes: Rc::clone(&packed) });
    let mut plain: Box<dyn Read + '_> = match magic {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(counted)),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED);
            let stream = stream.map_err(|err| Cut::unreadable(&err.into()))?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(counted, stream))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = zstd::stream::read::Decoder::with_buffer(counted);
            let mut decoder = decoder.map_err(|err| Cut::unreadable(&err))?;
            decoder.window_log_max(ZSTD_WINDOW).map_err(|err| Cut::unreadable(&err))?;
            Box::new(decoder)
        }
        _ => return plain_bytes(counted, take),
    };
    let mut chunk = vec![0; CHUNK];
    let mut unpacked: u64 = 0;
    loop {
        let read = match plain.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
            Err(err) => return Err(Cut::truncated(&err)),
        };
        unpacked += read as u64;
        take(&chunk[..read]);
        if unpacked > limits.unpacked {
            return Err(Cut::too_large(format!("more than {} bytes when unpacked", limits.unpacked)));
        }
        if unpacked > FREE && unpacked / limits.ratio.max(1) > packed.get() {
            return Err(Cut::too_large(format!("unpacks to more than {} times its size", limits.ratio)));
        }
    }
}

fn plain_bytes(mut source: impl BufRead, take: &mut dyn FnMut(&[u8])) -> Result<(), Cut> {
    loop {
        let length = match source.fill_buf() {
            Ok([]) => return Ok(()),
            Ok(bytes) => {
                take(bytes);
                bytes.len()
            }
            Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
            Err(err) => return Err(Cut::unreadable(&err)),
        };
        source.consume(length);
    }
}

/// Counts what is taken from the packed side.
struct Counted<R> {
    source: R,
    bytes: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.bytes.set(self.bytes.get() + read as u64);
        Ok(read)
    }
}
