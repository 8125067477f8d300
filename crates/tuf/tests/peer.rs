//! The peer to agree with: `securesystemslib`, on which the reference implementation stands.
//!
//! It signs repositories with keys of every kind that the client reads, and verifies what we publish. Runs where it is
//! installed; elsewhere it is skipped with a word, and fails under `CI`.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr, reason = "runs the peer")]

use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use tuf::client::{Client, Limits, init};
use tuf::packs::published;
use tuf::publish::{Expires, Repository, Roles};
use tuf::secret::SecretKey;
use tuf::source::Folder;

/// Debian's Python, which has Debian's packages.
const PYTHON: &str = "/usr/bin/python3";

/// Signs a repository: each role by two keys of other kinds, with fields that nobody knows, and a role for some paths.
/// `argv[1]` is the folder.
const SIGN: &str = r#"
import hashlib, json, os, sys
import securesystemslib.formats as formats, securesystemslib.keys as keys
out = sys.argv[1]
kinds = [keys.generate_rsa_key, keys.generate_ecdsa_key, keys.generate_ed25519_key]
role_keys = {}
for n, role in enumerate(["root", "timestamp", "snapshot", "targets", "delegated"]):
    role_keys[role] = [kinds[n % 3](), kinds[(n + 1) % 3]()]
def public(key):
    # The way in which keys are written down, with a field of somebody's own.
    return {"keytype": key["keytype"], "scheme": key["scheme"], "keyval": {"public": key["keyval"]["public"]},
            "x-owner": "Zoë \"desk\" \\ 1"}
def signers(role):
    return {"keyids": [key["keyid"] for key in role_keys[role]], "threshold": 2}
def head(kind):
    return {"_type": kind, "spec_version": "1.0.0", "version": 1, "expires": "2030-01-01T00:00:00Z",
            "x-note": [1, None, "é\n"]}
def write(name, role, signed):
    data = formats.encode_canonical(signed).encode()
    signatures = [keys.create_signature(key, data) for key in role_keys[role]]
    whole = json.dumps({"signatures": signatures, "signed": signed}, indent=1).encode()
    os.makedirs(os.path.join(out, "metadata"), exist_ok=True)
    open(os.path.join(out, "metadata", name), "wb").write(whole)
    return {"version": 1, "length": len(whole), "hashes": {"sha512": hashlib.sha512(whole).hexdigest()}}
def target(path, data):
    digest = hashlib.sha256(data).hexdigest()
    folder, name = os.path.split(path)
    os.makedirs(os.path.join(out, "targets", folder), exist_ok=True)
    open(os.path.join(out, "targets", folder, digest + "." + name), "wb").write(data)
    return {"length": len(data), "hashes": {"sha256": digest}}
top = ["root", "timestamp", "snapshot", "targets"]
all_keys = {key["keyid"]: public(key) for role in top for key in role_keys[role]}
root = dict(head("root"), consistent_snapshot=True, keys=all_keys, roles={role: signers(role) for role in top})
write("1.root.json", "root", root)
delegated = dict(head("targets"), targets={"vendor/manifest": target("vendor/manifest", b"by the vendor")})
listed = {"delegated.json": write("1.delegated.json", "delegated", delegated)}
delegation = {"keys": {key["keyid"]: public(key) for key in role_keys["delegated"]},
              "roles": [dict(signers("delegated"), name="delegated", terminating=False, paths=["vendor/*"])]}
targets = dict(head("targets"), targets={"note.txt": target("note.txt", b"hello")}, delegations=delegation)
listed["targets.json"] = write("1.targets.json", "targets", targets)
meta = write("1.snapshot.json", "snapshot", dict(head("snapshot"), meta=listed))
write("timestamp.json", "timestamp", dict(head("timestamp"), meta={"snapshot.json": meta}))
"#;

