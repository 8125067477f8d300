//! Policy: might this key make this signature at that time?
//!
//! A certificate is judged as it stood when the signature was made: what the newest statement of its owner up to then
//! says of purpose and expiry. A key that was revoked because it was stolen, or for no reason that is told, never
//! counts; one that was retired counts for what it signed before. Digests that can be forged do not count over data; in
//! statements of a key about itself SHA-1 does, since whoever could forge those would have to find a second preimage.
//! Source: RFC 9580, sections 5.2.3 (subpackets), 5.2.3.31 (reasons of revocation), 9.5 (digests), 13.

use jiff::Timestamp;
use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{RevocationCode, Signature, SignatureType, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{Fingerprint as Print, KeyDetails, KeyId, PublicParams, Tag, VerifyingKey};

use crate::Refused;
use crate::key::{Fingerprint, day};

/// The shortest RSA key that is believed, in bits (NIST SP 800-131A).
const SHORTEST_RSA: u16 = 2048;

/// How far the signer's clock may be ahead of ours, in seconds.
const AHEAD: i64 = 24 * 3600;

/// Judges a signature over data by one certificate, and says when it was made. `None`: it does not name this
/// certificate.
pub(super) fn judge(
    certificate: &SignedPublicKey,
    signature: &Signature,
    data: &[u8],
    now: Timestamp,
) -> Option<Result<Timestamp, Refused>> {
    if names(signature, &certificate.primary_key) {
        return Some(by_primary(certificate, signature, data, now));
    }
    let subkey = certificate.public_subkeys.iter().find(|subkey| names(signature, &subkey.key))?;
    Some(by_subkey(certificate, subkey, signature, data, now))
}

fn by_primary(
    certificate: &SignedPublicKey,
    signature: &Signature,
    data: &[u8],
    now: Timestamp,
) -> Result<Timestamp, Refused> {
    let name = name(certificate);
    let made = verified(&name, signature, &certificate.primary_key, data, now)?;
    let statement = primary(certificate, made).map_err(|why| Refused::Key { key: name.clone(), why })?;
    // A certificate that says nothing of purposes is of before there were any: then its first key signs.
    if flags(statement).is_some_and(|may_sign| !may_sign) {
        return Err(Refused::Key { key: name, why: "its owner did not make it for signatures".to_owned() });
    }
    Ok(made)
}

fn by_subkey(
    certificate: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    signature: &Signature,
    data: &[u8],
    now: Timestamp,
) -> Result<Timestamp, Refused> {
    let name = name(certificate);
    let made = verified(&name, signature, &subkey.key, data, now)?;
    let wrong = |why: String| Refused::Key { key: name.clone(), why };
    primary(certificate, made).map_err(wrong)?;
    let valid = || {
        let by_owner = |one: &&Signature| one.verify_subkey_binding(&certificate.primary_key, &subkey.key).is_ok();
        subkey.signatures.iter().filter(by_owner)
    };
    let revoked = valid().filter(|one| one.typ() == Some(SignatureType::SubkeyRevocation));
    not_revoked(revoked, made, "its subkey").map_err(wrong)?;
    let bound = valid().filter(|one| one.typ() == Some(SignatureType::SubkeyBinding) && is_understood(one));
    let binding = newest(bound, made).ok_or_else(|| wrong("the subkey was not its own at that time".to_owned()))?;
    if flags(binding) != Some(true) {
        return Err(wrong("its owner did not make the subkey for signatures".to_owned()));
    }
    // Without its own consent a stranger could bind a subkey to his certificate and claim what it signed.
    let back = binding.embedded_signature().filter(|back| is_understood(back));
    if back.is_none_or(|back| back.verify_primary_key_binding(&subkey.key, &certificate.primary_key).is_err()) {
        return Err(wrong("the subkey never said that it belongs to it".to_owned()));
    }
    not_expired(&subkey.key, binding, made, "the subkey").map_err(wrong)?;
    Ok(made)
}

/// Verifies the signature itself; the key is looked at afterwards.
fn verified(
    name: &str,
    signature: &Signature,
    key: &impl VerifyingKey,
    data: &[u8],
    now: Timestamp,
) -> Result<Timestamp, Refused> {
    let weak = |why: &str| Refused::Weak { key: name.to_owned(), why: why.to_owned() };
    if !matches!(signature.typ(), Some(SignatureType::Binary | SignatureType::Text)) {
        return Err(weak("it is no signature over data"));
    }
    if !signature.hash_alg().is_some_and(is_strong) {
        return Err(weak("its digest can be forged"));
    }
    if !is_understood(signature) {
        return Err(weak("it demands something that is not understood here"));
    }
    if let Some(why) = too_weak(key.public_params()) {
        return Err(weak(&why));
    }
    signature.verify(key, data).map_err(|_| Refused::Changed { key: name.to_owned() })?;
    let made = made(signature).ok_or_else(|| weak("it does not say when it was made"))?;
    if made.as_second() > now.as_second().saturating_add(AHEAD) {
        return Err(weak(&format!("it says that it was made in the future, {}", day(made))));
    }
    let lasts = signature.signature_expiration_time().map(|time| i64::from(time.as_secs())).filter(|time| *time > 0);
    if lasts.is_some_and(|lasts| made.as_second().saturating_add(lasts) <= now.as_second()) {
        return Err(weak("it has expired"));
    }
    if time(key.created_at()).is_none_or(|created| created > made) {
        return Err(weak("it is older than its key"));
    }
    Ok(made)
}

/// The owner's newest statement about the whole certificate at that time.
fn primary(certificate: &SignedPublicKey, made: Timestamp) -> Result<&Signature, String> {
    let key = &certificate.primary_key;
    let details = &certificate.details;
    let revoked = details.revocation_signatures.iter().filter(|one| one.verify_key(key).is_ok());
    not_revoked(revoked, made, "it")?;
    let direct = details.direct_signatures.iter().filter(|one| one.verify_key(key).is_ok());
    let certified = details.users.iter().flat_map(|user| {
        let by_owner = |one: &&Signature| one.verify_certification(key, Tag::UserId, &user.id).is_ok();
        let is_statement = |one: &&Signature| one.typ() != Some(SignatureType::CertRevocation);
        user.signatures.iter().filter(is_statement).filter(by_owner)
    });
    let all = direct.chain(certified).filter(|one| is_understood(one));
    let statement = newest(all, made).ok_or("its owner had said nothing of it then")?;
    not_expired(key, statement, made, "the key")?;
    Ok(statement)
}

/// The newest statement of before the signature was made. Where an owner has replaced all of those by a later one, as
/// tools that renew a key do, the oldest that is left counts: it speaks of the same key.
fn newest<'a>(statements: impl Iterator<Item = &'a Signature>, signed: Timestamp) -> Option<&'a Signature> {
    let mut statements: Vec<_> = statements.filter_map(|one| Some((made(one)?, one))).collect();
    statements.sort_by_key(|(at, _)| *at);
    let before = statements.iter().rfind(|(at, _)| *at <= signed);
    before.or(statements.first()).map(|(_, one)| *one)
}

