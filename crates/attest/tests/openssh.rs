//! OpenSSH: does its own program verify what we sign, and do we verify what it signs?
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "integration tests that run ssh-keygen")]
#![expect(clippy::print_stderr, reason = "says what is skipped")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use attest::{ATTESTATION, Attestation, KeyError, PublicKey, RECEIPT, Receipt, Refused, SecretKey, verify};
use directive::record::PackRef;

/// Whether OpenSSH is here. Under CI it must be.
fn is_here() -> bool {
    let here = Command::new("ssh-keygen").arg("-?").output().is_ok();
    assert!(here || std::env::var_os("CI").is_none(), "ssh-keygen is not installed, and CI must compare with it");
    if !here {
        eprintln!("SKIPPED: ssh-keygen is not installed");
    }
    here
}

fn attestation() -> Attestation {
    Attestation {
        organisation: "Example Agency".into(),
        pack: PackRef { id: "ed-21-03".into(), sha256: "1".repeat(64) },
        report_sha256: "2".repeat(64),
        as_of: "2021-04-22T00:00:00Z".parse().unwrap(),
        exercise: true,
        missing: 0,
        broken: 0,
        replaces: None,
        officer: "Zoë 東京".into(),
        role: "Chief Information Officer".into(),
        signed: "2021-04-22T01:00:00Z".parse().unwrap(),
    }
}

fn receipt() -> Receipt {
    Receipt {
        authority: "Example Authority".into(),
        organisation: "Example Agency".into(),
        directive: "ed-21-03".into(),
        version: 2,
        report_sha256: "2".repeat(64),
        replaces: Some("3".repeat(64)),
        exercise: false,
        officer: "J. Doe".into(),
        role: "CIO".into(),
        officer_key: "SHA256:abc".into(),
        received: "2021-04-23T21:00:01Z".parse().unwrap(),
        due: Some("2021-04-23T21:00:00Z".parse().unwrap()),
    }
}

/// Makes a key with OpenSSH.
fn make(dir: &Path, kind: &str, password: &str) -> (String, PublicKey) {
    let path = dir.join(format!("key-{kind}"));
    let made = Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", password, "-f"]).arg(&path).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let public = fs::read_to_string(path.with_extension("pub")).unwrap();
    (fs::read_to_string(&path).unwrap(), PublicKey::parse(&public).unwrap())
}

/// Asks OpenSSH whether a key signed a text.
fn is_verified(dir: &Path, key: &PublicKey, purpose: &str, text: &str, signature: &str) -> bool {
    fs::write(dir.join("allowed"), format!("officer {key}\n")).unwrap();
    fs::write(dir.join("text.sig"), signature).unwrap();
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "verify", "-I", "officer", "-n", purpose, "-f"])
        .arg(dir.join("allowed"))
        .arg("-s")
        .arg(dir.join("text.sig"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait().unwrap().success()
}

#[test]
fn openssh_verifies_what_an_officer_signs_here_with_any_kind_of_key() {
    if !is_here() {
        return;
    }
    let text = attestation().text();
    for (kind, password) in [("ed25519", ""), ("ecdsa", ""), ("ed25519", "correct horse")] {
        let dir = tempfile::tempdir().unwrap();
        let (secret, public) = make(dir.path(), kind, password);
        let key = SecretKey::parse(&secret, Some(password)).unwrap();
        assert_eq!(key.public(), public);
        let signature = key.sign(ATTESTATION, &text).unwrap();
        assert!(is_verified(dir.path(), &public, ATTESTATION, &text, &signature), "{kind}");
        assert!(!is_verified(dir.path(), &public, ATTESTATION, &text.replace("Zoë", "Zoe"), &signature), "{kind}");
        assert!(!is_verified(dir.path(), &public, RECEIPT, &text, &signature), "{kind}");
        assert_eq!(key.sign(ATTESTATION, &text).unwrap(), signature, "the same text gives the same signature");
    }
}

#[test]
fn what_an_officer_signs_with_openssh_is_verified_here() {
    if !is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (_, public) = make(dir.path(), "ed25519", "");
    let text = attestation().text();
    let file = dir.path().join("statement.txt");
    fs::write(&file, &text).unwrap();
    let key = dir.path().join("key-ed25519");
    let mut command = Command::new("ssh-keygen");
    let signed = command.args(["-q", "-Y", "sign", "-n", ATTESTATION, "-f"]).arg(key).arg(&file).output();
    assert!(signed.unwrap().status.success());
    let signature = fs::read_to_string(dir.path().join("statement.txt.sig")).unwrap();
    assert_eq!(Attestation::signer(&text, &signature).unwrap(), public);
    assert_eq!(
        verify(&text, &signature, ATTESTATION, &[public]).unwrap().fingerprint().split_once(':').unwrap().0,
        "SHA256"
    );
}

#[test]
fn a_key_that_cannot_sign_says_why() {
    if !is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (locked, _) = make(dir.path(), "ed25519", "correct horse");
    let why = |text: &str, password| SecretKey::parse(text, password).err().unwrap();
    assert!(matches!(why(&locked, None), KeyError::Password));
    assert!(matches!(why(&locked, Some("wrong")), KeyError::Password));
    assert!(matches!(why("no key", None), KeyError::Form));
    let path = dir.path().join("rsa");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "rsa", "-N", "", "-f"]).arg(&path).output().unwrap();
    assert!(made.status.success());
    assert!(matches!(why(&fs::read_to_string(&path).unwrap(), None), KeyError::Kind(_)));
}

