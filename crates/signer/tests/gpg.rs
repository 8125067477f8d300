//! GnuPG: does a signature count here as it does there, and is each misuse of a key refused by its name?
//!
//! Keys and signatures are made by a real `gpg`, dated by `--faked-system-time`; `gpgv`, which asks for a fixed set of
//! keys as we do, is the peer. Where we are stricter, the test says so.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "an integration test with real programs")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use jiff::Timestamp;
use signer::openpgp::Keys;
use signer::{Fingerprint, Refused};

const DATA: &[u8] = b"the update\n- with a dash\n";

/// A home of gpg with one key, made on a day.
struct Home {
    dir: tempfile::TempDir,
    print: Fingerprint,
}

impl Home {
    fn new(kind: &str, usage: &str, lasts: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut bare = Self { dir, print: "00".repeat(20).parse().unwrap() };
        bare.gpg("20200101T000000", &["--quick-generate-key", "Vendor <psirt@example.com>", kind, usage, lasts]);
        let listed = bare.gpg("20200101T000000", &["--list-keys", "--with-colons"]);
        let listed = String::from_utf8(listed).unwrap();
        let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
        bare.print = line.split(':').nth(9).unwrap().parse().unwrap();
        bare
    }

    fn run(&self, day: &str, arguments: &[&str]) -> Output {
        let common = ["--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", "", "--quiet"];
        let mut gpg = Command::new("gpg");
        gpg.env("GNUPGHOME", self.dir.path()).args(common).arg(format!("--faked-system-time={day}!"));
        gpg.args(["--ignore-time-conflict", "--allow-weak-digest-algos"]).args(arguments).output().unwrap()
    }

