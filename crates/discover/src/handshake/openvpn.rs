//! OpenVPN: does a server answer a client's hard reset?
//!
//! The first packet of a session, and the first of the server; TLS never begins. A server with `tls-auth` or
//! `tls-crypt` is silent to us.
//! Source: OpenVPN Wire Protocol (draft-openvpn-wire-protocol), sections on control packets and on the session's
//! beginning; opcodes in OpenVPN's `ssl_pkt.h`.

use super::Own;

/// The opcode is in the upper five bits, the key's number in the lower three.
const HARD_RESET_CLIENT_V2: u8 = 7 << 3;
const HARD_RESET_SERVER_V2: u8 = 8;
const ACK_V1: u8 = 5;

/// A hard reset: opcode, session, no acknowledgements, packet 0.
pub(super) fn question(own: &Own) -> Vec<u8> {
    let mut packet = vec![HARD_RESET_CLIENT_V2];
    packet.extend(own.session);
    packet.extend([0; 5]);
    packet
}

/// `OpenVPN hard-reset` or `OpenVPN ack`, if the packet acknowledges our session. Servers that imitate OpenVPN begin
/// with the second.
pub(super) fn read(own: &Own, answer: &[u8]) -> Option<String> {
    let kind = match answer.first()? >> 3 {
        HARD_RESET_SERVER_V2 => "hard-reset",
        ACK_V1 => "ack",
        _ => return None,
    };
    // Opcode, the server's session, how many packets it acknowledges, their numbers, our session.
    let count = usize::from(*answer.get(9)?);
    let ours = answer.get(10 + count * 4..)?;
    (count > 0 && ours.starts_with(&own.session)).then(|| format!("OpenVPN {kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(opcode: u8, session: [u8; 8]) -> Vec<u8> {
        let mut packet = vec![opcode << 3, 9, 9, 9, 9, 9, 9, 9, 9, 1, 0, 0, 0, 0];
        packet.extend(session);
        packet.extend([0; 4]);
        packet
    }

    #[test]
    fn a_server_that_acknowledges_our_session_is_one() {
        let own = Own::new(1194);
        assert_eq!(read(&own, &answer(8, own.session)).as_deref(), Some("OpenVPN hard-reset"));
        assert_eq!(read(&own, &answer(5, own.session)).as_deref(), Some("OpenVPN ack"));
        assert_eq!(read(&own, &answer(8, [1; 8])), None);
        assert_eq!(question(&own).len(), 14);
    }
}