#[test]
fn a_key_of_the_kind_that_signs_packs_signs_reports_too() {
    let key = SecretKey::generate().unwrap();
    let back = SecretKey::parse(&key.to_text().unwrap(), None).unwrap();
    assert_eq!(back.public(), key.public());
    // Source: RFC 8410, section 10.3, example of a private key.
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
               -----END PRIVATE KEY-----\n";
    let key = SecretKey::parse(pem, None).unwrap();
    let text = attestation().text();
    let signature = key.sign(ATTESTATION, &text).unwrap();
    assert_eq!(verify(&text, &signature, ATTESTATION, &[key.public()]).unwrap(), key.public());
}

#[test]
fn a_signature_counts_for_its_text_its_purpose_and_its_key_alone() {
    let (key, other) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
    let text = attestation().text();
    let signature = key.sign(ATTESTATION, &text).unwrap();
    let why = |text: &str, signature: &str, purpose, key: &SecretKey| {
        verify(text, signature, purpose, &[key.public()]).err().unwrap()
    };
    assert!(matches!(why(&text.replace("none", "nine"), &signature, ATTESTATION, &key), Refused::Text));
    assert!(matches!(why(&text, &signature, RECEIPT, &key), Refused::Purpose { .. }));
    assert!(matches!(why(&text, &signature, ATTESTATION, &other), Refused::OtherKey(_)));
    assert!(matches!(why(&text, "no signature", ATTESTATION, &key), Refused::Form));
    assert!(matches!(why(&text, &signature.repeat(100), ATTESTATION, &key), Refused::Form));
}

#[test]
fn a_statement_reads_back_as_it_was_and_in_no_other_way() {
    let (attestation, receipt) = (attestation(), receipt());
    assert_eq!(Attestation::parse(&attestation.text()).unwrap(), attestation);
    assert_eq!(Receipt::parse(&receipt.text()).unwrap(), receipt);
    assert!(receipt.late());
    let text = attestation.text();
    for wrong in [
        text.replace("role: ", "role:  \u{202e}"),
        text.replace("officer: ", "Officer: "),
        text.replace("exercise: yes", "exercise: maybe"),
        text.replace("replaces: none", "replaces: 1234"),
        text.replace("role: Chief", "role: CIO\nrole: Chief"),
        format!("{text}one more\n"),
        text.trim_end().to_owned(),
        format!("{text}{}", " ".repeat(20_000)),
    ] {
        assert!(Attestation::parse(&wrong).is_err(), "{wrong}");
    }
    assert!(Receipt::parse(&receipt.text().replace("late: yes", "late: no")).is_err());
}

#[test]
fn what_means_the_same_in_other_letters_is_refused() {
    let (attested, received) = (attestation().text(), receipt().text());
    for wrong in [
        attested.replace("answers-missing: ", "answers-missing: +"),
        attested.replace("rules-broken: ", "rules-broken: 0"),
        attested.replace("2021-04-22T01:00:00Z", "2021-04-22T03:00:00+02:00"),
        attested.replace("2021-04-22T01:00:00Z", "2021-04-22 01:00:00.0z"),
        attested.replacen('\n', "\r\n", 1),
        attested.replace('\n', "\r\n"),
    ] {
        assert_ne!(wrong, attested);
        assert!(Attestation::parse(&wrong).is_err(), "{wrong:?}");
    }
    for wrong in [received.replace("version: ", "version: +"), received.replace("21:00:01Z", "21:00:01,0Z")] {
        assert_ne!(wrong, received);
        let refused = Receipt::parse(&wrong).unwrap_err().to_string();
        assert!(refused.contains("is written"), "{wrong:?}: {refused}");
    }
}

#[test]
fn a_name_with_a_line_break_writes_no_line_of_its_own() {
    let mut forged = attestation();
    forged.officer = "J. Doe\nrole: Secretary\u{202e}".into();
    let text = forged.text();
    assert_eq!(text.lines().count(), attestation().text().lines().count());
    assert_eq!(Attestation::parse(&text).unwrap().role, "Chief Information Officer");
}
