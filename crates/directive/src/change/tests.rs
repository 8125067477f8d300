//! Tests: is a change approved only as the file that a person has seen?

use super::*;

fn change() -> Change {
    Change {
        v: VERSION,
        title: "Block two paths".into(),
        notes: vec!["It ends after 30 days.".into()],
        made: at("2021-04-21T13:00:00Z"),
        expires: Some(at("2021-05-21T13:00:00Z")),
        every: Some("24h".into()),
        from: Origin {
            pack: PackRef { id: "ed-99-01".into(), sha256: "00".repeat(32) },
            action: Some("2.a.ii".into()),
            workaround: Some("w1".into()),
            instance: "vpn1".into(),
        },
        target: Target { host: "local".into(), kind: Kind::Nginx, lock: Some("/etc/nginx/nginx.conf.lock".into()) },
        files: vec![FileChange {
            path: "/etc/nginx/nginx.conf".into(),
            before: Some("11".repeat(32)),
            difference: "+ include x;".into(),
            content: Some("events {}\n\"\"\"'''\\\n".into()),
            content_sha256: None,
            undo_needs: false,
        }],
        keeps: vec![Keep { what: "the old program".into(), command: vec!["tar".into(), "-cf".into(), "-".into()] }],
        checks: vec![Command::new(["nginx", "-t"])],
        runs: vec![Command::new(["nginx", "-s", "reload"])],
        undo: vec![],
        hands: vec![],
        drain: Some(Drain { pid_file: "/run/nginx.pid".into(), seconds: 2 }),
        prove: Some(Prove { at: vec!["192.0.2.7:443".into()], ..Prove::default() }),
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[track_caller]
fn refuses(change: &Change, expected: &str) {
    let said = Written::write(change).unwrap_err().to_string();
    assert!(said.contains(expected), "{said}");
}

#[test]
fn a_change_is_read_as_it_was_written() {
    let written = Written::write(&change()).unwrap();
    assert_eq!(written.change(), &change());
    assert_eq!(Written::parse("change.toml", written.bytes()).unwrap(), written);
}

#[test]
fn what_nobody_can_read_stands_there_by_its_digest_alone() {
    let mut change = change();
    let digest = "ab".repeat(32);
    change.files[0] = FileChange { content: None, content_sha256: Some(digest.clone()), ..change.files[0].clone() };
    let written = Written::write(&change).unwrap();
    assert_eq!(written.change().files[0].after(), Some(digest.clone()));
    change.files[0].content_sha256 = Some(digest.to_ascii_uppercase());
    refuses(&change, "no SHA-256 of what will stand there");
    change.files[0] = FileChange { content: Some("x".into()), content_sha256: Some(digest), ..change.files[0].clone() };
    refuses(&change, "two contents");
}

proptest::proptest! {
    #[test]
    fn a_crafted_change_is_read_or_refused(at in 0usize..2000, byte in proptest::prelude::any::<u8>()) {
        let mut bytes = Written::write(&change()).unwrap().bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Err(problems) = Written::parse("change.toml", &bytes) {
            proptest::prop_assert!(!problems.to_string().chars().any(|c| c.is_control() && c != '\n'));
        }
    }
}

#[test]
fn whoever_changes_a_byte_of_a_change_takes_its_approval_away() {
    let written = Written::write(&change()).unwrap();
    let digest = written.sha256().to_owned();
    let mut bytes = written.bytes().to_vec();
    bytes.push(b'\n');
    let other = Written::parse("change.toml", &bytes).unwrap();
    let when = at("2021-04-21T14:00:00Z");
    assert!(matches!(other.approve("J. Doe", when, &digest), Err(NotApproved::Other { .. })));
    let approved = written.approve("J. Doe", when, &digest[..12]).unwrap();
    assert_eq!((approved.who(), approved.when()), ("J. Doe", when));
}

#[test]
fn nobody_cannot_approve_and_nothing_is_approved_after_its_time_or_by_a_few_digits() {
    let written = || Written::write(&change()).unwrap();
    let digest = written().sha256().to_owned();
    let when = at("2021-04-21T14:00:00Z");
    assert_eq!(written().approve(" ", when, &digest).unwrap_err(), NotApproved::Nobody);
    assert!(matches!(written().approve("J. Doe", when, &digest[..11]), Err(NotApproved::Other { .. })));
    assert!(matches!(written().approve("J. Doe", when, ""), Err(NotApproved::Other { .. })));
    let late = written().approve("J. Doe", at("2021-05-21T13:00:00Z"), &digest);
    assert!(matches!(late, Err(NotApproved::Expired(_))));
}

#[test]
fn a_change_that_cannot_be_undone_or_writes_beside_its_target_is_refused() {
    let with = |edit: &dyn Fn(&mut Change)| {
        let mut change = change();
        edit(&mut change);
        change
    };
    refuses(&with(&|change| change.files[0].path = "/etc/nginx/../passwd".into()), "no plain absolute path");
    refuses(&with(&|change| change.files[0].path = "nginx.conf".into()), "no plain absolute path");
    refuses(&with(&|change| change.files.push(change.files[0].clone())), "a file is changed twice");
    refuses(&with(&|change| change.files[0].before = Some("zz".into())), "had no SHA-256 before");
    refuses(&with(&|change| change.files.clear()), "it cannot be undone");
    refuses(&with(&|change| change.runs = vec![Command { command: vec![] }]), "a command names no program");
    refuses(&with(&|change| change.target.host = "http://x".into()), "is no host");
    refuses(&with(&|change| change.v = 2), "this program knows 1");
    let named = |change: &mut Change| change.prove.as_mut().unwrap().at = vec!["vpn.agency.example:443".into()];
    refuses(&with(&named), "names are not resolved");
}
