//! The program as people and scripts meet it: one binary, real folders, real servers on loopback.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "integration tests that run the program")]

mod authoring;
mod bad_input;
mod directives;
mod discover;
mod gate;
mod hunt;
mod install;
mod lab;
mod live;
mod manifest;
mod mitigate;
mod mitigate_net;
mod names;
mod netns;
mod packages;
mod pages;
mod remove;
mod report;
mod restart;
mod resume;
mod submission;
mod update;
mod watch;
mod workbook;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use directive::record::{Body, Record};

/// The program, in the folder that holds `packs/`.
fn portcullis() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.current_dir(root()).env("NO_COLOR", "1").env_remove("PORTCULLIS_PACKS");
    command
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn run(arguments: &[&str]) -> Output {
    portcullis().args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The records on stdout; the last must be the summary.
#[track_caller]
fn records(output: &Output) -> Vec<Record> {
    let records: Vec<Record> = stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = records.last().unwrap_or_else(|| panic!("no record: {}", stderr(output)));
    assert!(matches!(&last.body, Body::Summary(summary) if Some(i32::from(summary.exit)) == output.status.code()));
    records
}

/// A path as an argument.
fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}
