//! Program: is what a process runs still the file that bears its name?
//!
//! A deleted program is how an intruder leaves nothing for a check of files. An upgrade without a restart
//! looks nearly the same, and differs in one thing: there is a new file of the same name.

use directive::record::Severity;
use evidence::live::Program;

use super::group::{At, Groups, Shared, Who};
use super::is_anybodys;

/// What container runtimes call the copy of themselves that they start containers with, so that no
/// container can overwrite them. Anybody can choose the name, so that it is not passed over.
const RUNC: &[u8] = b"/memfd:runc_cloned";

pub(super) fn judge(program: &Program, who: &Who, groups: &mut Groups) {
    let at = At::path(&program.path);
    if program.is_memfd() {
        let (severity, why) = if program.path.starts_with(RUNC) {
            (Severity::Low, "it runs from memory alone, under the name that container runtimes give their own copy")
        } else {
            (Severity::High, "it runs from memory alone: its program never had a name on any disk")
        };
        // T1620: reflective code loading.
        return groups.process(Shared::new("process-memory-only", severity, at, why).attack("T1620"), who);
    }
    let is_replaced = program.at_path.is_some_and(|now| now != program.identity);
    let shared = match (program.is_deleted, program.at_path) {
        (true, Some(_)) if is_replaced => Shared::new(
            "process-program-replaced",
            Severity::Low,
            at,
            "its program was deleted and another file bears the name now, as after an upgrade without a restart",
        ),
        (true, _) => Shared::new(
            "process-program-deleted",
            Severity::Medium,
            at,
            "its program was deleted and nothing took its place, so that no check of files sees what runs here",
        )
        // T1070.004: file deletion.
        .attack("T1070.004"),
        (false, _) if is_replaced => Shared::new(
            "process-program-replaced",
            Severity::Medium,
            at,
            "the file that bears the name of its program is another one, and its own was not deleted: something is \
             mounted over it",
        ),
        (false, _) if is_anybodys(&program.path) => Shared::new(
            "process-program-unusual",
            Severity::Medium,
            at,
            "its program lies in a folder where everybody may write",
        ),
        (false, _) => return,
    };
    groups.process(shared, who);
}
