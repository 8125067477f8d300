//! IKE: does an IKEv2 responder answer, and which vendor does it name?
//!
//! One IKE_SA_INIT request with proposals that are common; the exchange ends with its answer, before anybody is
//! authenticated. A responder that wants other proposals, another group or a cookie says so, and is one all the same.
//! Source: RFC 7296 sections 1.2, 3.1 to 3.4, 3.10 (notify), 3.12 (vendor id); IANA, IKEv2 parameters.

use std::fmt::Write as _;

use directive::record::hex;

use super::Own;

const HEADER: usize = 28;
const IKE_SA_INIT: u8 = 34;
const VERSION_2: u8 = 0x20;
const FLAG_INITIATOR: u8 = 0x08;
const FLAG_RESPONSE: u8 = 0x20;
/// Types of payloads.
const SA: u8 = 33;
const KEY_EXCHANGE: u8 = 34;
const NONCE: u8 = 40;
const NOTIFY: u8 = 41;
const VENDOR: u8 = 43;

/// Type and id of each transform, with a key length in bits where it takes one: AES-CBC, PRF and integrity by SHA-1 and
/// SHA-256, groups 14 (MODP 2048), 19 (ECP 256) and 31 (Curve25519).
const TRANSFORMS: [(u8, u16, u16); 9] =
    [(1, 12, 128), (1, 12, 256), (2, 2, 0), (2, 5, 0), (3, 2, 0), (3, 12, 0), (4, 14, 0), (4, 19, 0), (4, 31, 0)];

/// The group that our public value is of, and its length.
const GROUP: u16 = 14;
const VALUE: usize = 256;

/// Vendor ids and notifications that are read; a responder sends a handful.
const MOST: usize = 32;

/// A whole IKE_SA_INIT request.
pub(super) fn question(own: &Own) -> Vec<u8> {
    let mut value: Vec<u8> = own.random.iter().copied().cycle().take(VALUE).collect();
    // Below the prime, whose first byte is 255.
    value[0] = 0;
    let mut exchange = GROUP.to_be_bytes().to_vec();
    exchange.extend([0, 0]);
    exchange.extend(value);
    let mut body = payload(KEY_EXCHANGE, &proposal());
    body.extend(payload(NONCE, &exchange));
    body.extend(payload(0, &own.random));

    let mut packet = if own.is_behind_nat { vec![0; 4] } else { Vec::new() };
    packet.extend(own.session);
    packet.extend([0; 8]);
    packet.extend([SA, VERSION_2, IKE_SA_INIT, FLAG_INITIATOR, 0, 0, 0, 0]);
    packet.extend(((HEADER + body.len()) as u32).to_be_bytes());
    packet.extend(body);
    packet
}

/// A payload with its header: `next` is the type of the one behind it.
fn payload(next: u8, content: &[u8]) -> Vec<u8> {
    let mut payload = vec![next, 0];
    payload.extend(((content.len() + 4) as u16).to_be_bytes());
    payload.extend(content);
    payload
}

/// One proposal for IKE with all transforms.
fn proposal() -> Vec<u8> {
    let mut transforms = Vec::new();
    for (n, (kind, id, bits)) in TRANSFORMS.iter().enumerate() {
        let more = if n + 1 < TRANSFORMS.len() { 3 } else { 0 };
        let length: u16 = if *bits > 0 { 12 } else { 8 };
        transforms.extend([more, 0]);
        transforms.extend(length.to_be_bytes());
        transforms.extend([*kind, 0]);
        transforms.extend(id.to_be_bytes());
        if *bits > 0 {
            // Attribute 14, key length, in the short form.
            transforms.extend([0x80, 14]);
            transforms.extend(bits.to_be_bytes());
        }
    }
    let mut proposal = vec![0, 0];
    proposal.extend(((transforms.len() + 8) as u16).to_be_bytes());
    proposal.extend([1, 1, 0, TRANSFORMS.len() as u8]);
    proposal.extend(transforms);
    proposal
}

/// `IKEv2 sa notify=16388 vendor=882fe56d6fd20dbc2251613b2ebe5beb`: what the answer holds, each in its order.
pub(super) fn read(own: &Own, answer: &[u8]) -> Option<String> {
    let packet = if own.is_behind_nat { answer.strip_prefix(&[0; 4])? } else { answer };
    let (header, mut rest) = packet.split_at_checked(HEADER)?;
    let [mut next, version, exchange, flags] = *header.get(16..)?.first_chunk::<4>()?;
    let is_answer = header.starts_with(&own.session) && flags & FLAG_RESPONSE != 0 && flags & FLAG_INITIATOR == 0;
    if !is_answer || version >> 4 != 2 || exchange != IKE_SA_INIT {
        return None;
    }
    let mut text = "IKEv2".to_owned();
    for _ in 0..MOST {
        let Some([following, _, high, low]) = rest.first_chunk::<4>().copied().filter(|_| next != 0) else { break };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some((whole, behind)) = rest.split_at_checked(length).filter(|_| length >= 4) else { break };
        // Writing into a `String` cannot fail.
        let _ = match (next, &whole[4..]) {
            (SA, _) => write!(text, " sa"),
            (VENDOR, id) => write!(text, " vendor={}", hex(&id[..id.len().min(32)])),
            (NOTIFY, [_, _, high, low, ..]) => write!(text, " notify={}", u16::from_be_bytes([*high, *low])),
            _ => Ok(()),
        };
        (next, rest) = (following, behind);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer with these payloads: type and content.
    fn answer(own: &Own, payloads: &[(u8, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (n, (_, content)) in payloads.iter().enumerate() {
            body.extend(payload(payloads.get(n + 1).map_or(0, |(kind, _)| *kind), content));
        }
        let mut packet = own.session.to_vec();
        packet.extend([7; 8]);
        packet.extend([
            payloads.first().map_or(0, |(kind, _)| *kind),
            VERSION_2,
            IKE_SA_INIT,
            FLAG_RESPONSE,
            0,
            0,
            0,
            0,
        ]);
        packet.extend(((HEADER + body.len()) as u32).to_be_bytes());
        packet.extend(body);
        packet
    }

    #[test]
    fn vendors_and_notifications_are_read() {
        let own = Own::new(500);
        let packet = answer(&own, &[(SA, &[1]), (VENDOR, &[0x88, 0x2f]), (NOTIFY, &[0, 0, 0x40, 4])]);
        assert_eq!(read(&own, &packet).as_deref(), Some("IKEv2 sa vendor=882f notify=16388"));
    }

    #[test]
    fn an_answer_to_somebody_else_is_none() {
        let own = Own::new(500);
        assert_eq!(read(&Own::new(500), &answer(&own, &[(SA, &[1])])), None);
    }

    #[test]
    fn a_payload_that_is_longer_than_its_packet_ends_the_reading() {
        let own = Own::new(500);
        let mut packet = answer(&own, &[(VENDOR, &[1, 2]), (VENDOR, &[3, 4])]);
        let last = packet.len() - 3;
        packet[last] = 200;
        assert_eq!(read(&own, &packet).as_deref(), Some("IKEv2 vendor=0102"));
    }
}
