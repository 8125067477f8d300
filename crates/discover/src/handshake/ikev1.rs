//! Ikev1: does a responder answer that knows only the first version of IKE?
//!
//! The first message of main mode. It offers what hardly anybody takes, so that the responder refuses it
//! (NO-PROPOSAL-CHOSEN) and forgets us: one that it takes leaves a half-open association behind, and five of those made
//! strongSwan silent to us and to all behind our address, where a dozen refusals changed nothing (strongswan.conf(5),
//! `block_threshold`). A refusal names no vendor, and nobody is asked again for one. Who refuses in silence gets one
//! message with common transforms. Who answers our IKEv2 by saying that it knows no such version
//! (INVALID-MAJOR-VERSION, 5) is heard too, and not asked any more.
//! Source: RFC 2408 sections 3.1 (header), 3.2 (payloads), 3.3 (attributes), 3.4 to 3.6 (SA, proposal, transform), 3.14
//! (notification), 3.16 (vendor id), 5.2 (versions), 5.4 (a refusal may be silent); RFC 2409 sections 5 and 5.1 and
//! appendix A; RFC 2407 section 4.2 (IPsec DOI); RFC 3526 (groups 5 and 14); IANA, "Internet Key Exchange (IKE)
//! Attributes" (SHA2-256).

use std::fmt::Write as _;

use directive::record::hex;

use super::Own;
use super::ike::{chain, payload};

const HEADER: usize = 28;
const VERSION_1: u8 = 0x10;
/// Types of exchanges: identity protection is main mode.
const MAIN_MODE: u8 = 2;
const INFORMATIONAL: u8 = 5;
const FLAG_ENCRYPTED: u8 = 1;
/// Types of payloads.
const SA: u8 = 1;
const TRANSFORM: u8 = 3;
const NOTIFY: u8 = 11;
const VENDOR: u8 = 13;

/// The IPsec DOI, and `SIT_IDENTITY_ONLY` of it.
const DOI_AND_SITUATION: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];

/// Encryption, its key length in bits where it takes one, hash, authentication, group.
type Transform = [u16; 5];

/// DES-CBC, MD5, DSS signatures, MODP 768: all defined, and together hardly ever taken.
const UNUSUAL: Transform = [1, 0, 1, 2, 1];

/// AES-CBC with SHA2-256 and SHA, 3DES-CBC with SHA; each with pre-shared keys and RSA signatures, in MODP 2048, 1536
/// and 1024.
const CIPHERS: [[u16; 3]; 4] = [[7, 256, 4], [7, 256, 2], [7, 128, 2], [5, 0, 2]];
const AUTHENTICATIONS: [u16; 2] = [1, 3];
const GROUPS: [u16; 3] = [14, 5, 2];

/// A message that is refused and leaves nothing behind.
pub(super) fn question(own: &Own) -> Vec<u8> {
    message(own, &[UNUSUAL])
}

/// A message that most take.
pub(super) fn usual_question(own: &Own) -> Vec<u8> {
    let with = |[cipher, bits, hash]: [u16; 3]| {
        let of = move |authentication| GROUPS.map(move |group| [cipher, bits, hash, authentication, group]);
        AUTHENTICATIONS.into_iter().flat_map(of)
    };
    message(own, &CIPHERS.into_iter().flat_map(with).collect::<Vec<_>>())
}

/// Header and SA payload with one proposal.
fn message(own: &Own, offered: &[Transform]) -> Vec<u8> {
    let mut transforms = Vec::new();
    for (n, transform) in offered.iter().enumerate() {
        let next = if n + 1 < offered.len() { TRANSFORM } else { 0 };
        transforms.extend(payload(next, &self::transform(n as u8 + 1, *transform)));
    }
    // Number 1, PROTO_ISAKMP, no SPI.
    let mut proposal = vec![1, 1, 0, offered.len() as u8];
    proposal.extend(transforms);
    let mut association = DOI_AND_SITUATION.to_vec();
    association.extend(payload(0, &proposal));
    let body = payload(0, &association);

    let mut packet = if own.is_behind_nat { vec![0; 4] } else { Vec::new() };
    packet.extend(own.session);
    packet.extend([0; 8]);
    packet.extend([SA, VERSION_1, MAIN_MODE, 0, 0, 0, 0, 0]);
    packet.extend(((HEADER + body.len()) as u32).to_be_bytes());
    packet.extend(body);
    packet
}

/// A transform of `KEY_IKE` without its header: attributes in the short form, and a life of eight hours.
fn transform(number: u8, [cipher, bits, hash, authentication, group]: Transform) -> Vec<u8> {
    let mut content = vec![number, 1, 0, 0];
    let attributes = [(1, cipher), (14, bits), (2, hash), (3, authentication), (4, group), (11, 1), (12, 28_800)];
    for (kind, value) in attributes.into_iter().filter(|(_, value)| *value != 0) {
        content.extend((0x8000_u16 | kind).to_be_bytes());
        content.extend(value.to_be_bytes());
    }
    content
}

