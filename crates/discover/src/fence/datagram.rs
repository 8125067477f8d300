//! Datagram: how does a question over UDP leave this machine, and what comes back?
//!
//! Part of the fence: the scope names the UDP ports that may be asked, and each datagram waits for the rate and the
//! budget. A connected socket takes answers of the asked address only, and hears that a port is closed.
//! Source: udp(7), RFC 1122 section 4.1.3.3 (ICMP errors reach the socket).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::{ConnectError, Fence, classify};

/// The longest answer that is read: no first answer of a handshake fills a packet of Ethernet.
const LONGEST: usize = 2048;

/// One conversation over UDP.
pub(crate) struct Datagrams<'f> {
    fence: &'f Fence,
    socket: UdpSocket,
    target: SocketAddr,
}

impl Fence {
    /// Opens a socket for one target; nothing is sent yet.
    pub(crate) async fn datagrams(&self, target: SocketAddr) -> Result<Datagrams<'_>, ConnectError> {
        if !self.scope.allows_udp(target) {
            return Err(ConnectError::Outside { target });
        }
        let any = match target.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        #[expect(clippy::disallowed_methods, reason = "this is the fence: the scope allows the target")]
        let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await.map_err(|source| ConnectError::Local { source })?;
        socket.connect(target).await.map_err(classify)?;
        Ok(Datagrams { fence: self, socket, target })
    }
}

impl Datagrams<'_> {
    /// Sends a datagram, as soon as the rate allows it.
    pub(crate) async fn send(&self, question: &[u8]) -> Result<(), ConnectError> {
        self.fence.may_datagram(self.target).await?;
        self.socket.send(question).await.map(|_| ()).map_err(classify)
    }

    /// The next answer, if one comes in time.
    pub(crate) async fn receive(&self, until: Instant) -> Result<Vec<u8>, ConnectError> {
        let mut answer = vec![0; LONGEST];
        match timeout_at(until, self.socket.recv(&mut answer)).await {
            Err(_) => Err(ConnectError::Silent),
            Ok(Err(source)) => Err(classify(source)),
            Ok(Ok(length)) => {
                answer.truncate(length);
                Ok(answer)
            }
        }
    }
}
