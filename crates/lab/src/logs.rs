//! Logs: what did the synthetic instances log from February to April 2021?
//!
//! The appliance's binary form: a header of 8 KiB, then records of a length and text. Ordinary people log in and out,
//! strangers ask for the sign-in page; on the instance of the intruder there is his request, a crash, a session under
//! somebody else's name, and then records are missing as `sed` would have taken them out. Every name and address is
//! made up (RFC 5737).
//! Source: write-ups of the intrusions of 2021 on the form (docs/logs.md).

use crate::appliance::INTRUDED;

/// 1 February 2021, 00:00 UTC.
const FIRST_DAY: u64 = 1_612_137_600;
/// To 20 April 2021.
const DAYS: u64 = 79;
const DAY: u64 = 86_400;

/// Seconds before the files were changed at which the intruder's request came.
const REQUESTED_BEFORE: u64 = 20;

/// When the exercise's intruder came, as his first request tells.
pub(crate) const FIRST_SIGN: u64 = INTRUDED - REQUESTED_BEFORE;

/// Where the intruder comes from.
const INTRUDER: &str = "203.0.113.66";
/// Whose password he has.
const STOLEN: &str = "h.lindqvist";
/// What stands in the records that were taken out.
const CUT: &str = "compcheckresult.cgi";

/// People, their authentication server, and the last day on which they log in.
pub(crate) const PEOPLE: [(&str, &str, u64); 9] = [
    ("a.okafor", "System Local", DAYS),
    ("b.santos", "System Local", DAYS),
    ("c.moreau", "System Local", DAYS),
    ("d.haddad", "System Local", 30),
    ("e.novak", "System Local", DAYS),
    ("f.tanaka", "System Local", DAYS),
    ("g.keller", "System Local", 12),
    (STOLEN, "System Local", DAYS),
    ("svc-backup", "System Local", DAYS),
];

/// The administrator and the realm in which he logs in.
pub(crate) const ADMIN: (&str, &str) = ("pcsadmin", "Admin Users");

/// Days since the first on which the administrator logs in.
const ADMIN_DAYS: [u64; 4] = [3, 20, 44, 70];

/// One record before it has bytes.
struct Record {
    at: u64,
    code: &'static str,
    parameters: Vec<String>,
}

/// The three logs, by the name of their file.
pub(crate) fn all(is_intruded: bool) -> [(&'static str, Vec<u8>); 3] {
    let mut access = ordinary();
    let mut events = starts();
    if is_intruded {
        access.extend(intruder());
        events.push(record(INTRUDED, "ERR31093", ["web"]));
    }
    [("log.access.vc0", bytes(access)), ("log.admin.vc0", bytes(admin())), ("log.events.vc0", bytes(events))]
}

fn record<const N: usize>(at: u64, code: &'static str, parameters: [&str; N]) -> Record {
    Record { at, code, parameters: parameters.map(str::to_owned).into() }
}

fn ordinary() -> Vec<Record> {
    let mut records = Vec::new();
    for day in 0..DAYS {
        let midnight = FIRST_DAY + day * DAY;
        for hour in 0..24 {
            let at = midnight + hour * 3600 + 420 + day % 7 * 60;
            let stranger = format!("198.51.100.{}", 100 + (day * 7 + hour) % 100);
            records.push(record(at, "AUT31556", [&stranger, "/dana-na/auth/url_default/welcome.cgi"]));
        }
        for (n, (user, server, _)) in (0_u64..).zip(PEOPLE).filter(|(_, (_, _, until))| day < *until) {
            let is_weekend = day % 7 >= 5;
            if is_weekend && user != "svc-backup" {
                continue;
            }
            let (at, address) = (midnight + 7 * 3600 + n * 611, format!("198.51.100.{}", 10 + n));
            records.push(record(at, "AUT24326", ["Primary", user, server, &address]));
            records.push(record(at + 9 * 3600, "AUT22673", [&address, "session"]));
            if (day + n) % 11 == 0 {
                records.push(record(at - 40, "AUT24327", ["Primary", user, server, &address]));
            }
        }
    }
    records
}

fn intruder() -> Vec<Record> {
    let request = |at: u64, url: &str| record(at, "AUT31556", [INTRUDER, url]);
    let shell = format!("/dana-na/auth/{CUT}?id=exercise");
    let later = |days: u64| INTRUDED + days * DAY;
    vec![
        request(FIRST_SIGN, "/dana-ws/namedusers?exercise"),
        request(INTRUDED + 70, &shell),
        request(INTRUDED + 150, &shell),
        record(later(2), "AUT24326", ["Primary", STOLEN, "System Local", INTRUDER]),
        request(later(2) + 60, &shell),
        request(later(23), &shell),
    ]
}

fn admin() -> Vec<Record> {
    let at = |day: u64| FIRST_DAY + day * DAY + 10 * 3600;
    let login = |day: &u64| record(at(*day), "ADM22668", ["198.51.100.9", ADMIN.0, ADMIN.1]);
    ADMIN_DAYS.iter().map(login).collect()
}

fn starts() -> Vec<Record> {
    (0..DAYS).map(|day| record(FIRST_DAY + day * DAY + 1800, "SYS32087", [])).collect()
}

/// Whether the intruder took a record out.
fn is_cut(record: &Record) -> bool {
    record.parameters.iter().any(|parameter| parameter.contains(CUT))
}

/// Header and records. Where one was taken out, the length of the next went with it, as with
/// `s/.\x00[^\x00]*PATTERN[^\x00]*\x09.\x00//g`.
fn bytes(mut records: Vec<Record>) -> Vec<u8> {
    records.sort_by_key(|record| record.at);
    let mut bytes = vec![0; 8192];
    (bytes[0], bytes[4]) = (5, 1);
    let mut is_length_cut = false;
    for record in &records {
        if is_cut(record) {
            is_length_cut = true;
            continue;
        }
        let text =
            format!("{:08x}.000000\tvpn\t{}\tvc0\tRoot\t1\t{}\t", record.at, record.code, record.parameters.join("\t"));
        if !std::mem::take(&mut is_length_cut) {
            // Texts are shorter than 256 bytes.
            bytes.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
        }
        bytes.extend(text.as_bytes());
    }
    bytes
}
