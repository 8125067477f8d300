//! Kernel: does each loaded module have a file, and does the kernel list all that it has loaded?
//!
//! A rootkit in the kernel is loaded from a file that goes away, or takes itself out of one list and
//! forgets the other.
//! Source: `Documentation/admin-guide/tainted-kernels.rst`, `modules.dep(5)`.

use std::collections::{BTreeMap, BTreeSet};

use directive::record::Severity;
use directive::text::Text;
use evidence::live::{Failure, Module, Running, modules};
use evidence::{ReadError, Source as _};

use super::group::{At, Groups, Shared};

/// Bytes of `modules.dep`. That of a distribution's kernel has about one million.
const LIST_BYTES: u64 = 64 << 20;

/// What a tainted kernel says about code that is not its maker's. Source: the page named above.
const TAINTS: [(u32, &str); 6] = [
    (1, "a module was loaded by force"),
    (3, "a module was unloaded by force"),
    (12, "a module from outside the kernel's own sources was loaded"),
    (13, "a module without a valid signature was loaded"),
    (15, "the running kernel was patched (live patch)"),
    (16, "the kernel's maker set a taint of his own"),
];

pub(super) fn look(running: &Running, groups: &mut Groups) {
    taints(running, groups);
    let listed = match listed(running) {
        Ok(listed) => listed,
        Err(failure) => {
            return groups.gap("kernel-unread", "/proc/modules", super::said(&failure));
        }
    };
    let Some(listed) = listed else {
        if loadable(running).is_empty() {
            let why = "this kernel was built without modules, or does not say which it has loaded";
            groups.remark("kernel-unread", "/proc/modules", why.into());
        } else {
            let why =
                "the kernel shows loaded modules in /sys/module and none in /proc/modules: something hides the list";
            groups.host(hidden("module", why.into()));
        }
        return;
    };
    unlisted(running, &listed, groups);
    without_file(running, &listed, groups);
}

