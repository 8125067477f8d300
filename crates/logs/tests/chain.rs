//! Chain: are records that were taken out of a binary log missed?

#![expect(clippy::unwrap_used, reason = "a test that cannot read its input has failed")]

use logs::{Event, Format, Report, Settings};
use regex::bytes::Regex;

const WHOLE: &[u8] = include_bytes!("fixtures/whole.vc0");
const HEADER: usize = 8192;

fn read(log: &[u8]) -> (Vec<Event>, Report) {
    let mut events = Vec::new();
    let mut settings = Settings::new("2025-06-01T00:00:00Z".parse().unwrap());
    settings.limits.slack = jiff::SignedDuration::ZERO;
    let report = logs::read(log, settings, &mut |event: Event| events.push(event));
    (events, report)
}

fn codes(report: &Report) -> Vec<&str> {
    report.gaps.iter().map(|gap| gap.code.as_str()).collect()
}

/// A log of records of about so many bytes, one every seven seconds.
fn log(records: u32, length: usize) -> Vec<u8> {
    let mut log = WHOLE[..HEADER].to_vec();
    for n in 0..records {
        let address = if n % 40 == 9 { "203.0.113.77" } else { "198.51.100.9" };
        let padding = "b".repeat(length - 80 + n as usize % 60);
        let time = 0x67e3_9911 + n * 7;
        let text = format!("{time:08x}.{n:06x}\tgw-1\tWEB20174\tvc0\tRoot\t1\tGET\t{padding}\t{address}\t");
        log.extend(u16::try_from(text.len()).unwrap().to_le_bytes());
        log.extend(text.as_bytes());
    }
    log
}

/// What `sed` does with an expression without `^` and `$`: line by line, and `.` is no line end.
fn sed(expression: &str, log: &[u8]) -> Vec<u8> {
    let regex = Regex::new(&format!("(?-u){expression}")).unwrap();
    let lines: Vec<_> = log.split(|byte| *byte == b'\n').map(|line| regex.replace_all(line, &b""[..])).collect();
    lines.join(&b'\n')
}

#[test]
fn a_whole_log_has_no_break() {
    let (events, report) = read(WHOLE);
    assert_eq!((events.len(), report.format), (400, Some(Format::Vc0)));
    assert_eq!((report.break_count, report.backward_count, codes(&report)), (0, 0, vec![]));
    let first = &events[0];
    assert_eq!(first.at.unwrap().to_string(), "2025-03-26T06:05:05Z");
    let actor = first.actor.as_ref().unwrap();
    assert_eq!((actor.user.as_str(), actor.realm.as_deref()), ("user0", Some("System Local")));
    assert_eq!((first.address.unwrap().to_string(), first.action), ("198.51.100.1".into(), logs::Action::Login));
}

#[test]
fn a_log_that_thinblood_went_over_is_broken_where_it_was() {
    let (events, report) = read(include_bytes!("fixtures/thinblood-sed.vc0"));
    assert_eq!((events.len(), report.break_count, codes(&report)), (390, 10, vec![]));
    let (place, behind) = (&report.breaks[0], &events[9]);
    // Nine records were read; the tenth is gone, and with it the length of the one behind.
    assert_eq!((place.number, place.lost, place.after), (9, 0, behind.at));
    let missing = place.after.unwrap().duration_since(place.before.unwrap());
    assert_eq!(missing.as_secs(), 14);
}

#[test]
fn longer_records_are_missed_just_the_same() {
    let whole = log(400, 300);
    let pattern = r"[^\x01]{1}\x01[^\x01]*203\.0\.113\.77[^\x01]*\x09[^\x01]{1}\x01";
    let wiped = sed(pattern, &whole);
    let (all, left) = (read(&whole), read(&wiped));
    assert_eq!((all.0.len(), all.1.break_count), (400, 0));
    assert_eq!((left.0.len(), left.1.break_count, codes(&left.1)), (390, 10, vec![]));
}

#[test]
fn a_length_that_lies_costs_no_event() {
    let (events, report) = read(include_bytes!("fixtures/record-length-lies.vc0"));
    let numbers: Vec<u64> = report.breaks.iter().map(|place| place.number).collect();
    assert_eq!((numbers, report.lines, events.len() as u64), (vec![10, 20], report.events, report.events));
}

