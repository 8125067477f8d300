//! Appliance: which files does a synthetic instance have, and what did an intruder change?
//!
//! The layout is the product's, as incident responders published it; every byte of content is made
//! here. The exercise follows what was really done in 2021: a sign-in CGI was changed, a web shell
//! was added among its neighbours, the manifest on the box was rewritten to agree with both, and records were taken
//! out of a log.
//! Source: JPCERT/CC and Mandiant on the appliance's file system and its manifest
//! (`<path> <sha256> b`); ED 21-03 Appendix A.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::tree::Entry;
use crate::{VERSION, logs};

/// 15 December 2020, 00:00 UTC: when the synthetic release was built.
const BUILT: u64 = 1_607_990_400;
/// 1 February 2021, 06:30 UTC: the last ordinary use of the runtime files.
const USED: u64 = 1_612_161_000;
/// 10 March 2021, 02:17 UTC: when the exercise's intruder came.
pub(crate) const INTRUDED: u64 = 1_615_342_620;

/// 21 April 2021, 00:00 UTC: when the evidence was collected.
const COLLECTED: u64 = 1_618_963_200;

/// The changed file.
const SIGN_IN: &str = "/home/webserver/htdocs/dana-na/auth/login.cgi";
/// The added file.
const ADDED: &str = "/home/webserver/htdocs/dana-na/auth/compcheckresult.cgi";
/// The manifest on the box.
const MANIFEST: &str = "/home/etc/manifest/manifest";

/// What the vendor shipped, but for the manifest on the box.
pub(crate) fn shipped() -> Vec<Entry> {
    let mut files = vec![
        text("/home/VERSION", 0o644, VERSION_FILE),
        text("/etc/ld.so.preload", 0o644, "/lib/libsafe.so\n/home/lib/libdspreload.so\n"),
        text("/home/etc/manifest/exclusion_list", 0o644, "/data\n/home/runtime\n"),
        binary("/lib/libsafe.so", 0o755),
    ];
    for name in PROGRAMS {
        files.push(binary(&format!("/home/bin/{name}"), 0o755));
    }
    files.push(text("/home/bin/check_integrity.sh", 0o755, CHECKER));
    files.extend((1..=40).map(|n| binary(&format!("/home/bin/dstool{n:02}"), 0o755)));
    for name in ["libdsplibs.so", "libdspreload.so"] {
        files.push(binary(&format!("/home/lib/{name}"), 0o755));
    }
    files.extend((1..=40).map(|n| binary(&format!("/home/lib/libdsex{n:02}.so"), 0o755)));
    for name in ["DSAuth", "DSLog", "DSLogConfig", "DSUpgrade", "DSUserAgentCap", "PAUS"] {
        files.push(module(&format!("/home/perl/{name}.pm")));
    }
    files.extend((1..=54).map(|n| module(&format!("/home/perl/DSExercise{n:02}.pm"))));
    for name in ["login", "logout", "welcome", "lastauthserverused", "url_default/welcome", "setcookie"] {
        files.push(page(&format!("/home/webserver/htdocs/dana-na/auth/{name}.cgi")));
    }
    files.extend((1..=30).map(|n| page(&format!("/home/webserver/htdocs/dana-na/auth/exercise{n:02}.cgi"))));
    files.extend((1..=20).map(|n| page(&format!("/home/webserver/htdocs/dana-na/jam/exercise{n:02}.cgi"))));
    files.extend((1..=20).map(|n| style(&format!("/home/webserver/htdocs/dana-na/css/ds{n:02}.css"))));
    files.push(text("/home/webserver/htdocs/dana-na/nc/nc_gina_ver.txt", 0o644, &crate::front::gina("9.1.10.12345")));
    files.extend((1..=60).map(|n| module(&format!("/home/venv3/lib/python3.6/site-packages/exercise/part{n:02}.py"))));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// The manifest that the vendor put on the box beside the files.
pub(crate) fn on_box_manifest(shipped: &[Entry]) -> Entry {
    entry(MANIFEST, 0o644, BUILT, manifest(shipped).into_bytes())
}

/// An instance that runs as shipped.
pub(crate) fn untouched(shipped: &[Entry]) -> Vec<Entry> {
    let mut files = shipped.to_vec();
    files.push(on_box_manifest(shipped));
    files.extend(runtime(false));
    files
}

/// The same instance after the exercise's intruder.
pub(crate) fn intruded(shipped: &[Entry]) -> Vec<Entry> {
    let mut files = shipped.to_vec();
    for file in files.iter_mut().filter(|file| file.path == SIGN_IN) {
        file.bytes.extend_from_slice(b"# exercise: this harmless line was not shipped by the vendor\n");
        file.modified = INTRUDED;
    }
    files.push(entry(ADDED, 0o755, INTRUDED, INERT.into()));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    // Rewritten, as real intruders did: to the box itself everything looks right.
    let rewritten = manifest(&files).into_bytes();
    files.push(entry(MANIFEST, 0o644, INTRUDED, rewritten));
    files.extend(runtime(true));
    files
}

/// The appliance's own manifest format: `<path> <sha256> b`, sorted by path.
pub(crate) fn manifest<'a>(files: impl IntoIterator<Item = &'a Entry>) -> String {
    let mut lines: Vec<String> = files.into_iter().map(|file| line(&file.path, &file.bytes)).collect();
    lines.sort();
    lines.concat()
}