/// `IKEv1 notify=14`, or `IKEv1 sa vendor=afcad71368a1f1c96b8696fc77570100`: what the answer holds, each in its order.
/// What is longer than the packet ends it.
pub(super) fn read(own: &Own, answer: &[u8]) -> Option<String> {
    let packet = if own.is_behind_nat { answer.strip_prefix(&[0; 4])? } else { answer };
    let (header, rest) = packet.split_at_checked(HEADER)?;
    let [next, version, exchange, flags] = *header.get(16..)?.first_chunk::<4>()?;
    // Our own message has no cookie of a responder.
    let is_answer = header.starts_with(&own.session) && header.get(8..16)? != [0; 8] && flags & FLAG_ENCRYPTED == 0;
    if !is_answer || version >> 4 != VERSION_1 >> 4 || ![MAIN_MODE, INFORMATIONAL].contains(&exchange) {
        return None;
    }
    let mut text = "IKEv1".to_owned();
    for (kind, content) in chain(next, rest) {
        // Writing into a `String` cannot fail.
        let _ = match (kind, content) {
            (SA, _) => write!(text, " sa"),
            (VENDOR, id) => write!(text, " vendor={}", hex(&id[..id.len().min(32)])),
            (NOTIFY, [_, _, _, _, _, _, high, low, ..]) => {
                write!(text, " notify={}", u16::from_be_bytes([*high, *low]))
            }
            _ => Ok(()),
        };
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer to our cookie in this exchange, with these payloads: type and content.
    fn answer(own: &Own, exchange: u8, flags: u8, payloads: &[(u8, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (n, (_, content)) in payloads.iter().enumerate() {
            body.extend(payload(payloads.get(n + 1).map_or(0, |(kind, _)| *kind), content));
        }
        let mut packet = own.session.to_vec();
        packet.extend([7; 8]);
        packet.extend([payloads.first().map_or(0, |(kind, _)| *kind), VERSION_1, exchange, flags, 1, 2, 3, 4]);
        packet.extend(((HEADER + body.len()) as u32).to_be_bytes());
        packet.extend(body);
        packet
    }

    /// As strongSwan refuses: DOI, protocol, length of the SPI, type, and both cookies as SPI.
    const REFUSAL: [u8; 24] = [0, 0, 0, 1, 1, 16, 0, 14, 9, 9, 9, 9, 9, 9, 9, 9, 7, 7, 7, 7, 7, 7, 7, 7];

    #[test]
    fn a_refusal_is_an_answer_and_so_is_a_choice_with_its_vendors() {
        let own = Own::new(500);
        let refused = answer(&own, INFORMATIONAL, 0, &[(NOTIFY, &REFUSAL)]);
        assert_eq!(read(&own, &refused).as_deref(), Some("IKEv1 notify=14"));
        let taken = answer(&own, MAIN_MODE, 0, &[(SA, &[1]), (VENDOR, &[0xaf, 0xca]), (VENDOR, &[9])]);
        assert_eq!(read(&own, &taken).as_deref(), Some("IKEv1 sa vendor=afca vendor=09"));
    }

    #[test]
    fn answers_behind_address_translation_begin_with_four_zeros() {
        let own = Own::new(4500);
        let packet = answer(&own, INFORMATIONAL, 0, &[(NOTIFY, &REFUSAL)]);
        assert_eq!(read(&own, &packet), None);
        assert_eq!(read(&own, &[&[0; 4], &packet[..]].concat()).as_deref(), Some("IKEv1 notify=14"));
    }

    #[test]
    fn what_answers_somebody_else_or_is_no_answer_in_the_clear_is_none() {
        let own = Own::new(500);
        let packet = answer(&own, INFORMATIONAL, 0, &[(NOTIFY, &REFUSAL)]);
        assert_eq!(read(&Own::new(500), &packet), None);
        assert_eq!(read(&own, &answer(&own, INFORMATIONAL, FLAG_ENCRYPTED, &[(NOTIFY, &REFUSAL)])), None);
        assert_eq!(read(&own, &answer(&own, 32, 0, &[])), None);
        let with = |place: usize, value: u8| {
            let mut packet = packet.clone();
            packet[place] = value;
            packet
        };
        assert_eq!(read(&own, &with(17, 0x20)), None);
        let mut without_cookie = packet.clone();
        without_cookie[8..16].fill(0);
        assert_eq!(read(&own, &without_cookie), None);
    }

    #[test]
    fn a_payload_that_is_longer_than_its_packet_ends_the_reading() {
        let own = Own::new(500);
        let mut packet = answer(&own, MAIN_MODE, 0, &[(VENDOR, &[1, 2]), (VENDOR, &[3, 4])]);
        let last = packet.len() - 3;
        packet[last] = 200;
        assert_eq!(read(&own, &packet).as_deref(), Some("IKEv1 vendor=0102"));
        packet[last] = 3;
        assert_eq!(read(&own, &packet).as_deref(), Some("IKEv1 vendor=0102"));
    }

    #[test]
    fn messages_say_their_own_length_and_fit_into_one_packet() {
        let own = Own::new(500);
        for message in [question(&own), usual_question(&own)] {
            assert_eq!(message[24..28], (message.len() as u32).to_be_bytes());
            assert!(message.len() < 1200, "{}", message.len());
        }
    }
}