fn not_revoked<'a>(
    revocations: impl Iterator<Item = &'a Signature>,
    signed: Timestamp,
    what: &str,
) -> Result<(), String> {
    for one in revocations {
        let is_retired = matches!(
            one.revocation_reason_code(),
            Some(RevocationCode::KeySuperseded | RevocationCode::KeyRetired | RevocationCode::CertUserIdInvalid)
        );
        let at = made(one);
        if !is_retired || at.is_none_or(|at| at <= signed) {
            let when = at.map_or_else(|| "at an unknown time".to_owned(), |at| format!("on {}", day(at)));
            return Err(format!("{what} was revoked {when}"));
        }
    }
    Ok(())
}

fn not_expired(key: &impl KeyDetails, statement: &Signature, signed: Timestamp, what: &str) -> Result<(), String> {
    let lasts = statement.key_expiration_time().map(|time| i64::from(time.as_secs())).filter(|lasts| *lasts > 0);
    let Some(lasts) = lasts else { return Ok(()) };
    let created = i64::from(key.created_at().as_secs());
    let end = Timestamp::from_second(created.saturating_add(lasts)).map_err(|_| format!("{what} has no end"))?;
    if end <= signed { Err(format!("{what} had expired on {}", day(end))) } else { Ok(()) }
}

/// Whether a statement makes a key for signatures; `None` if it says nothing of purposes.
fn flags(statement: &Signature) -> Option<bool> {
    let says = |data: &SubpacketData| matches!(data, SubpacketData::KeyFlags(_));
    let is_said = statement.config()?.hashed_subpackets().any(|packet| says(&packet.data));
    is_said.then(|| statement.key_flags().sign())
}

/// Whether nothing in it is critical and unknown (RFC 9580, section 5.2.3.7).
fn is_understood(signature: &Signature) -> bool {
    let is_unknown = |data: &SubpacketData| {
        matches!(data, SubpacketData::Other(..) | SubpacketData::Experimental(..) | SubpacketData::Notation(_))
    };
    let config = signature.config();
    config.is_some_and(|config| !config.hashed_subpackets().any(|one| one.is_critical && is_unknown(&one.data)))
}

fn is_strong(hash: HashAlgorithm) -> bool {
    matches!(
        hash,
        HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512
    )
}

/// Why a key is too weak, or of a kind that is not believed.
fn too_weak(params: &PublicParams) -> Option<String> {
    match params {
        PublicParams::RSA(rsa) => {
            // Its first number is the modulus, and before that stands how many bits it has (section 3.2).
            let bytes = rsa.to_bytes().ok()?;
            let bits = u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]);
            (bits < SHORTEST_RSA).then(|| format!("its key has {bits} bits"))
        }
        PublicParams::DSA(_) | PublicParams::Elgamal(_) => Some("its key is of a kind that is not believed".to_owned()),
        _ => None,
    }
}

/// Whether a signature says that this key made it. Where it tells a fingerprint, an id is not asked.
fn names(signature: &Signature, key: &impl KeyDetails) -> bool {
    let prints: Vec<&Print> = signature.issuer_fingerprint();
    if !prints.is_empty() {
        return prints.contains(&&key.fingerprint());
    }
    let ids: Vec<&KeyId> = signature.issuer_key_id();
    ids.contains(&&key.legacy_key_id())
}

fn name(certificate: &SignedPublicKey) -> String {
    Fingerprint::of(certificate.fingerprint().as_bytes()).to_string()
}

fn made(signature: &Signature) -> Option<Timestamp> {
    signature.created().and_then(time)
}

fn time(at: pgp::types::Timestamp) -> Option<Timestamp> {
    Timestamp::from_second(i64::from(at.as_secs())).ok()
}
