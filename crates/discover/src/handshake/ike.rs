//! IKE: does an IKEv2 responder answer, and which vendor does it name?
//!
//! One IKE_SA_INIT request with proposals that are common; the exchange ends before anybody is authenticated. Its key
//! exchange is of a group that hardly anybody takes, so that the responder names the one it wants and forgets us: a
//! request that it takes leaves a half-open association behind, and a few of those make strongSwan send cookies first
//! and then nothing, to us and to all behind our address (strongswan.conf(5), `cookie_threshold`, `block_threshold`).
//! Only who names no vendor with that answer is asked once more, in the group that it wants.
//! A responder that wants other proposals or a cookie says so, and is one all the same.
//! Source: RFC 7296 sections 1.2 (INVALID_KE_PAYLOAD), 2.6 (COOKIE), 3.1 to 3.4, 3.10 (notify), 3.12 (vendor id); IANA,
//! IKEv2 parameters.

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

/// Notifications that want the request again, otherwise.
const INVALID_KEY_EXCHANGE: u16 = 17;
const COOKIE: u16 = 16390;
/// RFC 7296 section 2.6: a cookie has 1 to 64 bytes.
const LONGEST_COOKIE: usize = 64;

/// Groups of a key exchange: MODP 768 and 2048, ECP 256, Curve25519.
const FIRST_GROUP: u16 = 1;
const MODP_2048: u16 = 14;
const ECP_256: u16 = 19;
const CURVE_25519: u16 = 31;

/// Type and id of each transform, with a key length in bits where it takes one: AES-CBC, PRF and integrity by SHA-1 and
/// SHA-256, and the groups.
const TRANSFORMS: [(u8, u16, u16); 10] = [
    (1, 12, 128),
    (1, 12, 256),
    (2, 2, 0),
    (2, 5, 0),
    (3, 2, 0),
    (3, 12, 0),
    (4, MODP_2048, 0),
    (4, ECP_256, 0),
    (4, CURVE_25519, 0),
    (4, FIRST_GROUP, 0),
];

/// The generator of P-256: a public value that is a point of the curve (SEC 2, section 2.4.2).
const POINT: [u8; 64] = [
    0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d,
    0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a,
    0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb,
    0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
];

/// What a responder wanted of us before it says more. Each is learned once, so that a conversation ends.
#[derive(Debug, Clone, Default)]
pub(super) struct Wish {
    cookie: Option<Vec<u8>>,
    group: Option<u16>,
}

/// Vendor ids and notifications that are read; a responder sends a handful.
const MOST: usize = 32;

/// A whole IKE_SA_INIT request.
pub(super) fn question(own: &Own) -> Vec<u8> {
    let group = own.wish.group.unwrap_or(FIRST_GROUP);
    let mut exchange = group.to_be_bytes().to_vec();
    exchange.extend([0, 0]);
    exchange.extend(public_value(own, group));
    let mut body = payload(KEY_EXCHANGE, &proposal());
    body.extend(payload(NONCE, &exchange));
    body.extend(payload(0, &own.random));
    let mut first = SA;
    if let Some(cookie) = &own.wish.cookie {
        // Of no protocol, no SPI; it stands before all others.
        let mut notify = vec![0, 0];
        notify.extend(COOKIE.to_be_bytes());
        notify.extend(cookie);
        body.splice(0..0, payload(SA, &notify));
        first = NOTIFY;
    }

    let mut packet = if own.is_behind_nat { vec![0; 4] } else { Vec::new() };
    packet.extend(own.session);
    packet.extend([0; 8]);
    packet.extend([first, VERSION_2, IKE_SA_INIT, FLAG_INITIATOR, 0, 0, 0, 0]);
    packet.extend(((HEADER + body.len()) as u32).to_be_bytes());
    packet.extend(body);
    packet
}

/// A public value that the group takes, of no secret that anybody knows or needs.
fn public_value(own: &Own, group: u16) -> Vec<u8> {
    let length = match group {
        ECP_256 => return POINT.to_vec(),
        CURVE_25519 => 32,
        MODP_2048 => 256,
        _ => 96,
    };
    let mut value: Vec<u8> = own.random.iter().copied().cycle().take(length).collect();
    // Below the prime, whose first byte is 255.
    value[0] = 0;
    value
}

/// A payload with its header: `next` is the type of the one behind it.
pub(super) fn payload(next: u8, content: &[u8]) -> Vec<u8> {
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
    let mut text = "IKEv2".to_owned();
    for (kind, content) in payloads(own, answer)? {
        // Writing into a `String` cannot fail.
        let _ = match (kind, content) {
            (SA, _) => write!(text, " sa"),
            (VENDOR, id) => write!(text, " vendor={}", hex(&id[..id.len().min(32)])),
            (NOTIFY, [_, _, high, low, ..]) => write!(text, " notify={}", u16::from_be_bytes([*high, *low])),
            _ => Ok(()),
        };
    }
    Some(text)
}

