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
    /// Packets of our own to each address before it counts as silent: where one in a hundred is lost each way, one
    /// host in six million is missed by four.
    pub packets: u8,
    /// The least time between two of them. Quicker hosts there are, but not when they are busy.
    pub shortest: Duration,
    /// The addresses from which on a sweep begins with packets of our own. A few are asked as quickly by connecting.
    pub many: usize,
    /// Connections and packets for each address of the scope, on the average of a run: whatever goes wrong, it ends.
    pub budget: u64,
    /// Connections to an address that has answered a packet before it counts as one that does not let us in.
    pub persistence: u32,
    /// Tries of a handshake over UDP, where silence and loss look alike.
    pub datagrams: u32,
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
            packets: 4,
            shortest: Duration::from_millis(40),
            many: 64,
            budget: 40,
            persistence: 5,
            datagrams: 3,
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
