//! Packet: what do we send to an address before we connect, and what does an answer mean?
//!
//! A SYN asks a port, an echo request asks whether there is a host at all. An answer counts only if it quotes what we
//! sent: the sequence number is a keyed digest of the target, so that nobody who did not see our packet can answer for
//! another. Bytes in, bytes out: no socket here.
//! Source: RFC 9293 sections 3.1 and 3.5 (TCP), RFC 792 (ICMP: unreachable, echo), RFC 1122 section 3.2.2.1 (codes).

use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::{
    Icmpv4Slice, Icmpv4Type, IpNumber, Ipv4HeaderSlice, PacketBuilder, TcpHeaderSlice, TcpOptionElement, icmpv4,
};

/// Hops that our packets live: what the kernel gives its own.
const HOPS: u8 = 64;

/// What a usual client offers: a server that lets only usual clients in must answer ours.
const WINDOW: u16 = 64240;
const OPTIONS: [TcpOptionElement; 2] =
    [TcpOptionElement::MaximumSegmentSize(1460), TcpOptionElement::SelectiveAcknowledgementPermitted];

/// What came back for one of our packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The port takes connections.
    Open(SocketAddrV4),
    /// The host refuses.
    Refused(SocketAddrV4),
    /// A device between us, or the host's own filter, says no.
    Filtered(SocketAddrV4),
    /// There is a host, whatever the port does.
    Alive(Ipv4Addr),
}

/// Makes our packets and knows their answers.
#[derive(Debug)]
pub(super) struct Form {
    /// The ports that our packets come from, one for each try. A server answers a SYN that it has seen before once in
    /// half a second (Linux, `tcp_invalid_ratelimit`): if two of its answers are lost, further tries from the same port
    /// would be wasted. Each is a connection of its own to it.
    ports: Vec<u16>,
    key: RandomState,
}

impl Form {
    /// For packets from these ports; with a key of its own.
    pub(super) fn new(ports: Vec<u16>) -> Self {
        Self { ports, key: RandomState::new() }
    }

    /// A whole IPv4 packet that asks a port, for the first time or again; `None` if there are not so many tries.
    pub(super) fn syn(&self, from: Ipv4Addr, to: SocketAddrV4, tries: usize) -> Option<Vec<u8>> {
        let port = *self.ports.get(tries)?;
        let builder = PacketBuilder::ipv4(from.octets(), to.ip().octets(), HOPS)
            .tcp(port, to.port(), self.sequence(to, port), WINDOW)
            .syn()
            .options(&OPTIONS)
            .ok()?;
        let mut packet = Vec::with_capacity(builder.size(0));
        builder.write(&mut packet, &[]).ok()?;
        Some(packet)
    }

    /// The ICMP part of an echo request; the kernel puts the IP header before it.
    pub(super) fn echo(&self, to: Ipv4Addr) -> Vec<u8> {
        let (id, seq) = self.token(to);
        let kind = Icmpv4Type::EchoRequest(etherparse::IcmpEchoHeader { id, seq });
        etherparse::Icmpv4Header::with_checksum(kind, &[]).to_bytes().to_vec()
    }

    /// What a received TCP packet, with its IP header, says; `None` if it answers nothing of ours.
    pub(super) fn read_tcp(&self, packet: &[u8]) -> Option<Heard> {
        let ip = Ipv4HeaderSlice::from_slice(packet).ok()?;
        let tcp = TcpHeaderSlice::from_slice(packet.get(ip.slice().len()..)?).ok()?;
        let from = SocketAddrV4::new(ip.source_addr(), tcp.source_port());
        let port = tcp.destination_port();
        let quotes = tcp.acknowledgment_number() == self.sequence(from, port).wrapping_add(1);
        if ip.protocol() != IpNumber::TCP || !self.ports.contains(&port) || !tcp.ack() || !quotes {
            return None;
        }
        match (tcp.syn(), tcp.rst()) {
            (true, false) => Some(Heard::Open(from)),
            (false, true) => Some(Heard::Refused(from)),
            _ => None,
        }
    }

    /// What a received ICMP packet, with its IP header, says. `own` is where our packets come from: what our own
    /// kernel says of an address that it cannot find is no device's word.
    pub(super) fn read_icmp(&self, packet: &[u8], own: impl Fn(Ipv4Addr) -> bool) -> Option<Heard> {
        let ip = Ipv4HeaderSlice::from_slice(packet).ok()?;
        let icmp = Icmpv4Slice::from_slice(packet.get(ip.slice().len()..)?).ok()?;
        if ip.protocol() != IpNumber::ICMP {
            return None;
        }
        match icmp.icmp_type() {
            Icmpv4Type::EchoReply(echo) => {
                ((echo.id, echo.seq) == self.token(ip.source_addr())).then_some(Heard::Alive(ip.source_addr()))
            }
            Icmpv4Type::DestinationUnreachable(why) if !own(ip.source_addr()) => {
                // That a packet was too large says nothing of the host.
                let is_size = matches!(why, icmpv4::DestUnreachableHeader::FragmentationNeeded { .. });
                let to = self.quoted(icmp.payload())?;
                (!is_size).then_some(Heard::Filtered(to))
            }
            _ => None,
        }
    }

