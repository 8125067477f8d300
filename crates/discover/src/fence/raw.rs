//! Raw: how do our own packets leave this machine, and how do answers come in?
//!
//! Part of the fence: an address is held against the scope, and waits for the rate and the budget, before its packet
//! leaves. Our own kernel knows nothing of these packets, so it resets what a server opens for them: nothing stays
//! half open there. The ports that they come from are taken, so that no program here can get an answer of ours.
//! Needs CAP_NET_RAW. Source: raw(7), socket(7) (`SO_ATTACH_FILTER`), RFC 9293 section 3.5.3 (resets).

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};
use tokio::time::sleep;

use super::packet::{Form, Heard};
use super::{ConnectError, Fence, classify};

/// Bytes of answers that the kernel keeps for us; it gives less where the machine allows less.
const KEPT: usize = 4 << 20;

/// The longest answer that says anything: headers with all options, and what ICMP quotes.
const LONGEST: usize = 576;

/// Packets that are looked at before what is due is sent: whoever floods us must not keep us from going on.
const LOOKED_AT: usize = 10_000;

/// How often a packet is offered to a kernel that has no room for it, and how long it may rest in between.
const OFFERS: u32 = 50;
const REST: Duration = Duration::from_millis(2);

/// Our own packets, in and out.
pub(crate) struct Raw<'f> {
    fence: &'f Fence,
    form: Form,
    tcp: Socket,
    icmp: Socket,
    echo: Socket,
    /// Hold the ports that our packets come from.
    _ports: Vec<Socket>,
    /// Which of our addresses packets to a /24 come from.
    sources: HashMap<[u8; 3], Ipv4Addr>,
    buffer: Vec<u8>,
}

impl<'f> Raw<'f> {
    /// Opens the sockets, for so many tries.
    ///
    /// # Errors
    ///
    /// Without CAP_NET_RAW, and where the system knows no such sockets.
    pub(super) fn open(fence: &'f Fence, tries: u8) -> io::Result<Self> {
        let sockets = (0..tries).map(|_| take_port()).collect::<io::Result<Vec<_>>>()?;
        let number =
            |socket: &Socket| Ok(socket.local_addr()?.as_socket_ipv4().map(|at| at.port()).unwrap_or_default());
        let ports = sockets.iter().map(number).collect::<io::Result<Vec<u16>>>()?;
        let tcp = Self::socket(Protocol::TCP)?;
        tcp.set_header_included_v4(true)?;
        tcp.attach_filter(&only_to(&ports))?;
        let icmp = Self::socket(Protocol::ICMPV4)?;
        let echo = Self::socket(Protocol::ICMPV4)?;
        // It only sends.
        echo.set_recv_buffer_size(0)?;
        Ok(Self {
            fence,
            form: Form::new(ports),
            tcp,
            icmp,
            echo,
            _ports: sockets,
            sources: HashMap::new(),
            buffer: vec![0; LONGEST],
        })
    }

    fn socket(protocol: Protocol) -> io::Result<Socket> {
        #[expect(clippy::disallowed_methods, reason = "this is the fence: packets leave through `syn` and `echo`")]
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(protocol))?;
        socket.set_nonblocking(true)?;
        socket.set_recv_buffer_size(KEPT)?;
        Ok(socket)
    }

    /// Asks a port with a SYN, for the first time (0) or again, if the scope allows it, as soon as the rate allows it.
    pub(crate) async fn syn(&mut self, to: SocketAddrV4, tries: usize) -> Result<(), ConnectError> {
        self.fence.may(SocketAddr::V4(to)).await?;
        let from = self.source(*to.ip()).map_err(classify)?;
        let packet = self.form.syn(from, to, tries).ok_or_else(|| local("a packet cannot be written"))?;
        send(&self.tcp, &packet, to).await
    }

    /// Asks whether there is a host at all; its address must be ours, whatever the port.
    pub(crate) async fn echo(&mut self, to: Ipv4Addr) -> Result<(), ConnectError> {
        self.fence.may_echo(IpAddr::V4(to)).await?;
        send(&self.echo, &self.form.echo(to), SocketAddrV4::new(to, 0)).await
    }

    /// The next answer that has come, if there is one.
    pub(crate) fn heard(&mut self) -> Option<Heard> {
        for _ in 0..LOOKED_AT {
            let Ok(length) = (&self.tcp).read(&mut self.buffer) else { break };
            if let Some(heard) = self.form.read_tcp(&self.buffer[..length]) {
                return Some(heard);
            }
        }
        for _ in 0..LOOKED_AT {
            let Ok(length) = (&self.icmp).read(&mut self.buffer) else { break };
            let own = |from| self.sources.values().any(|source| *source == from);
            if let Some(heard) = self.form.read_icmp(&self.buffer[..length], own) {
                return Some(heard);
            }
        }
        None
    }

    /// Which of our addresses the kernel would send from. A datagram socket that is connected says so; nothing is sent.
    fn source(&mut self, to: Ipv4Addr) -> io::Result<Ipv4Addr> {
        let [a, b, c, _] = to.octets();
        if let Some(known) = self.sources.get(&[a, b, c]) {
            return Ok(*known);
        }
        #[expect(clippy::disallowed_methods, reason = "this is the fence: nothing is sent")]
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.connect(&SockAddr::from(SocketAddrV4::new(to, 9)))?;
        let from = socket.local_addr()?.as_socket_ipv4().map(|at| *at.ip()).unwrap_or(Ipv4Addr::UNSPECIFIED);
        self.sources.insert([a, b, c], from);
        Ok(from)
    }
}

/// Hands a packet to the kernel, again after a rest where it has no room: queues of a slow link are short.
async fn send(socket: &Socket, packet: &[u8], to: SocketAddrV4) -> Result<(), ConnectError> {
    let to = SockAddr::from(to);
    for _ in 0..OFFERS {
        match socket.send_to(packet, &to) {
            Ok(_) => return Ok(()),
            Err(err) if err.kind() == io::ErrorKind::WouldBlock || err.raw_os_error() == Some(NO_BUFFERS) => {
                sleep(REST).await;
            }
            Err(err) => return Err(classify(err)),
        }
    }
    Err(local("the kernel has no room for a packet"))
}

/// `ENOBUFS` of Linux, which has no kind of its own.
const NO_BUFFERS: i32 = 105;

fn local(why: &str) -> ConnectError {
    ConnectError::Local { source: io::Error::other(why.to_owned()) }
}

/// A port that no program of this machine can take meanwhile.
fn take_port() -> io::Result<Socket> {
    #[expect(clippy::disallowed_methods, reason = "this is the fence: it only takes a port")]
    let port = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    port.bind(&SockAddr::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)))?;
    Ok(port)
}

/// Classic BPF: keeps packets to these ports, so that the conversations of this machine do not fill the queue.
/// Source: Linux `Documentation/networking/filter.rst`.
fn only_to(ports: &[u16]) -> Vec<SockFilter> {
    // x = length of the IP header; a = two bytes at x + 2: the port that it goes to.
    let mut filter = vec![SockFilter::new(0xb1, 0, 0, 0), SockFilter::new(0x48, 0, 0, 2)];
    // If it is the port, over the others and over "drop".
    let jumps = (1..=ports.len()).rev().zip(ports);
    filter.extend(jumps.map(|(over, port)| SockFilter::new(0x15, over as u8, 0, u32::from(*port))));
    filter.extend([SockFilter::new(0x06, 0, 0, 0), SockFilter::new(0x06, 0, 0, u32::MAX)]);
    filter
}
