//! Running: since when does what answers run?
//!
//! A part of the record type `coverage`, where the evidence was a machine that ran. Ages are counted by the machine's
//! kernel from its own start, so that a clock that was set back changes none of them.
//! Serves action 3 of ED 21-03 (an update counts once what was updated runs).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::Text;

/// What ran when a machine was looked at, by its kernel's own word.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Running {
    /// Seconds since the kernel started, rounded up.
    pub up: u64,
    /// Programs that wait for others over the network, sorted by where; up to 256. Those that the first process alone
    /// waits for are left out: it starts a program afresh for each that comes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
}

/// A program that waits for others.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Service {
    /// `tcp 0.0.0.0:443`, `udp6 [::]:500`.
    pub at: String,
    /// The file that it was started from.
    pub program: Text,
    /// Seconds since the oldest process that holds the socket was started, rounded up.
    pub age: u64,
    /// Whether a process that holds it was started from a file that has been deleted or replaced since.
    #[serde(default)]
    pub replaced: bool,
}

impl Service {
    /// The port that it waits at, and whether over UDP.
    pub fn port(&self) -> Option<(u16, bool)> {
        let (table, at) = self.at.split_once(' ')?;
        let port = at.rsplit_once(':')?.1.parse().ok()?;
        Some((port, table.starts_with("udp")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_read_of_either_family_and_kind() {
        let port = |at: &str| Service { at: at.to_owned(), ..Service::default() }.port();
        assert_eq!(port("tcp 0.0.0.0:443"), Some((443, false)));
        assert_eq!(port("udp6 [::]:500"), Some((500, true)));
        assert_eq!(port("unix /run/x"), None);
    }
}