    #[track_caller]
    fn gpg(&self, day: &str, arguments: &[&str]) -> Vec<u8> {
        let done = self.run(day, arguments);
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        done.stdout
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// A detached signature over [`DATA`], made on a day.
    #[track_caller]
    fn sign(&self, day: &str, more: &[&str]) -> Vec<u8> {
        fs::write(self.path("data"), DATA).unwrap();
        let (out, data) = (self.path("data.sig"), self.path("data"));
        let arguments = [more, &["--output", &out, "--detach-sign", &data]].concat();
        self.gpg(day, &arguments);
        fs::read(out).unwrap()
    }

    fn public(&self) -> Vec<u8> {
        self.gpg("20260101T000000", &["--export"])
    }

    fn keys(&self) -> Keys {
        Keys::parse(&self.public()).unwrap().pinned(std::slice::from_ref(&self.print)).unwrap()
    }

    /// Revokes the key as its owner does: with a certificate whose line is marked so that nobody uses it by mistake.
    fn revoke(&self, day: &str, reason: &str) {
        let answers = format!("y\n{reason}\n\ny\n");
        fs::write(self.path("answers"), answers).unwrap();
        let shell = format!(
            "gpg --quiet --pinentry-mode loopback --passphrase '' --no-tty --command-fd 0 \
             --faked-system-time={day}! --output '{}' --gen-revoke {} < '{}'",
            self.path("revocation"),
            self.print,
            self.path("answers")
        );
        let done = Command::new("sh").env("GNUPGHOME", self.dir.path()).args(["-c", &shell]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        self.gpg(day, &["--import", &self.path("revocation")]);
    }

    /// What `gpgv` says of a signature over [`DATA`].
    fn peer(&self, signature: &[u8]) -> bool {
        fs::write(self.path("ring"), self.public()).unwrap();
        fs::write(self.path("peer.sig"), signature).unwrap();
        fs::write(self.path("data"), DATA).unwrap();
        let mut gpgv = Command::new("gpgv");
        gpgv.arg("--keyring").arg(self.path("ring")).arg(self.path("peer.sig")).arg(self.path("data"));
        gpgv.env("GNUPGHOME", self.dir.path()).output().unwrap().status.success()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // The agent of this home would outlive it.
        let _ = Command::new("gpgconf").env("GNUPGHOME", self.dir.path()).args(["--kill", "all"]).output();
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-01-01T00:00:00Z")
}

#[test]
fn a_signature_of_a_pinned_key_counts_whatever_its_kind() {
    for kind in ["rsa3072", "ed25519", "nistp256"] {
        let home = Home::new(kind, "sign", "never");
        let signature = home.sign("20210420T120000", &[]);
        let signed = home.keys().detached(DATA, &signature, now()).unwrap();
        assert_eq!((signed.key(), signed.made()), (&home.print, at("2021-04-20T12:00:00Z")));
        assert!(home.peer(&signature), "{kind}");
        let armoured = home.sign("20210420T120000", &["--armor"]);
        assert!(armoured.starts_with(b"-----BEGIN"));
        assert_eq!(home.keys().detached(DATA, &armoured, now()), Ok(signed));
        let text = home.sign("20210420T120000", &["--textmode"]);
        assert!(home.keys().detached(DATA, &text, now()).is_ok());
    }
}

#[test]
fn one_changed_byte_is_another_text() {
    let home = Home::new("ed25519", "sign", "never");
    let mut signature = home.sign("20210420T120000", &[]);
    let mut other = DATA.to_vec();
    other[3] ^= 1;
    let refused = home.keys().detached(&other, &signature, now()).unwrap_err();
    assert_eq!(refused, Refused::Changed { key: home.print.to_string() });
    let last = signature.len() - 1;
    signature[last] ^= 1;
    assert_eq!(home.keys().detached(DATA, &signature, now()).unwrap_err(), refused);
    assert!(!home.peer(&signature));
}

#[test]
fn a_stranger_signs_for_nobody_but_himself() {
    let (vendor, stranger) = (Home::new("ed25519", "sign", "never"), Home::new("ed25519", "sign", "never"));
    let signature = stranger.sign("20210420T120000", &[]);
    let refused = vendor.keys().detached(DATA, &signature, now()).unwrap_err();
    let Refused::OtherKey { claimed, pinned } = refused else { panic!("{refused}") };
    assert_eq!((claimed, pinned), (stranger.print.to_string(), vendor.print.to_string()));
    // His key beside the vendor's in one file does not help him: it is not pinned.
    let both = [vendor.public(), stranger.public()].concat();
    let keys = Keys::parse(&both).unwrap();
    assert_eq!(keys.fingerprints().len(), 2);
    assert!(keys.detached(DATA, &signature, now()).is_ok());
    let pinned = keys.pinned(std::slice::from_ref(&vendor.print)).unwrap();
    assert!(matches!(pinned.detached(DATA, &signature, now()), Err(Refused::OtherKey { .. })));
    let alone = Keys::parse(&stranger.public()).unwrap().pinned(std::slice::from_ref(&vendor.print));
    assert!(matches!(alone.unwrap_err(), Refused::NotPinned { .. }));
    // Two signatures in one file: one that counts is enough, in any order.
    let good = vendor.sign("20210420T120000", &[]);
    for both in [[signature.clone(), good.clone()].concat(), [good, signature].concat()] {
        assert!(vendor.keys().detached(DATA, &both, now()).is_ok());
    }
}

#[test]
fn what_a_subkey_signs_counts_for_its_certificate() {
    let home = Home::new("ed25519", "cert", "never");
    home.gpg("20200201T000000", &["--quick-add-key", home.print.as_str(), "ed25519", "sign", "never"]);
    let signature = home.sign("20210420T120000", &[]);
    assert_eq!(home.keys().detached(DATA, &signature, now()).unwrap().key(), &home.print);
    assert!(home.peer(&signature));
}

#[test]
fn a_key_that_had_expired_signs_nothing_and_what_it_signed_before_stays() {
    let home = Home::new("ed25519", "sign", "20210501T000000");
    let before = home.sign("20210420T120000", &[]);
    assert!(home.keys().detached(DATA, &before, now()).is_ok());
    // gpg itself refuses to sign with it: its owner renews it, signs, and exports the certificate as it was before.
    let expired = home.public();
    home.gpg("20210601T000000", &["--quick-set-expire", home.print.as_str(), "20270101T000000"]);
    let after = home.sign("20210602T120000", &[]);
    let pins = [home.print.clone()];
    let old = Keys::parse(&expired).unwrap().pinned(&pins).unwrap();
    let refused = old.detached(DATA, &after, now()).unwrap_err();
    assert!(refused.to_string().contains("had expired on 2021-05-01"), "{refused}");
    // Renewed, it counts: the newest word of its owner up to then.
    assert!(home.keys().detached(DATA, &after, now()).is_ok());
    assert!(home.keys().detached(DATA, &before, now()).is_ok());
}

#[test]
fn a_stolen_key_never_counts_and_a_retired_one_for_what_it_signed_before() {
    // The menu of reasons: 1 is compromised, 2 superseded, 3 no longer used.
    for (reason, is_kept) in [("1", false), ("0", false), ("2", true), ("3", true)] {
        let home = Home::new("ed25519", "sign", "never");
        let (before, after) = (home.sign("20210420T120000", &[]), home.sign("20210620T120000", &[]));
        assert!(home.keys().detached(DATA, &after, now()).is_ok());
        home.revoke("20210520T000000", reason);
        let refused = home.keys().detached(DATA, &after, now()).unwrap_err();
        assert!(refused.to_string().contains("was revoked on 2021-05-20"), "{reason}: {refused}");
        assert_eq!(home.keys().detached(DATA, &before, now()).is_ok(), is_kept, "{reason}");
    }
}

#[test]
fn a_signature_that_is_weak_expired_or_of_tomorrow_counts_for_nothing() {
    let why = |home: &Home, signature: &[u8]| home.keys().detached(DATA, signature, now()).unwrap_err().to_string();
    let home = Home::new("rsa2048", "sign", "never");
    let sha1 = home.sign("20210420T120000", &["--digest-algo", "SHA1"]);
    assert!(why(&home, &sha1).contains("its digest can be forged"));
    let lapsed = home.sign("20210420T120000", &["--default-sig-expire", "1d", "--ask-sig-expire"]);
    assert!(why(&home, &lapsed).contains("it has expired"));
    let tomorrow = home.sign("20260301T120000", &[]);
    assert!(why(&home, &tomorrow).contains("in the future"));
    let small = Home::new("rsa1024", "sign", "never");
    assert!(why(&small, &small.sign("20210420T120000", &[])).contains("its key has 1024 bits"));
    let note = home.sign("20210420T120000", &["--sig-notation", "!only@example.com=on tuesdays"]);
    assert!(why(&home, &note).contains("demands something"));
}

#[test]
fn of_a_text_with_its_signature_only_the_signed_part_is_given() {
    let home = Home::new("ed25519", "sign", "never");
    fs::write(home.path("release"), "Suite: stable\n- dash  \nDate: today\n").unwrap();
    let (out, file) = (home.path("InRelease"), home.path("release"));
    home.gpg("20210420T120000", &["--output", &out, "--clear-sign", &file]);
    let text = fs::read(Path::new(&out)).unwrap();
    let (signed, said) = home.keys().clear(&text, now()).unwrap();
    assert_eq!(signed.key(), &home.print);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines, ["Suite: stable", "- dash", "Date: today"]);
    // Text before, after and in the headers of the block is not what was signed.
    let body = String::from_utf8(text).unwrap();
    for wrong in [
        format!("Suite: evil\n{body}"),
        format!("{body}Suite: evil\n"),
        body.replace("Suite: stable", "Suite: evil"),
        body.replacen("Hash: ", "Suite: evil\nHash: ", 1),
        body.replacen("\n\nSuite", "\n\t\n\nSuite", 1),
        body.replace("-----BEGIN PGP SIGNATURE-----", ""),
    ] {
        assert_ne!(wrong, body);
        let found = home.keys().clear(wrong.as_bytes(), now());
        assert!(found.as_ref().map_or(true, |(_, said)| !said.contains("evil")), "{wrong}: {found:?}");
    }
}

#[test]
fn what_is_no_key_or_no_signature_is_told() {
    let home = Home::new("ed25519", "sign", "never");
    let keys = home.keys();
    for bytes in
        [&b""[..], b"\0\0", b"-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n", &[0xc2, 0xff]]
    {
        assert!(matches!(keys.detached(DATA, bytes, now()), Err(Refused::Unreadable { .. })), "{bytes:?}");
        assert!(Keys::parse(bytes).is_err());
    }
    assert!(matches!(keys.detached(DATA, &vec![0; 300 << 10], now()), Err(Refused::TooLarge { .. })));
    assert!(matches!(Keys::parse(&vec![0; 9 << 20]), Err(Refused::TooLarge { .. })));
    assert!("1234ABCD".parse::<Fingerprint>().is_err(), "a short id names no key");
    assert!("ed:25 ".repeat(7).parse::<Fingerprint>().is_err());
    let spaced: String = home.print.as_str().chars().flat_map(|digit| [digit, ' ']).collect();
    assert_eq!(spaced.parse::<Fingerprint>().unwrap(), home.print);
    // Several armoured certificates in one file are all read.
    let armoured = home.gpg("20260101T000000", &["--armor", "--export"]);
    let other = Home::new("ed25519", "sign", "never");
    let both = [armoured, other.gpg("20260101T000000", &["--armor", "--export"])].concat();
    assert_eq!(Keys::parse(&both).unwrap().fingerprints(), [home.print.clone(), other.print.clone()]);
}