#[test]
fn a_length_that_was_raised_over_other_records_hides_none_of_them() {
    let mut starts = vec![HEADER];
    while let Some(start) = starts.last().copied().filter(|start| *start < WHOLE.len()) {
        starts.push(start + 2 + usize::from(u16::from_le_bytes([WHOLE[start], WHOLE[start + 1]])));
    }
    for covered in [2, 50, 150] {
        let mut log = WHOLE.to_vec();
        let (from, to) = (starts[10], starts[10 + covered]);
        log[from..from + 2].copy_from_slice(&u16::try_from(to - from - 2).unwrap().to_le_bytes());
        let (events, report) = read(&log);
        assert_eq!((events.len(), report.break_count), (400, 1), "{covered}: {report:?}");
    }
    // The lengths of those behind it were spoilt as well.
    let mut log = WHOLE.to_vec();
    let covered = u16::try_from(starts[60] - starts[10] - 2).unwrap();
    log[starts[10]..starts[10] + 2].copy_from_slice(&covered.to_le_bytes());
    starts[11..60].iter().for_each(|start| log[*start..start + 2].fill(1));
    let (events, report) = read(&log);
    assert_eq!((events.len(), report.break_count > 0), (400, true), "{report:?}");
    // Digits over ten records make a beginning before one of them, and a length that leads to another by chance.
    let mut log = WHOLE.to_vec();
    log[17_777..17_777 + 721].fill(b'5');
    let (events, report) = read(&log);
    assert!(events.len() >= 385 && report.break_count == 1, "{} {report:?}", events.len());
}

#[test]
fn records_that_are_overwritten_are_a_break_with_their_bytes() {
    let mut log = WHOLE.to_vec();
    log[9000..9400].fill(0);
    let (_, report) = read(&log);
    assert_eq!((report.break_count, report.breaks[0].lost > 200), (1, true), "{report:?}");
}

#[test]
fn an_empty_log_of_exactly_its_header_has_no_events() {
    let (events, report) = read(&WHOLE[..HEADER]);
    assert_eq!((events.len(), report.format, codes(&report)), (0, Some(Format::Vc0), vec![]));
}

#[test]
fn a_log_whose_lengths_do_not_hold_is_read_without_inventing_breaks() {
    let (events, _) = read(WHOLE);
    // Somebody stripped the lengths: control bytes stand between records.
    let mut log = WHOLE[..HEADER].to_vec();
    let (mut at, mut count) = (HEADER, 0);
    while at < WHOLE.len() {
        let length = usize::from(u16::from_le_bytes([WHOLE[at], WHOLE[at + 1]]));
        log.extend([3, 0]);
        log.extend(&WHOLE[at + 2..at + 2 + length]);
        (at, count) = (at + 2 + length, count + 1);
    }
    let (stripped, report) = read(&log);
    assert_eq!((count, stripped.len(), report.break_count), (400, 400, 0));
    assert_eq!((codes(&report), stripped.first()), (vec!["log-chain-unproven"], events.first()));
}

#[test]
fn a_record_that_is_still_being_written_is_no_break() {
    let (_, report) = read(&WHOLE[..WHOLE.len() - 5]);
    assert_eq!((report.break_count, codes(&report)), (0, vec!["log-truncated"]));
}

#[test]
fn records_out_of_order_are_told() {
    let mut log = log(20, 200);
    let time = log.windows(8).position(|bytes| bytes == b"67e39957").unwrap();
    log[time..time + 8].copy_from_slice(b"67e38000");
    let (_, report) = read(&log);
    assert_eq!((report.backward_count, report.backward[0].number), (1, 11));
}

proptest::proptest! {
    #[test]
    fn no_damage_makes_the_reader_panic_or_lose_what_is_whole(
        at in HEADER..WHOLE.len(), length in 0..900usize, byte: u8
    ) {
        let mut log = WHOLE.to_vec();
        let end = (at + length).min(log.len());
        log[at..end].fill(byte);
        let (events, _) = read(&log);
        // Records are at least 40 bytes long: so many are hit at most, and one at either side.
        proptest::prop_assert!(events.len() >= 400 - (length / 40 + 3), "{}", events.len());
    }

    #[test]
    fn the_size_of_chunks_changes_nothing(size in 1..5000usize) {
        let (cut, lies) =
            (include_bytes!("fixtures/thinblood-sed.vc0"), include_bytes!("fixtures/record-length-lies.vc0"));
        for log in [WHOLE, cut, lies] {
            let mut events = Vec::new();
            let mut reader = logs::Reader::new(Settings::new("2025-06-01T00:00:00Z".parse().unwrap()));
            let mut take = |event: Event| events.push(event);
            log.chunks(size).for_each(|chunk| reader.push(chunk, &mut take));
            let report = reader.finish(&mut take);
            let (expected, whole) = read(log);
            proptest::prop_assert_eq!(events, expected);
            proptest::prop_assert_eq!(report.breaks, whole.breaks);
        }
    }
}
