//! Handshake: who answers the first packet of a VPN over UDP?
//!
//! The first packet of IKEv2, OpenVPN and DTLS, as any client sends it, and what the first answer says; the handshake
//! ends there. On the ports of IKE, IKEv1 is asked where nothing came back. A service that answers nobody it does not
//! know (WireGuard, or OpenVPN with `tls-auth`) is silent: over UDP, silence says nothing.
//! Bytes in, text out: no socket here. The text is what a pack's `banner` signs are held against.

mod dtls;
mod ike;
mod ikev1;
mod openvpn;

use std::hash::{BuildHasher as _, RandomState};

use directive::probe::Over;

/// The kinds to try on a port. A port with one usual service is asked for that one only: the others would be noise in
/// its log.
/// Source: IANA, Service Name and Transport Protocol Port Number Registry (500, 1194, 4500).
pub(crate) fn kinds(port: u16) -> &'static [Over] {
    match port {
        500 | 4500 => &[Over::Ike],
        1194 => &[Over::Openvpn],
        _ => &[Over::Dtls, Over::Openvpn, Over::Ike],
    }
}

/// What is asked on a port of IKE where everything else was met with silence: the first as often as it takes for a
/// packet that may be lost, the second once.
pub(crate) fn last_questions(port: u16, own: &Own) -> Option<(Vec<u8>, Vec<u8>)> {
    matches!(port, 500 | 4500).then(|| (ikev1::question(own), ikev1::usual_question(own)))
}

/// One conversation's own bytes: an answer has to quote them, so that nobody else can give it.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    session: [u8; 8],
    random: [u8; 32],
    /// On the port of NAT traversal, packets of IKE begin with four zeros (RFC 3948 section 2.2).
    is_behind_nat: bool,
    /// What the responder wanted to be asked with.
    wish: ike::Wish,
}

impl Own {
    /// New ones for a port.
    pub(crate) fn new(port: u16) -> Self {
        let key = RandomState::new();
        let eight = |n: u8| key.hash_one(n).to_be_bytes();
        let mut random = [0; 32];
        for (n, chunk) in random.chunks_exact_mut(8).enumerate() {
            chunk.copy_from_slice(&eight(n as u8));
        }
        Self { session: eight(255), random, is_behind_nat: port == 4500, wish: ike::Wish::default() }
    }
}

/// The first packet of a kind; `None` for what is not asked over UDP.
pub(crate) fn question(kind: Over, own: &Own) -> Option<Vec<u8>> {
    match kind {
        Over::Ike => Some(ike::question(own)),
        Over::Openvpn => Some(openvpn::question(own)),
        Over::Dtls => Some(dtls::question(own)),
        _ => None,
    }
}

/// What an answer is, if it is one to a packet of this kind.
pub(crate) fn read(kind: Over, own: &Own, answer: &[u8]) -> Option<String> {
    match kind {
        Over::Ike => ike::read(own, answer).or_else(|| ikev1::read(own, answer)),
        Over::Openvpn => openvpn::read(own, answer),
        Over::Dtls => dtls::read(answer),
        _ => None,
    }
}

/// The packet that makes the sender of an answer say more, if there is one. Each answer brings one at most, and a
/// conversation two.
pub(crate) fn again(kind: Over, own: &mut Own, answer: &[u8]) -> Option<Vec<u8>> {
    (kind == Over::Ike && ike::wishes_more(own, answer)).then(|| ike::question(own))
}

/// Takes bytes for an answer to each kind: for fuzzing.
#[cfg(fuzzing)]
pub(crate) fn hear(bytes: &[u8]) {
    for is_behind_nat in [false, true] {
        let mut own = Own { session: [7; 8], random: [7; 32], is_behind_nat, wish: ike::Wish::default() };
        for kind in [Over::Ike, Over::Openvpn, Over::Dtls] {
            let _ = read(kind, &own, bytes);
            let _ = again(kind, &mut own, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn reading_an_answer_never_panics(answer: Vec<u8>, port: u16) {
            let mut own = Own::new(port);
            for kind in [Over::Ike, Over::Openvpn, Over::Dtls] {
                let _ = read(kind, &own, &answer);
                // The same behind what is expected first.
                let mut real = question(kind, &own).unwrap();
                real.truncate(60);
                real.extend(&answer);
                let _ = read(kind, &own, &real);
                let _ = again(kind, &mut own, &answer);
            }
            // Behind the header of an answer of IKEv1.
            let own = Own::new(500);
            let (mut real, _) = last_questions(500, &own).unwrap();
            real.truncate(28);
            real[8..16].fill(1);
            real.extend(&answer);
            assert!(read(Over::Ike, &own, &real).is_some_and(|said| said.starts_with("IKEv1")));
        }
    }

    #[test]
    fn our_own_question_is_no_answer() {
        let own = Own::new(443);
        for kind in [Over::Ike, Over::Openvpn, Over::Dtls] {
            assert_eq!(read(kind, &own, &question(kind, &own).unwrap()), None, "{kind:?}");
        }
        let own = Own::new(4500);
        let (gentle, usual) = last_questions(4500, &own).unwrap();
        for question in [gentle, usual] {
            assert_eq!(read(Over::Ike, &own, &question), None);
        }
    }
}