/// Whether the responder would say more if it is asked again, as `own` then has it. A vendor that is named is enough.
pub(super) fn wishes_more(own: &mut Own, answer: &[u8]) -> bool {
    let Some(payloads) = payloads(own, answer) else { return false };
    if payloads.iter().any(|(kind, _)| *kind == VENDOR) {
        return false;
    }
    payloads.iter().filter(|(kind, _)| *kind == NOTIFY).any(|(_, content)| {
        let [_, spi, high, low, rest @ ..] = content else { return false };
        let data = rest.get(usize::from(*spi)..).unwrap_or_default();
        match (u16::from_be_bytes([*high, *low]), data) {
            (COOKIE, cookie) if own.wish.cookie.is_none() && (1..=LONGEST_COOKIE).contains(&cookie.len()) => {
                own.wish.cookie = Some(cookie.to_vec());
                true
            }
            (INVALID_KEY_EXCHANGE, [high, low]) if own.wish.group.is_none() => {
                let group = u16::from_be_bytes([*high, *low]);
                own.wish.group = [MODP_2048, ECP_256, CURVE_25519].contains(&group).then_some(group);
                own.wish.group.is_some()
            }
            _ => false,
        }
    })
}

/// The type and content of each payload of an answer to our request; what is longer than the packet ends them.
fn payloads<'a>(own: &Own, answer: &'a [u8]) -> Option<Vec<(u8, &'a [u8])>> {
    let packet = if own.is_behind_nat { answer.strip_prefix(&[0; 4])? } else { answer };
    let (header, rest) = packet.split_at_checked(HEADER)?;
    let [next, version, exchange, flags] = *header.get(16..)?.first_chunk::<4>()?;
    let is_answer = header.starts_with(&own.session) && flags & FLAG_RESPONSE != 0 && flags & FLAG_INITIATOR == 0;
    if !is_answer || version >> 4 != 2 || exchange != IKE_SA_INIT {
        return None;
    }
    Some(chain(next, rest))
}

/// The payloads behind a header that says the type of the first: type and content of each.
pub(super) fn chain(mut next: u8, mut rest: &[u8]) -> Vec<(u8, &[u8])> {
    let mut payloads = Vec::new();
    for _ in 0..MOST {
        let Some([following, _, high, low]) = rest.first_chunk::<4>().copied().filter(|_| next != 0) else { break };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some((whole, behind)) = rest.split_at_checked(length).filter(|_| length >= 4) else { break };
        payloads.push((next, &whole[4..]));
        (next, rest) = (following, behind);
    }
    payloads
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

    #[test]
    fn a_responder_that_names_its_vendor_is_asked_once_only() {
        let mut own = Own::new(500);
        let packet = answer(&own, &[(NOTIFY, &[0, 0, 0, 17, 0, 14]), (VENDOR, &[1])]);
        assert!(!wishes_more(&mut own, &packet));
    }

    #[test]
    fn a_cookie_goes_back_and_the_group_that_is_wanted_follows_each_once() {
        let mut own = Own::new(500);
        let cookie = answer(&own, &[(NOTIFY, &[0, 0, 0x40, 6, 0xc0, 0xc1])]);
        assert!(wishes_more(&mut own, &cookie));
        let again = question(&own);
        // The notification with its header of four bytes is the first payload, and the request follows it.
        assert_eq!(again[16], NOTIFY);
        assert_eq!(again[HEADER..HEADER + 10], [SA, 0, 0, 10, 0, 0, 0x40, 6, 0xc0, 0xc1]);
        assert!(!wishes_more(&mut own, &cookie));
        for (group, length) in [(MODP_2048, 256), (ECP_256, 64), (CURVE_25519, 32)] {
            let mut own = own.clone();
            let wrong = answer(&own, &[(NOTIFY, &[0, 0, 0, 17, 0, group as u8])]);
            assert!(wishes_more(&mut own, &wrong));
            assert_eq!(question(&own).len(), again.len() - 96 + length);
            assert!(!wishes_more(&mut own, &wrong));
        }
    }

    #[test]
    fn a_cookie_too_long_and_a_group_that_was_not_offered_are_not_followed() {
        let mut own = Own::new(500);
        let long = [&[0, 0, 0x40, 6][..], &[1; 65]].concat();
        let empty: &[u8] = &[0, 0, 0x40, 6];
        for notify in [&long, empty, &[0, 0, 0, 17, 0, 2], &[0, 200, 0, 17, 0, 14], &[0, 0]] {
            let packet = answer(&own, &[(NOTIFY, notify)]);
            assert!(!wishes_more(&mut own, &packet), "{notify:?}");
        }
    }
}
