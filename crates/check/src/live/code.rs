//! Code: does every process run what its files hold, and only that?
//!
//! Memory that may be executed is either the code of a file, or was made by the process itself. The first
//! must equal the file; the second is what compilers of Java, JavaScript and the like make all day, unless
//! it begins like a program: then somebody loaded one without a file.

use directive::record::{Severity, hex};
use directive::text::Text;
use evidence::live::{Compared, Failure, Mapping, Process, Program, Running};

use super::group::{At, Groups, Shared, Who};
use super::is_anybodys;

/// How a program or library begins.
const ELF: &[u8] = b"\x7fELF";

pub(super) struct Code<'a> {
    running: &'a Running,
    /// Bytes of memory that this run may still compare.
    left: u64,
}

impl<'a> Code<'a> {
    pub(super) fn new(running: &'a Running) -> Self {
        Self { running, left: running.limits().run_bytes }
    }

    /// Looks at all memory of a process that may be executed.
    pub(super) fn look(
        &mut self,
        process: &Process<'_>,
        program: &Program,
        maps: &[Mapping],
        who: &Who,
        groups: &mut Groups,
    ) -> Result<(), Failure> {
        let mut budget = self.running.limits().process_bytes.min(self.left);
        let all = budget;
        for (n, mapping) in maps.iter().enumerate().filter(|(_, mapping)| mapping.is_executable) {
            if mapping.has_file() && !mapping.is_memfd() && !is_shared_memory(mapping) {
                if mapping.inode != program.identity.1 {
                    library(process, mapping, who, groups);
                }
                compare(process, mapping, &mut budget, who, groups)?;
            } else {
                without_file(process, program, maps, n, who, groups);
            }
        }
        self.left -= all - budget;
        Ok(())
    }
}

/// Memory that has a name in the kernel only: `/dev/zero`, `/SYSV..`, `/anon_hugepage`.
fn is_shared_memory(mapping: &Mapping) -> bool {
    let names: [&[u8]; 3] = [b"/dev/zero", b"/SYSV", b"/anon_hugepage"];
    mapping.is_deleted && names.iter().any(|name| mapping.path.starts_with(name))
}

fn library(process: &Process<'_>, mapping: &Mapping, who: &Who, groups: &mut Groups) {
    let at = At::path(&mapping.path);
    let now = process.file_at(&mapping.path, (0, 0));
    let (severity, why) = if is_anybodys(&mapping.path) {
        (Severity::Medium, "code from a folder where everybody may write")
    } else if mapping.is_deleted && now.is_none() {
        (Severity::Medium, "code of a file that was deleted, and nothing took its place")
    } else if mapping.is_deleted {
        (
            Severity::Low,
            "code of a file that was deleted, and another bears the name now, as after an upgrade without a restart",
        )
    } else {
        return;
    };
    // T1574: hijack execution flow.
    groups.process(Shared::new("process-library-unusual", severity, at, why).attack("T1574"), who);
}

fn compare(
    process: &Process<'_>,
    mapping: &Mapping,
    budget: &mut u64,
    who: &Who,
    groups: &mut Groups,
) -> Result<(), Failure> {
    let shown = Text::new(&mapping.path[..]).escaped();
    let mut gap = |why: String| groups.gap("process-code-unread", &shown, format!("{why}; process {who}"));
    let file = match process.mapped_file(mapping) {
        Ok(file) => file,
        // The process ended, or let go of the mapping.
        Err(Failure::Gone) if !is_still_there(process, mapping) => return Ok(()),
        Err(failure) => {
            gap(format!("its code cannot be held against the file: {}", super::said(&failure)));
            return Ok(());
        }
    };
    let seen = match process.compare(mapping, &file, *budget) {
        Ok(seen) => seen,
        Err(Failure::Io(_)) if !is_still_there(process, mapping) => return Ok(()),
        Err(failure) => return Err(failure),
    };
    *budget -= seen.bytes.min(*budget);
    if seen.is_cut {
        gap("more code differs from its files' pages than is compared; look at it by itself".into());
    }
    if seen.unread > 0 && is_still_there(process, mapping) {
        gap(format!("{} bytes of its code cannot be read back", seen.unread));
    }
    if seen.count == 0 {
        return Ok(());
    }
    if file.has_text_relocations() {
        gap("the loader writes into this file's code (text relocations), so that changes cannot be told".into());
    } else if is_still_there(process, mapping) {
        groups.process(changed(mapping, &seen), who);
    }
    Ok(())
}

/// Whether the same mapping is there when the comparison is over.
fn is_still_there(process: &Process<'_>, mapping: &Mapping) -> bool {
    process.maps().is_ok_and(|(maps, _)| maps.contains(mapping))
}

fn changed(mapping: &Mapping, seen: &Compared) -> Shared {
    let mut why = format!("its code in memory differs from the file in {} places", seen.count);
    let mut excerpt = Vec::new();
    if let Some(first) = seen.differences.first() {
        let (is, was) = (hex(&first.in_memory), hex(&first.in_file));
        why += &format!(
            ", first at {:#x}-{:#x} (offset {:#x} of the file): {is} in memory, {was} in the file",
            first.address,
            first.address + first.length,
            first.offset
        );
        excerpt.clone_from(&first.in_memory);
    }
    let all = &seen.differences;
    if seen.count as usize == all.len() && all.iter().all(|one| one.in_memory == [0xcc]) {
        why += "; single bytes 0xcc are breakpoints, which debuggers and tracing tools set";
    }
    let shared = Shared::new("process-code-changed", Severity::High, At::path(&mapping.path), why);
    // T1055: process injection.
    Shared { excerpt, ..shared.attack("T1055") }
}

/// Memory that may be executed and is no file's.
fn without_file(process: &Process<'_>, program: &Program, maps: &[Mapping], n: usize, who: &Who, groups: &mut Groups) {
    let mapping = &maps[n];
    let is_kernels = [&b"[vdso]"[..], b"[vsyscall]", b"[vvar]", b"[uprobes]", b"[sigpage]", b"[vectors]"];
    if is_kernels.contains(&&mapping.path[..]) || (mapping.is_memfd() && mapping.inode == program.identity.1) {
        return;
    }
    // A loader maps the head of a program apart from its code, right before it or in the same memory file.
    let mut parts = vec![mapping];
    for before in maps[..n].iter().rev() {
        let is_near = parts.last().is_some_and(|last| last.start == before.end);
        let is_alike = before.inode == mapping.inode && before.path == mapping.path;
        if !(is_alike && (is_near || mapping.inode != 0)) {
            break;
        }
        parts.push(before);
    }
    let head = parts.iter().find(|part| process.memory(part.start, ELF.len()) == ELF);
    let called =
        if mapping.path.is_empty() { "memory without a name".into() } else { Text::new(&mapping.path[..]).escaped() };
    if let Some(head) = head {
        let why = format!(
            "a program or library that no file holds lies in {called} and may be executed: it begins at {:#x}",
            head.start
        );
        let shared = Shared::new("process-memory-only", Severity::High, At::path(&program.path), why);
        groups.process(shared.attack("T1620"), who);
    } else {
        let rights = if mapping.is_writable { "written to and executed" } else { "executed" };
        let why = format!(
            "{called} may be {rights} and is no file's: compilers that work while a program runs (Java, JavaScript) \
             do this, and so does code that was pushed into it"
        );
        groups.process(Shared::new("process-memory-only", Severity::Info, At::path(&program.path), why), who);
    }
}
