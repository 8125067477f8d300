//! Hostile: what can a log do to its reader?
//!
//! Each test is named after what an intruder, or a broken disk, may have written.

#![expect(clippy::unwrap_used, reason = "a test that cannot make its input has failed")]

use std::io::{BufReader, Read, Write};

use logs::{Event, Format, Reader, Report, Settings, Sink};

const ACCESS: &str = "203.0.113.9 - - [08/Apr/2021:11:46:32 +0000] \"GET /a HTTP/1.1\" 200 5 \"-\" \"x\"\n";

fn settings() -> Settings {
    Settings::new("2025-06-01T00:00:00Z".parse().unwrap())
}

fn read(log: impl Read) -> (Vec<Event>, Report) {
    let mut events = Vec::new();
    let report = logs::read(BufReader::new(log), settings(), &mut |event: Event| events.push(event));
    (events, report)
}

fn codes(report: &Report) -> Vec<&str> {
    report.gaps.iter().map(|gap| gap.code.as_str()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_line_of_100_mb() {
    let long = std::io::repeat(b'A').take(100 << 20);
    let (events, report) = read(ACCESS.as_bytes().chain(long).chain(&b"\n"[..]).chain(ACCESS.as_bytes()));
    assert_eq!((events.len(), report.lines, report.too_long), (2, 3, 1));
    assert_eq!(codes(&report), ["log-line-too-long", "log-lines-strange"]);
}

#[test]
fn a_journal_value_that_claims_a_terabyte() {
    let mut log = b"__REALTIME_TIMESTAMP=1617882392000000\nMESSAGE\n".to_vec();
    log.extend((1_u64 << 40).to_le_bytes());
    log.extend(b"short\n");
    let (_, report) = read(&log[..]);
    assert!(codes(&report).contains(&"log-line-too-long"), "{report:?}");
}

#[test]
fn a_journal_line_longer_than_the_limit_is_the_same_in_chunks_of_any_size() {
    let long = format!("__REALTIME_TIMESTAMP=1617882392000000\n{}=x\nMESSAGE=seen\n\n", "A".repeat(9_000));
    let chunked = |size: usize| {
        let mut settings = settings();
        (settings.format, settings.limits.line) = (Some(Format::Journal), 4_096);
        let mut events = Vec::new();
        let mut reader = Reader::new(settings);
        long.as_bytes().chunks(size).for_each(|chunk| reader.push(chunk, &mut |event: Event| events.push(event)));
        let report = reader.finish(&mut |event: Event| events.push(event));
        (events, report.too_long)
    };
    let whole = chunked(long.len());
    assert_eq!((whole.0.len(), whole.1), (1, 1));
    assert_eq!(whole.0[0].message.as_bytes(), b"seen");
    for size in [1, 17, 4_095, 4_096, 4_097] {
        assert_eq!(chunked(size), whole, "{size}");
    }
}

#[test]
fn binary_in_the_middle_of_a_text_log() {
    let noise: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let log = [ACCESS.as_bytes(), &noise, b"\n", ACCESS.as_bytes()].concat();
    let (events, report) = read(&log[..]);
    assert_eq!((events.len(), report.format), (2, Some(Format::Access)));
    assert!(report.strange > 0);
}

#[test]
fn a_gzip_bomb_ends_at_its_ratio() {
    let bomb = gzip(&vec![0; 300 << 20]);
    let (_, report) = read(&bomb[..]);
    assert!(codes(&report).contains(&"log-too-large"), "{report:?}");
    assert!(report.bytes < 100 << 20, "{}", report.bytes);
}

#[test]
fn a_packed_log_that_is_cut_off_tells_what_came_before() {
    let log = ACCESS.repeat(50_000);
    let packed = gzip(log.as_bytes());
    let (events, report) = read(&packed[..packed.len() / 2]);
    assert!(events.len() > 1000 && codes(&report).contains(&"log-truncated"), "{report:?}");
}

#[test]
fn packed_members_one_behind_another_are_one_log() {
    let twice = |packed: Vec<u8>| [packed.clone(), packed].concat();
    let xz = {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
        encoder.write_all(ACCESS.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = zstd::encode_all(ACCESS.as_bytes(), 3).unwrap();
    for packed in [gzip(ACCESS.as_bytes()), xz, zstd] {
        let (events, report) = read(&twice(packed)[..]);
        assert_eq!((events.len(), codes(&report)), (2, vec![]));
    }
}

#[test]
fn a_clock_that_was_set_back_is_told() {
    let later = ACCESS.replace("11:46:32", "13:00:00");
    let (_, report) = read([later.as_bytes(), ACCESS.as_bytes()].concat().as_slice());
    assert_eq!((report.backward_count, report.backward[0].number), (1, 2));
    assert_eq!(report.first.unwrap().to_string(), "2021-04-08T11:46:32Z");
}

#[test]
fn a_file_of_more_than_a_year_without_years_is_a_gap() {
    let lines = ["Jan  3", "Dec 30", "Jan  2"].map(|day| format!("{day} 11:46:32 web sshd[1]: x\n"));
    let mut settings = settings();
    settings.latest = "2025-01-04T00:00:00Z".parse().unwrap();
    let report = logs::read(lines.concat().as_bytes(), settings, &mut |_: Event| {});
    assert_eq!(codes(&report), ["log-year-unknown"]);
}

#[test]
fn arguments_without_end_do_not_take_all_memory() {
    let mut log = String::new();
    for n in 0..300_000 {
        log.push_str(&format!("type=EXECVE msg=audit(1712576792.123:55): argc=1 a{n}=\"{}\"\n", "x".repeat(60)));
    }
    let (events, _) = read(log.as_bytes());
    assert_eq!(events.len(), 1);
    assert!(events[0].field("CommandLine").unwrap().len() < 8 << 20);
}

/// Wants the lines that hold a needle.
struct Needle(&'static [u8], Vec<Event>);

impl Sink for Needle {
    fn next(&mut self, block: &[u8]) -> Option<usize> {
        block.windows(self.0.len()).position(|bytes| bytes == self.0)
    }

    fn event(&mut self, event: Event) {
        self.1.push(event);
    }
}

#[test]
fn lines_that_nobody_wants_are_counted_and_keep_their_numbers() {
    let wanted = ACCESS.replace("/a", "/needle");
    let log = [ACCESS, ACCESS, &wanted, ACCESS, &wanted, ACCESS].concat();
    let mut sink = Needle(b"needle", Vec::new());
    let report = logs::read(log.as_bytes(), settings(), &mut sink);
    let numbers: Vec<u64> = sink.1.iter().map(|event| event.number).collect();
    assert_eq!((numbers, report.lines, report.passed, report.events), (vec![3, 5], 6, 4, 2));
    assert!(report.first.is_some() && report.strange == 0);
}

#[test]
fn passing_over_lines_makes_no_time_run_backwards() {
    let at = |minute: u32| ACCESS.replace(":46:32", &format!(":{minute:02}:32"));
    let log = [at(1), at(20), at(40).replace("/a", "/needle"), at(41), at(59)].concat();
    let mut sink = Needle(b"needle", Vec::new());
    let report = logs::read(log.as_bytes(), settings(), &mut sink);
    assert_eq!((report.backward, report.passed, sink.1[0].number), (vec![], 4, 3));
    // What lies between the first and the last of them is not read, and not claimed to be.
    let whole = logs::read(log.as_bytes(), settings(), &mut Needle(b"-", Vec::new()));
    assert_eq!((report.first, report.last), (whole.first, whole.last));
}

/// A log that mixes what real ones hold with what somebody may have put there.
fn mixed() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    use proptest::prelude::*;
    let known = prop::sample::select(vec![
        ACCESS,
        "Apr  8 11:46:32 web sshd[812]: Accepted password for root from 203.0.113.9 port 1 ssh2\n",
        "type=SYSCALL msg=audit(1712576792.123:55): uid=0 exe=\"/bin/x\"\n",
        "type=EXECVE msg=audit(1712576792.123:55): argc=1 a0=2F62\n",
        "{\"time\":\"2021-04-08T11:46:32Z\",\"user\":{\"name\":\"a\"}}\n",
        "#Fields: date time c-ip\n",
        "2021-03-03 11:46:32 203.0.113.9\n",
        "__REALTIME_TIMESTAMP=1617882392000000\nMESSAGE=x\n\n",
        "2021-04-08T11:46:32Z h PulseSecure: id=firewall time=\"2021-04-08 11:46:32\" user=a msg=\"AUT22673: x\"\n",
        "[Thu Apr 08 11:46:32.25 2021] [core:error] [client 203.0.113.9:1] x\n",
    ]);
    let known = known.prop_map(|line| line.as_bytes().to_vec());
    let line = prop_oneof![8 => known, 1 => prop::collection::vec(any::<u8>(), 0..60)];
    prop::collection::vec(line, 0..40).prop_map(|lines| lines.concat())
}

proptest::proptest! {
    #[test]
    fn the_size_of_chunks_changes_no_event(log in mixed(), size in 1..200usize) {
        let (expected, whole) = read(&log[..]);
        let mut events = Vec::new();
        let mut reader = Reader::new(settings());
        let mut take = |event: Event| events.push(event);
        log.chunks(size).for_each(|chunk| reader.push(chunk, &mut take));
        let report = reader.finish(&mut take);
        proptest::prop_assert_eq!(events, expected);
        proptest::prop_assert_eq!(report, whole);
    }

    #[test]
    fn no_bytes_make_any_reader_panic(log: Vec<u8>, pick in 0..8usize) {
        let formats = [
            Format::Vc0, Format::Syslog, Format::Audit, Format::Journal, Format::Json, Format::Access, Format::Error,
            Format::W3c,
        ];
        let mut settings = settings();
        settings.format = Some(formats[pick]);
        logs::read(&log[..], settings, &mut |_: Event| {});
    }
}