/// The modules that the kernel lists; `None` if it has no such list.
fn listed(running: &Running) -> Result<Option<Vec<Module>>, Failure> {
    match running.kernel("proc/modules") {
        Ok(text) => Ok(Some(modules(&text).0)),
        Err(Failure::Gone) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The modules in `/sys/module` that were loaded: what is built in has no state.
fn loadable(running: &Running) -> BTreeSet<Vec<u8>> {
    let names = running.kernel_names("sys/module").unwrap_or_default();
    let was_loaded = |name: &Vec<u8>| match std::str::from_utf8(name) {
        Ok(name) => running.kernel(&format!("sys/module/{name}/initstate")).is_ok(),
        Err(_) => false,
    };
    names.into_iter().filter(was_loaded).collect()
}

fn hidden(name: &str, why: String) -> Shared {
    Shared::new("module-hidden", Severity::High, At::Place(name.into()), why).attack("T1014")
}

/// Modules that one of the kernel's two lists leaves out.
fn unlisted(running: &Running, listed: &[Module], groups: &mut Groups) {
    match running.kernel_names("sys/module") {
        Ok(names) if names.is_empty() => {
            return groups.gap("kernel-unread", "/sys/module", "it is empty: /sys is not mounted".into());
        }
        Ok(_) => {}
        Err(failure) => return groups.gap("kernel-unread", "/sys/module", super::said(&failure)),
    }
    let in_sys = loadable(running);
    // Asked again: a module may have come or gone between the two lists.
    let again = self::listed(running).ok().flatten().unwrap_or_default();
    let names = |modules: &[Module]| modules.iter().map(|module| module.name.clone()).collect::<BTreeSet<_>>();
    let (before, after) = (names(listed), names(&again));
    let plain = |name: &[u8]| -> Vec<u8> { name.iter().map(|byte| if *byte == b'-' { b'_' } else { *byte }).collect() };
    for name in in_sys.iter().map(|name| plain(name)).filter(|name| !before.contains(name) && !after.contains(name)) {
        let why = "it is loaded (/sys/module) and /proc/modules does not list it: something hides it";
        groups.host(hidden(&format!("module {}", Text::new(name).escaped()), why.into()));
    }
    let in_sys: BTreeSet<Vec<u8>> = in_sys.iter().map(|name| plain(name)).collect();
    for name in before.intersection(&after).filter(|name| !in_sys.contains(*name)) {
        let why = "/proc/modules lists it and /sys/module does not have it: something took it out";
        groups.host(hidden(&format!("module {}", Text::new(&name[..]).escaped()), why.into()));
    }
}

/// Loaded modules of which no file is where the kernel's modules are.
fn without_file(running: &Running, listed: &[Module], groups: &mut Groups) {
    if listed.is_empty() {
        return;
    }
    let release = running.kernel("proc/sys/kernel/osrelease").unwrap_or_default();
    let Some(release) = std::str::from_utf8(&release).ok().map(str::trim).filter(|text| is_name(text)) else {
        let why = "the kernel's release is not known, so that its modules cannot be found".into();
        return groups.gap("kernel-unread", "/proc/sys/kernel/osrelease", why);
    };
    let folder = format!("/lib/modules/{release}");
    let files = match known(running, &folder) {
        Ok(Some(files)) => files,
        Ok(None) => {
            let why = "the running kernel's modules are not there, so that loaded ones cannot be held against files; \
                       a container has none, and a kernel that was upgraded and not restarted may have lost them";
            return groups.gap("kernel-unread", &folder, why.into());
        }
        Err(error) => return groups.gap("kernel-unread", &folder, error.to_string()),
    };
    for module in listed {
        let why = match files.get(&module.name) {
            None => format!("it is loaded, and {folder} lists no file of that name"),
            Some(path) if running.file_at(format!("{folder}/{path}").as_bytes()).is_none() => {
                format!("it is loaded, and its file {folder}/{path} is not there")
            }
            Some(_) => continue,
        };
        let place = At::Place(format!("module {}", Text::new(&module.name[..]).escaped()));
        // T1547.006: kernel modules and extensions.
        groups.host(Shared::new("module-without-file", Severity::High, place, why).attack("T1547.006"));
    }
}

/// A release names one folder and leads nowhere else.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text != ".."
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+~-".contains(&byte))
}

/// The modules that have a file, by name.
fn known(running: &Running, folder: &str) -> Result<Option<BTreeMap<Vec<u8>, String>>, ReadError> {
    let read = running.files().read_small(format!("{folder}/modules.dep").as_bytes(), LIST_BYTES)?;
    let Some(text) = read else { return Ok(None) };
    let text = String::from_utf8_lossy(&text);
    let path = |line: &str| line.split(':').next().map(str::to_owned);
    let name = |path: &str| {
        let file = path.rsplit('/').next().unwrap_or_default();
        let name = file.split(".ko").next().unwrap_or_default();
        name.replace('-', "_").into_bytes()
    };
    let paths = text.lines().filter_map(path);
    Ok(Some(paths.map(|path| (name(&path), path.trim_start_matches('/').to_owned())).collect()))
}

fn taints(running: &Running, groups: &mut Groups) {
    let place = "/proc/sys/kernel/tainted";
    let text = match running.kernel("proc/sys/kernel/tainted") {
        Ok(text) => text,
        Err(failure) => return groups.gap("kernel-unread", place, super::said(&failure)),
    };
    let said = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let Some(bits) = said else { return groups.gap("kernel-unread", place, "it is no number".into()) };
    let told: Vec<&str> = TAINTS.iter().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, what)| *what).collect();
    if !told.is_empty() {
        let why = format!("the kernel says that it is not as it was made ({bits}): {}", told.join("; "));
        groups.host(Shared::new("kernel-tainted", Severity::Info, At::path(place.as_bytes()), why));
    }
}