    /// The target of the packet of ours that an ICMP message quotes: its IP header and eight bytes.
    fn quoted(&self, quote: &[u8]) -> Option<SocketAddrV4> {
        let ip = Ipv4HeaderSlice::from_slice(quote).ok()?;
        let tcp = quote.get(ip.slice().len()..)?.first_chunk::<8>()?;
        let [from_high, from_low, to_high, to_low, sequence @ ..] = *tcp;
        let to = SocketAddrV4::new(ip.destination_addr(), u16::from_be_bytes([to_high, to_low]));
        let port = u16::from_be_bytes([from_high, from_low]);
        let is_ours = ip.protocol() == IpNumber::TCP
            && self.ports.contains(&port)
            && u32::from_be_bytes(sequence) == self.sequence(to, port);
        is_ours.then_some(to)
    }

    fn sequence(&self, to: SocketAddrV4, port: u16) -> u32 {
        (self.key.hash_one((to, port)) >> 32) as u32
    }

    fn token(&self, to: Ipv4Addr) -> (u16, u16) {
        let digest = self.key.hash_one(to);
        ((digest >> 48) as u16, (digest >> 32) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const PORT: u16 = 40000;

    fn target() -> SocketAddrV4 {
        "198.51.100.7:443".parse().unwrap()
    }

    /// A TCP packet from the target to us that acknowledges `ack`.
    fn answer(set: &str, ack: u32) -> Vec<u8> {
        let to = target();
        let mut step = PacketBuilder::ipv4(to.ip().octets(), OURS.octets(), 60).tcp(to.port(), PORT, 7, 100).ack(ack);
        for flag in set.chars() {
            step = if flag == 's' { step.syn() } else { step.rst() };
        }
        let mut packet = Vec::new();
        step.write(&mut packet, &[]).unwrap();
        packet
    }

    /// An "unreachable" of this code from a device, which quotes the beginning of `packet`.
    fn unreachable(code: u8, from: [u8; 4], packet: &[u8]) -> Vec<u8> {
        let kind = icmpv4::DestUnreachableHeader::from_values(code, 1400).unwrap();
        let builder = PacketBuilder::ipv4(from, OURS.octets(), 60).icmpv4(Icmpv4Type::DestinationUnreachable(kind));
        let mut message = Vec::new();
        builder.write(&mut message, &packet[..28]).unwrap();
        message
    }

    #[test]
    fn what_quotes_our_packet_is_its_answer() {
        let form = Form::new(vec![PORT]);
        let syn = form.syn(OURS, target(), 0).unwrap();
        let tcp = TcpHeaderSlice::from_slice(&syn[20..]).unwrap();
        assert!(tcp.syn() && !tcp.ack());
        let ack = tcp.sequence_number().wrapping_add(1);
        assert_eq!(form.read_tcp(&answer("s", ack)), Some(Heard::Open(target())));
        assert_eq!(form.read_tcp(&answer("r", ack)), Some(Heard::Refused(target())));
        assert_eq!(
            form.read_icmp(&unreachable(13, [198, 51, 100, 1], &syn), |_| false),
            Some(Heard::Filtered(target()))
        );
    }

    #[test]
    fn each_try_is_a_connection_of_its_own() {
        let form = Form::new(vec![PORT, PORT + 1]);
        let ports = [0, 1].map(|tries| {
            let syn = form.syn(OURS, target(), tries).unwrap();
            TcpHeaderSlice::from_slice(&syn[20..]).unwrap().source_port()
        });
        assert_eq!(ports, [PORT, PORT + 1]);
        assert_eq!(form.syn(OURS, target(), 2), None);
    }

    #[test]
    fn an_answer_of_somebody_who_did_not_see_our_packet_is_none() {
        let form = Form::new(vec![PORT]);
        let other = Form::new(vec![PORT]).syn(OURS, target(), 0).unwrap();
        let ack = form.sequence(target(), PORT);
        assert_eq!(form.read_tcp(&answer("s", ack)), None);
        assert_eq!(form.read_tcp(&answer("sr", ack.wrapping_add(1))), None);
        assert_eq!(form.read_icmp(&unreachable(13, [198, 51, 100, 1], &other), |_| false), None);
        assert_eq!(form.read_tcp(&form.syn(OURS, target(), 0).unwrap()), None);
    }

    #[test]
    fn what_our_own_kernel_or_a_smaller_network_says_is_no_filter() {
        let form = Form::new(vec![PORT]);
        let syn = form.syn(OURS, target(), 0).unwrap();
        assert_eq!(form.read_icmp(&unreachable(1, OURS.octets(), &syn), |from| from == OURS), None);
        assert_eq!(form.read_icmp(&unreachable(4, [198, 51, 100, 1], &syn), |_| false), None);
    }

    #[test]
    fn an_echo_says_that_there_is_a_host() {
        let form = Form::new(vec![PORT]);
        let request = form.echo(*target().ip());
        let (id, seq) = form.token(*target().ip());
        let reply = |from: Ipv4Addr| {
            let mut packet = Vec::new();
            PacketBuilder::ipv4(from.octets(), OURS.octets(), 60)
                .icmpv4_echo_reply(id, seq)
                .write(&mut packet, &[])
                .unwrap();
            packet
        };
        assert_eq!(request.len(), 8);
        assert_eq!(form.read_icmp(&reply(*target().ip()), |_| false), Some(Heard::Alive(*target().ip())));
        assert_eq!(form.read_icmp(&reply(Ipv4Addr::new(198, 51, 100, 8)), |_| false), None);
    }

    proptest::proptest! {
        #[test]
        fn reading_never_panics(packet: Vec<u8>, cut in 0_usize..80) {
            let form = Form::new(vec![PORT]);
            let _ = (form.read_tcp(&packet), form.read_icmp(&packet, |_| false));
            let mut real = unreachable(13, [198, 51, 100, 1], &form.syn(OURS, target(), 0).unwrap());
            real.truncate(cut);
            let _ = form.read_icmp(&real, |_| false);
        }
    }
}