/// Verifies every signature of a repository, and that keys are called as they must be. Prints how many there are.
const VERIFY: &str = r#"
import glob, hashlib, json, os, sys
import securesystemslib.formats as formats, securesystemslib.keys as keys
root = json.load(open(os.path.join(sys.argv[1], "metadata", "1.root.json")))
known = root["signed"]["keys"]
for keyid, key in known.items():
    assert hashlib.sha256(formats.encode_canonical(key).encode()).hexdigest() == keyid
count = 0
for name in sorted(glob.glob(os.path.join(sys.argv[1], "metadata", "*.json"))):
    whole = json.load(open(name))
    data = formats.encode_canonical(whole["signed"]).encode()
    for signature in whole["signatures"]:
        key = dict(known[signature["keyid"]], keyid=signature["keyid"])
        assert keys.verify_signature(key, signature, data), name
        count += 1
print(count)
"#;

/// Runs a script of the peer over a folder; `None` where it is not installed.
fn peer(script: &str, folder: &Path) -> Option<String> {
    let is_here = Command::new(PYTHON).args(["-c", "import securesystemslib.keys, nacl, cryptography"]).output();
    let is_here = is_here.is_ok_and(|output| output.status.success());
    assert!(is_here || std::env::var_os("CI").is_none(), "the peer is not installed, and CI must compare with it");
    if !is_here {
        eprintln!("SKIPPED: `apt-get install python3-securesystemslib python3-cryptography python3-nacl` to compare");
        return None;
    }
    let output = Command::new(PYTHON).args(["-W", "ignore", "-c", script]).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn what_others_sign_with_keys_of_every_kind_is_read_and_no_changed_byte_is() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_) = peer(SIGN, dir.path()) else { return };
    let (metadata, targets) = (dir.path().join("metadata"), Folder::new(dir.path().join("targets")));
    let (store, now) = (dir.path().join("store"), at("2026-01-01T00:00:00Z"));
    init(&store, &std::fs::read(metadata.join("1.root.json")).unwrap(), now).unwrap();
    let source = Folder::new(&metadata);
    let mut client = Client::refresh(&source, &store, now, Limits::default()).unwrap();
    assert_eq!(client.read(&targets, "note.txt").unwrap(), b"hello");
    assert_eq!(client.read(&targets, "vendor/manifest").unwrap(), b"by the vendor");
    // One letter in what each role says, and nobody's signature holds.
    for name in ["1.root.json", "timestamp.json"] {
        let text = std::fs::read_to_string(metadata.join(name)).unwrap();
        let other = text.replacen("2030-01-01", "2031-01-01", 1);
        assert_ne!(text, other);
        std::fs::write(metadata.join(name), &other).unwrap();
        let store = dir.path().join(format!("store-{name}"));
        let result = init(&store, &std::fs::read(metadata.join("1.root.json")).unwrap(), now)
            .and_then(|()| Client::refresh(&source, &store, now, Limits::default()).map(drop));
        assert!(result.unwrap_err().to_string().contains("signed by 0 of the keys that count"));
        std::fs::write(metadata.join(name), &text).unwrap();
    }
}

#[test]
fn what_we_publish_is_verified_by_others() {
    let dir = tempfile::tempdir().unwrap();
    let now = at("2026-01-01T00:00:00Z");
    let keys: Vec<SecretKey> = (0..3).map(|_| SecretKey::generate().unwrap()).collect();
    let public: Vec<_> = keys.iter().map(SecretKey::public).collect();
    let roles =
        Roles { root: public[..2].to_vec(), root_threshold: 2, online: public[2..].to_vec(), online_threshold: 1 };
    let repository = Repository::new(dir.path());
    repository.sign_root(&roles, &keys[..2], at("2027-01-01T00:00:00Z"), now).unwrap();
    let files = [("directive.toml".to_owned(), "id = \"ü\"\n".into())].into_iter().collect();
    let soon = at("2026-01-03T00:00:00Z");
    let expires = Expires { targets: soon, snapshot: soon, timestamp: soon };
    repository.publish(published("ed-1", &files), &keys[2..], expires, now).unwrap();
    let Some(count) = peer(VERIFY, dir.path()) else { return };
    assert_eq!(count.trim(), "5", "two of the root, one of each other role");
}
