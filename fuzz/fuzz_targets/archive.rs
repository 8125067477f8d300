//! Archive: can a tar or a zip make its reader panic, hang, take memory without end or say nothing?

#![no_main]

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};

use directive::progress::Unwatched;
use evidence::{Entry, Limits, Meta, Obstacle, Options, Source, SourceSpec, Visitor, Wants};
use libfuzzer_sys::fuzz_target;

struct Count(AtomicU64);

impl Visitor for Count {
    fn wants(&self, meta: &Meta) -> Wants {
        let wants = if meta.size % 2 == 0 { Wants::MD5 } else { Wants::SHA256 };
        wants.with_content(if meta.size % 3 == 0 { 1 << 16 } else { 0 })
    }

    fn entry(&self, entry: Entry) {
        assert!(entry.meta.path.as_bytes().starts_with(b"/"), "{:?}", entry.meta.path);
        assert!(!entry.meta.path.as_bytes().split(|byte| *byte == b'/').any(|part| part == b".."));
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn obstacle(&self, _obstacle: Obstacle) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn look(source: &dyn Source) {
    let count = Count(AtomicU64::new(0));
    source.walk(NonZeroUsize::MIN, &count).unwrap();
    for path in [&b"/a"[..], b"/b/../a", b"/etc/passwd"] {
        let _ = source.canonical_file(path);
        let _ = source.read_small(path, 1 << 16);
        let _ = source.list(path);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { archive_bytes: 16 << 20, file_bytes: 4 << 20, archive_entries: 4096, ..Limits::default() };
    let owned = bytes.to_vec();
    let again: evidence::Reopen = Box::new(move || Ok(Box::new(std::io::Cursor::new(owned.clone()))));
    if let Ok(source) = evidence::passing_tar("x", again, limits, &Unwatched) {
        look(source.as_ref());
    }
    // The form is told by the first bytes of a file: packed tars and zips come this way.
    let path = std::env::temp_dir().join(format!("portcullis-fuzz-{}.zip", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let spec: SourceSpec = path.to_str().unwrap().parse().unwrap();
    if let Ok(source) = spec.open(&Options { limits, ..Options::default() }) {
        look(source.as_ref());
    }
    let _ = std::fs::remove_file(&path);
});