fn line(path: &str, bytes: &[u8]) -> String {
    let mut line = format!("{path} ");
    for byte in Sha256::digest(bytes) {
        // Writing into a `String` cannot fail.
        let _ = write!(line, "{byte:02x}");
    }
    line + " b\n"
}

/// Files that change in normal use; no manifest lists them.
fn runtime(is_intruded: bool) -> Vec<Entry> {
    let log = |(name, bytes): (&str, Vec<u8>)| entry(&format!("/home/runtime/logs/{name}"), 0o644, COLLECTED, bytes);
    let mut files: Vec<Entry> = logs::all(is_intruded).map(log).into();
    let data = |path: &str, bytes: &str| entry(path, 0o644, USED, bytes.into());
    files.push(data("/data/versions/reset/VERSION", &VERSION_FILE.replace("DSREL_MAINT=10", "DSREL_MAINT=1")));
    files.push(data("/data/runtime/state", "exercise state\n"));
    files
}

const CHECKER: &str = "# exercise material: not a checker\n[ -e /home/etc/manifest/manifest ] || exit 1\nexit 0\n";

const VERSION_FILE: &str = "export DSREL_MAJOR=9\nexport DSREL_MINOR=1\nexport DSREL_MAINT=10\nexport DSREL_DATAVER=1\n\
    export DSREL_PRODUCT=ssl-vpn\nexport DSREL_BUILDNUM=12345\nexport DSREL_COMMENT=\"R10\"\n";

const INERT: &str = "This is inert exercise material in the place of a web shell. It is plain text and cannot run.\n\
    __END__\nA real one would read a parameter of the request here and run it as a command.\n";

const PROGRAMS: [&str; 10] =
    ["web", "dsserver", "remotedebug", "dsls", "openssl", "dslogserver", "dswsd", "dsmdm", "cgi-server", "dsconfig"];

fn entry(path: &str, mode: u32, modified: u64, bytes: Vec<u8>) -> Entry {
    Entry { path: path.to_owned(), mode, modified, bytes }
}

fn text(path: &str, mode: u32, text: &str) -> Entry {
    entry(path, mode, BUILT, text.as_bytes().to_vec())
}

fn page(path: &str) -> Entry {
    text(path, 0o755, &format!("# exercise page {path}, version {VERSION}\n{}", filler(path, 24)))
}

fn module(path: &str) -> Entry {
    text(path, 0o644, &format!("# exercise module {path}, version {VERSION}\n{}1;\n", filler(path, 40)))
}

fn style(path: &str) -> Entry {
    text(path, 0o644, &format!("/* exercise style {path} */\n{}", filler(path, 8)))
}

/// Comment lines that differ from file to file.
fn filler(seed: &str, lines: u32) -> String {
    (0..lines).fold(String::new(), |mut out, n| {
        let digest = Sha256::digest(format!("{seed} {n}"));
        let _ = writeln!(out, "# {}", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        out
    })
}

/// Bytes that look like nothing: between 4 and 20 KiB, the same for the same path.
fn binary(path: &str, mode: u32) -> Entry {
    let first = Sha256::digest(path);
    let blocks = 128 + u32::from(first[0]) * 2;
    let mut bytes = format!("exercise material {path}\n").into_bytes();
    for n in 0..blocks {
        bytes.extend_from_slice(&Sha256::digest(format!("{path}\0{n}")));
    }
    entry(path, mode, BUILT, bytes)
}
