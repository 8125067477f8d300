//! Host key: which key does an SSH server prove its name with?
//!
//! A key exchange is begun as any client begins it, and ends when the server has shown its key: no key is derived,
//! nobody logs in. A machine makes that key for itself, so that two addresses with one key are one machine, or one was
//! copied from the other. The signature is not verified: what is counted here is not trusted for anything.
//! Source: RFC 4253 sections 4.2, 6 (packets), 7.1 (KEXINIT), 8 (reply); RFC 8731 (curve25519-sha256); fingerprints as
//! `ssh-keygen -l` shows them.

use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fence::Fence;
use crate::limits::Limits;

const KEXINIT: u8 = 20;
const KEX_ECDH_INIT: u8 = 30;
const KEX_ECDH_REPLY: u8 = 31;

/// The longest packet that is read; RFC 4253 section 6.1 wants 35,000 bytes to be understood.
const LONGEST: usize = 35_000;

/// Packets and lines before the reply that are passed over.
const MOST: usize = 20;

/// What we offer, in the order of RFC 4253 section 7.1. The key of the kind that is first here is shown.
const OFFERS: [&str; 10] = [
    "curve25519-sha256,curve25519-sha256@libssh.org",
    "ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256",
    "aes128-ctr,aes256-ctr,aes128-gcm@openssh.com,chacha20-poly1305@openssh.com",
    "aes128-ctr,aes256-ctr,aes128-gcm@openssh.com,chacha20-poly1305@openssh.com",
    "hmac-sha2-256,hmac-sha2-512,hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-256,hmac-sha2-512,hmac-sha2-256-etm@openssh.com",
    "none",
    "none",
    "",
    "",
];

/// The fingerprint of the server's key, `SHA256:...`; `None` if it shows none.
pub(super) async fn ask(fence: &Fence, limits: &Limits, target: SocketAddr) -> Option<String> {
    let stream = fence.connect_again(target, limits.connect, limits.persistence).await.ok()?;
    timeout(limits.answer, exchange(BufStream::new(stream))).await.ok()?
}

async fn exchange(mut stream: BufStream<TcpStream>) -> Option<String> {
    stream.write_all(b"SSH-2.0-Portcullis\r\n").await.ok()?;
    stream.write_all(&packet(&offer())).await.ok()?;
    stream.flush().await.ok()?;
    skip_identification(&mut stream).await?;
    for _ in 0..MOST {
        let message = receive(&mut stream).await?;
        match *message.first()? {
            KEXINIT => {
                stream.write_all(&packet(&init())).await.ok()?;
                stream.flush().await.ok()?;
            }
            KEX_ECDH_REPLY => return fingerprint(&message),
            _ => {}
        }
    }
    None
}

/// Reads up to the end of the server's identification.
async fn skip_identification(stream: &mut BufStream<TcpStream>) -> Option<()> {
    for _ in 0..MOST {
        let mut line = Vec::new();
        stream.take(1024).read_until(b'\n', &mut line).await.ok()?;
        if line.is_empty() || line.starts_with(b"SSH-") {
            return line.starts_with(b"SSH-").then_some(());
        }
    }
    None
}

/// The payload of the next packet, before anything is encrypted.
async fn receive(stream: &mut BufStream<TcpStream>) -> Option<Vec<u8>> {
    let length = usize::try_from(stream.read_u32().await.ok()?).ok().filter(|length| *length <= LONGEST)?;
    let mut whole = vec![0; length];
    stream.read_exact(&mut whole).await.ok()?;
    let padding = usize::from(*whole.first()?);
    let end = length.checked_sub(padding)?;
    Some(whole.get(1..end)?.to_vec())
}

/// A payload in a packet: its length and that of the padding, which fills it up to a multiple of eight and has at least
/// four bytes.
fn packet(payload: &[u8]) -> Vec<u8> {
    let padding = 4 + (8 - (payload.len() + 9) % 8) % 8;
    let mut packet = ((payload.len() + padding + 1) as u32).to_be_bytes().to_vec();
    packet.push(padding as u8);
    packet.extend(payload);
    packet.extend(vec![0; padding]);
    packet
}

fn offer() -> Vec<u8> {
    let mut payload = vec![KEXINIT];
    payload.extend(random());
    for names in OFFERS {
        payload.extend((names.len() as u32).to_be_bytes());
        payload.extend(names.as_bytes());
    }
    // No guess follows; four bytes for later.
    payload.extend([0; 5]);
    payload
}

/// Our half of the exchange. Any 32 bytes are a point (RFC 7748 section 5); nobody needs to know what comes of it.
fn init() -> Vec<u8> {
    let mut payload = vec![KEX_ECDH_INIT];
    payload.extend(32_u32.to_be_bytes());
    payload.extend(random());
    payload.extend(random());
    payload
}

fn random() -> [u8; 16] {
    let key = RandomState::new();
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&key.hash_one(0).to_be_bytes());
    bytes[8..].copy_from_slice(&key.hash_one(1).to_be_bytes());
    bytes
}

/// The reply begins with the key.
fn fingerprint(reply: &[u8]) -> Option<String> {
    let (length, rest) = reply.get(1..)?.split_first_chunk::<4>()?;
    let key = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?).filter(|key| !key.is_empty())?;
    Some(format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_a_multiple_of_eight_with_four_bytes_of_padding_at_least() {
        for length in 0..40 {
            let packet = packet(&vec![7; length]);
            // Source: RFC 4253 section 6.
            assert!(packet.len().is_multiple_of(8) && packet[4] >= 4 && packet.len() >= 16, "{length}: {packet:?}");
            assert_eq!(packet.len(), 5 + length + usize::from(packet[4]));
        }
    }

    #[test]
    fn a_reply_that_is_cut_shows_no_key() {
        assert_eq!(fingerprint(&[KEX_ECDH_REPLY, 0, 0, 0, 9, 1]), None);
        assert_eq!(fingerprint(&[KEX_ECDH_REPLY, 0, 0, 0, 0]), None);
        // SHA-256 of "abc".
        let shown = fingerprint(&[KEX_ECDH_REPLY, 0, 0, 0, 3, b'a', b'b', b'c', 9, 9]).unwrap();
        assert_eq!(shown, "SHA256:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0");
    }
}
