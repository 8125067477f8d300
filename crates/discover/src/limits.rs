//! Limits: how long and how much do we listen to somebody who may be hostile?
//!
//! Every field names the attack or the waste that it stops. They are arguments, so that tests of
//! slow servers are quick and an operator on a slow link can be patient.

use std::time::Duration;

/// What a discovery spends at most.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Wait for a connection to be accepted. A packet around the world takes 0.3 s; what has not
    /// come after a second was dropped.
    pub connect: Duration,
    /// Tries per address before it counts as silent: one lost packet must not hide an instance.
    pub attempts: u32,
    /// Addresses in conversation at the same time. Stays under the usual 1,024 open files of a
    /// process, and lets the default rate of 500 a second be reached over silent networks.
    pub concurrency: usize,
    /// Wait for a server that speaks first. OpenSSH does so at once; a web server never does, and
    /// each of them costs this wait.
    pub banner: Duration,
    /// Wait for a TLS handshake: a tarpit would hold it open for ever.
    pub handshake: Duration,
    /// Wait for one answer from first to last byte: stops the server that drips a byte a second.
    pub answer: Duration,
    /// The whole conversation with one address, all requests together.
    pub conversation: Duration,
    /// Bytes of an answer's head: stops endless headers.
    pub head_bytes: usize,
    /// Header lines of an answer.
    pub headers: usize,
    /// Bytes of an answer's body that are read: stops the endless page and the title of 100 MB.
    /// A sign-in page has a tenth of it.
    pub body_bytes: usize,
    /// Bytes before an SSH identification line is complete. RFC 4253 section 4.2 allows the line
    /// 255 and says nothing of the lines before it.
    pub banner_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            attempts: 2,
            concurrency: 512,
            banner: Duration::from_millis(600),
            handshake: Duration::from_secs(3),
            answer: Duration::from_secs(5),
            conversation: Duration::from_secs(15),
            head_bytes: 64 << 10,
            headers: 100,
            body_bytes: 256 << 10,
            banner_bytes: 8 << 10,
        }
    }
}
