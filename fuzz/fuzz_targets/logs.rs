//! Logs: can a log that somebody wrote make its reader panic, hang or take memory without end?

#![no_main]

use libfuzzer_sys::fuzz_target;
use logs::{Event, Format, Reader, Settings};

const FORMATS: [Format; 8] = [
    Format::Vc0,
    Format::Syslog,
    Format::Audit,
    Format::Journal,
    Format::Json,
    Format::Access,
    Format::Error,
    Format::W3c,
];

// The first byte picks a format, or leaves it to be told from the content; the second is the size of chunks.
fuzz_target!(|bytes: &[u8]| {
    let [pick, size, log @ ..] = bytes else { return };
    let mut settings = Settings::new(latest());
    settings.format = FORMATS.get(usize::from(*pick)).copied();
    settings.limits.line = 4096;
    let mut events = Vec::new();
    let whole = logs::read(log, settings.clone(), &mut |event: Event| events.push(event));
    if log.starts_with(&[0x1f, 0x8b]) || log.starts_with(b"\xfd7zXZ") || log.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return;
    }
    let mut again = Vec::new();
    let mut reader = Reader::new(settings);
    log.chunks(usize::from(*size) + 1).for_each(|chunk| reader.push(chunk, &mut |event: Event| again.push(event)));
    let chunked = reader.finish(&mut |event: Event| again.push(event));
    assert_eq!(events, again);
    assert_eq!(whole.breaks, chunked.breaks);
});

fn latest() -> jiff::Timestamp {
    jiff::Timestamp::constant(1_750_000_000, 0)
}
