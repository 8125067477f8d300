//! Preload: which libraries are pushed into programs that did not ask for them?
//!
//! Source: `ld.so(8)`. Intruders of 2025 (SPAWNCHIMERA) put theirs into `/etc/ld.so.preload`.

use directive::record::Severity;
use directive::text::Text;
use evidence::Source as _;
use evidence::live::Running;

use super::group::{At, Groups, Shared, Who};
use super::is_anybodys;

/// Settings that make the loader take other libraries, and how much each weighs. A library path is set by
/// many healthy launchers, and changes only which library of a name is taken.
const SETTINGS: [(&str, Severity); 3] =
    [("LD_PRELOAD", Severity::Medium), ("LD_AUDIT", Severity::Medium), ("LD_LIBRARY_PATH", Severity::Low)];

/// Bytes of a value that are shown.
const SHOWN: usize = 200;

/// Bytes of `/etc/ld.so.preload`. It names some files.
const FILE_BYTES: u64 = 64 << 10;

/// What one process was started with.
pub(super) fn judge(environment: &[Vec<u8>], who: &Who, groups: &mut Groups) {
    for (name, usual) in SETTINGS {
        let values = environment.iter().filter_map(|one| one.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
        for value in values.filter(|value| !value.is_empty()) {
            let is_open = value
                .split(|byte| matches!(byte, b':' | b' ' | b';'))
                .any(|one| is_anybodys(&[one, b"/"].concat()) || is_anybodys(one));
            let (severity, where_to) = match is_open {
                true => (Severity::Medium, ", in a folder where everybody may write"),
                false => (usual, ""),
            };
            let shown = Text::excerpt(value, SHOWN).escaped();
            let why = format!("started with {name}={shown}{where_to}");
            let shared = Shared::new("process-preload", severity, At::Place(name.into()), why);
            // T1574.006: dynamic linker hijacking.
            groups.process(shared.attack("T1574.006"), who);
        }
    }
}

/// What every program of the host is given.
pub(super) fn everywhere(running: &Running, groups: &mut Groups) {
    let path = b"/etc/ld.so.preload";
    match running.files().read_small(path, FILE_BYTES) {
        Ok(None) => {}
        Ok(Some(text)) => {
            let lines = text.split(|byte| *byte == b'\n').map(|line| line.split(|byte| *byte == b'#').next());
            let words = lines.flatten().flat_map(|line| line.split(|byte| matches!(byte, b' ' | b'\t' | b':')));
            for library in words.map(<[u8]>::trim_ascii).filter(|word| !word.is_empty()) {
                let shown = Text::excerpt(library, SHOWN).escaped();
                let why = format!("the loader puts {shown} into every program of this host");
                let shared = Shared::new("process-preload", Severity::Medium, At::path(path), why);
                groups.host(shared.attack("T1574.006"));
            }
        }
        Err(error) => groups.gap("kernel-unread", "/etc/ld.so.preload", error.to_string()),
    }
}
