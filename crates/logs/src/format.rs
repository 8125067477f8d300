//! Format: which kind of log is this?
//!
//! Told from the first lines, never from the name of the file: whoever owns the instance names the files.

use std::sync::Arc;

use serde::Deserialize;

use crate::lines;
use crate::meaning::Context;
use crate::vc0;

/// A kind of log that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Format {
    /// The binary logs of Pulse and Ivanti Connect Secure: `log.events.vc0`.
    Vc0,
    /// Syslog by RFC 3164 or RFC 5424, with what Pulse appliances send in it (standard and WELF).
    Syslog,
    /// Records of the Linux audit daemon.
    Audit,
    /// The export format of the systemd journal.
    Journal,
    /// JSON, one object a line, with that of `journalctl -o json`.
    Json,
    /// Access logs of nginx and Apache: common and combined.
    Access,
    /// Error logs of nginx and Apache.
    Error,
    /// W3C extended logs: IIS, and the CSV of Exchange's HttpProxy.
    W3c,
}

/// How many lines are asked.
const VOTERS: usize = 24;

impl Format {
    /// Every format, in the order in which they are asked: the narrow ones first.
    pub(crate) const LINES: [Self; 6] = [Self::Json, Self::Audit, Self::W3c, Self::Access, Self::Error, Self::Syslog];

    /// Tells the format from the beginning of a file.
    pub fn detect(head: &[u8]) -> Option<Self> {
        if vc0::is(head) {
            return Some(Self::Vc0);
        }
        if head.starts_with(b"__CURSOR=") || head.starts_with(b"__REALTIME_TIMESTAMP=") {
            return Some(Self::Journal);
        }
        let context = Arc::new(Context::default());
        let mut best = (0, None);
        for format in Self::LINES {
            let mut parser = lines::parser(format, &context)?;
            let voters = head.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).take(VOTERS);
            let votes = voters.filter(|line| parser.line(line, 1, &mut |_| {}) == lines::Told::Understood).count();
            // Ties go to the narrower format.
            if votes > best.0 {
                best = (votes, Some(format));
            }
        }
        best.1
    }

    /// Whether each line can be read without those before it, so that a file can be cut between lines.
    pub fn is_line_by_line(self) -> bool {
        matches!(self, Self::Syslog | Self::Json | Self::Access | Self::Error)
    }
}
