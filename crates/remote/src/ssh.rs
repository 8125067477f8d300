//! Ssh: the one program that is started, and what it must never do.
//!
//! The operator's own `ssh`, because it knows his jump hosts, agents, hardware keys and certificates,
//! and because it meets hostile servers for a living. It never asks anything, never learns a new host
//! key, forwards nothing and runs nothing here.
//! Source: `ssh(1)`, `ssh_config(5)`.

use std::io::{self, Read as _};
use std::process::{Child, ChildStderr, Command, Stdio};

use crate::{Address, Options};

/// What `ssh` says on its own behalf that is kept, in bytes.
const SAID: u64 = 4096;

const SETTINGS: [&str; 15] = [
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "RequestTTY=no",
    "EscapeChar=none",
    "ControlMaster=no",
    "ControlPath=none",
    "ConnectTimeout=20",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
    "LogLevel=ERROR",
];

/// What runs on the other side.
pub(crate) enum Remote<'a> {
    /// The SFTP subsystem.
    Sftp,
    /// A command of the other side's shell.
    Command(&'a str),
}

/// Starts `ssh` with both ends of the conversation in our hands.
pub(crate) fn start(address: &Address, options: &Options<'_>, remote: &Remote<'_>) -> io::Result<Child> {
    #[expect(clippy::disallowed_methods, reason = "the operator's ssh, told which host by the operator")]
    let mut command = Command::new("ssh");
    for setting in SETTINGS {
        command.args(["-o", setting]);
    }
    if let Some(known_hosts) = options.known_hosts {
        // Double quotes: a path with a space is one path. Source: `ssh_config(5)`.
        command.arg("-o").arg(format!("UserKnownHostsFile=\"{}\"", known_hosts.display()));
        command.args(["-o", "GlobalKnownHostsFile=/dev/null"]);
    }
    if let Some(identity) = options.identity {
        command.args(["-o", "IdentitiesOnly=yes", "-i"]).arg(identity);
    }
    if let Some(port) = address.port {
        command.args(["-p", &port.to_string()]);
    }
    if let Some(user) = &address.user {
        command.args(["-l", user]);
    }
    if matches!(remote, Remote::Sftp) {
        command.arg("-s");
    }
    command.args(["--", &address.host]);
    command.arg(match remote {
        Remote::Sftp => "sftp",
        Remote::Command(command) => command,
    });
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

/// What `ssh` said before it ended, without control characters; the end of it, since that is where
/// the reason stands.
pub(crate) fn said(stderr: Option<ChildStderr>) -> String {
    let mut bytes = Vec::new();
    if let Some(stderr) = stderr {
        // What cannot be read is not said; there is nobody to ask.
        let _ = stderr.take(SAID).read_to_end(&mut bytes);
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('@')).collect();
    let kept = lines.len().saturating_sub(6);
    directive::text::escape(lines[kept..].join("; "))
}
