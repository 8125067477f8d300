//! Live: what do processes give away that behave like an intruder's, and harm nobody?
//!
//! Programs are built here with `cc` and run for the length of a test. Whoever is not root does not see all
//! of a host, so that these tests say so and pass; under CI=true they never do.

#![expect(clippy::print_stderr, reason = "a test that cannot be run says so")]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests start their own processes")]

mod host;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use directive::progress::Unwatched;
use evidence::live::Running;

/// A process that ends with the test.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_possible() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    let has_compiler = Command::new("cc").arg("--version").output().is_ok();
    if !(is_root && has_compiler) {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "needs root and cc");
        eprintln!("SKIPPED: needs root and cc");
    }
    is_root && has_compiler
}

/// A folder that is not below `/tmp`, where every program is a finding of its own.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Compiles a program or, with `-shared`, a library.
fn compile(dir: &Path, name: &str, text: &str, arguments: &[&str]) -> PathBuf {
    let source = dir.join(format!("{name}.c"));
    std::fs::write(&source, text).unwrap();
    let output = dir.join(name);
    let built = Command::new("cc").args(["-O0", "-o"]).arg(&output).arg(&source).args(arguments).status();
    assert!(built.unwrap().success());
    output
}

/// Starts a program without settings and waits until it says `ready`, if it says anything.
fn start(program: &Path, arguments: &[&str], settings: &[(&str, &str)], speaks: bool) -> Started {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(settings.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = loop {
        match command.spawn() {
            // Another thread is just starting a program, which holds a copy of all our open files until it runs.
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            spawned => break spawned.unwrap(),
        }
    };
    if speaks {
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
    } else {
        // Until the new program has taken the place of ours, its memory is still that of this test.
        let exe = format!("/proc/{}/exe", child.id());
        let is_started = || std::fs::read_link(&exe).is_ok_and(|exe| exe == program.canonicalize().unwrap());
        while !is_started() {
            std::thread::yield_now();
        }
    }
    Started(child)
}

/// What is found about one process, by severity and code.
fn about(started: &Started) -> Vec<String> {
    let pid = started.0.id();
    let seen = check::live::look(&Running::here().unwrap(), None, &Unwatched);
    let names = |why: &str| [format!(" {pid} ("), format!(" {pid},")].iter().any(|name| why.contains(name));
    let unseen: Vec<_> = seen.gaps.iter().filter(|gap| names(&gap.why)).collect();
    assert!(unseen.is_empty(), "{unseen:?}");
    let found = seen.findings.iter().filter(|finding| names(&finding.why));
    let mut found: Vec<String> = found.map(|one| format!("{:?} {}", one.severity, one.code)).collect();
    found.sort();
    found
}

fn sleep_in(dir: &Path) -> PathBuf {
    let path = dir.join("sleeper");
    std::fs::copy("/bin/sleep", &path).unwrap();
    path
}

#[test]
fn a_program_that_only_runs_is_no_finding() {
    if !is_possible() {
        return;
    }
    let dir = folder();
    let started = start(&sleep_in(dir.path()), &["600"], &[], false);
    assert_eq!(about(&started), Vec::<String>::new());
}

#[test]
fn a_program_that_was_deleted_while_it_runs_is_a_finding() {
    if !is_possible() {
        return;
    }
    let dir = folder();
    let program = sleep_in(dir.path());
    let started = start(&program, &["600"], &[], false);
    std::fs::remove_file(&program).unwrap();
    assert_eq!(about(&started), ["Medium process-program-deleted"]);
}

#[test]
fn a_program_that_was_upgraded_while_it_runs_is_a_lesser_finding() {
    if !is_possible() {
        return;
    }
    let dir = folder();
    let program = sleep_in(dir.path());
    let started = start(&program, &["600"], &[], false);
    std::fs::copy("/bin/cat", dir.path().join("new")).unwrap();
    std::fs::rename(dir.path().join("new"), &program).unwrap();
    assert_eq!(about(&started), ["Low process-program-replaced"]);
}

#[test]
fn a_file_that_is_really_called_deleted_is_no_finding() {
    if !is_possible() {
        return;
    }
    let dir = folder();
    let program = dir.path().join("sleeper (deleted)");
    std::fs::copy("/bin/sleep", &program).unwrap();
    let started = start(&program, &["600"], &[], false);
    assert_eq!(about(&started), Vec::<String>::new());
}

#[test]
fn a_program_from_a_folder_where_everybody_may_write_is_a_finding() {
    if !is_possible() {
        return;
    }
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let started = start(&sleep_in(dir.path()), &["600"], &[], false);
    assert_eq!(about(&started), ["Medium process-program-unusual"]);
}

const FROM_MEMORY: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
int main(void) {
    int in = open("/bin/sleep", O_RDONLY), out = memfd_create("quiet", MFD_CLOEXEC);
    char buffer[65536];
    ssize_t count;
    while ((count = read(in, buffer, sizeof buffer)) > 0)
        if (write(out, buffer, count) != count) return 1;
    close(in);
    puts("ready");
    fflush(stdout);
    char *arguments[] = { "sleep", "600", 0 }, *settings[] = { 0 };
    fexecve(out, arguments, settings);
    return 1;
}
"#;

#[test]
fn a_program_that_never_had_a_file_is_a_grave_finding() {
    if !is_possible() {
        return;
    }
    let dir = folder();
    let started = start(&compile(dir.path(), "runner", FROM_MEMORY, &[]), &[], &[], true);
    let exe = format!("/proc/{}/exe", started.0.id());
    while !std::fs::read_link(&exe).unwrap().starts_with("/memfd:quiet (deleted)") {
        std::thread::yield_now();
    }
    assert_eq!(about(&started), ["High process-memory-only"]);
}

const LIBRARY_IN_MEMORY: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
int main(int count, char **arguments) {
    char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (count > 1) {
        int in = open("/bin/sleep", O_RDONLY);
        if (read(in, page, 4096) < 0) return 1;
        close(in);
    }
    mprotect(page, 4096, PROT_READ | PROT_EXEC);
    puts("ready");
    fflush(stdout);
    pause();
}
"#;

#[test]
fn memory_that_begins_like_a_program_is_told_from_what_a_compiler_makes() {
    if !is_possible() {
        return;
    }
    let dir = folder();
    let program = compile(dir.path(), "loader", LIBRARY_IN_MEMORY, &[]);
    assert_eq!(about(&start(&program, &[], &[], true)), ["Info process-memory-only"]);
    assert_eq!(about(&start(&program, &["program"], &[], true)), ["High process-memory-only"]);
}

const PATCHED: &str = r#"
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
int unused(int x) { return x + 42; }
int main(void) {
    char *page = (char *)((uintptr_t)unused & ~(uintptr_t)4095);
    mprotect(page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC);
    *(volatile unsigned char *)unused ^= 0x55;
    mprotect(page, 8192, PROT_READ | PROT_EXEC);
    puts("ready");
    fflush(stdout);
    pause();
}
"#;

#[test]
fn code_that_was_patched_in_memory_is_a_grave_finding() {
    if !is_possible() {
        return;
    }
    let dir = folder();
    let started = start(&compile(dir.path(), "patched", PATCHED, &[]), &[], &[], true);
    assert_eq!(about(&started), ["High process-code-changed"]);
    let seen = check::live::look(&Running::here().unwrap(), None, &Unwatched);
    let pid = format!(" {} (patched)", started.0.id());
    let found = seen.findings.iter().find(|finding| finding.why.contains(&pid)).unwrap();
    assert!(found.why.contains("in 1 places, first at 0x"), "{}", found.why);
    assert!(found.evidence.as_ref().unwrap().excerpt.is_some());
}

#[test]
fn a_library_pushed_into_a_program_is_a_finding() {
    if !is_possible() {
        return;
    }
    let dir = folder();
    let library = compile(dir.path(), "harmless.so", "int harmless(void) { return 1; }\n", &["-shared", "-fPIC"]);
    let settings = [("LD_PRELOAD", library.to_str().unwrap())];
    let started = start(&sleep_in(dir.path()), &["600"], &settings, false);
    let maps = format!("/proc/{}/maps", started.0.id());
    while !std::fs::read_to_string(&maps).unwrap().contains("harmless.so") {
        std::thread::yield_now();
    }
    assert_eq!(about(&started), ["Medium process-preload"]);
    std::fs::remove_file(&library).unwrap();
    assert_eq!(about(&started), ["Medium process-library-unusual", "Medium process-preload"]);
}

const RAW: &str = r#"
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void) {
    if (socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) < 0) return 1;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 1)) return 1;
    puts("ready");
    fflush(stdout);
    pause();
}
"#;

#[test]
fn a_listener_and_a_raw_socket_are_listed_with_their_owner() {
    if !is_possible() {
        return;
    }
    let dir = folder();
    let started = start(&compile(dir.path(), "listener", RAW, &[]), &[], &[], true);
    assert_eq!(about(&started), ["Info socket-listening", "Low socket-raw"]);
}
