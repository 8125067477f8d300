//! Filing: who answers for the report of a case and who took it, for what people read?
//!
//! Signatures are verified anew, and what is told is what was signed.

use ::attest::{Attestation, Receipt};
use ::case::Case;
use ::directive::pack::Pack;
use ::directive::record;
use ::directive::state::State;
use ::report::filing::{Attested, Filing, Received, Standing};
use jiff::Timestamp;

use super::work;
use crate::error::CommandError;

/// What the case holds about handing in its report under a pack.
pub(in crate::command) fn filing(case: &Case, pack: &Pack, state: &State) -> Result<Filing, CommandError> {
    let attested = match state.filings.attested(pack.id()) {
        None => None,
        Some((recorded, _, attestation)) => {
            let standing = standing(case, pack, state, attestation)?;
            Some(attested(attestation, *recorded, standing))
        }
    };
    let receipts = state.filings.receipts.iter().filter(|(_, _, receipt)| receipt.directive == pack.id());
    Ok(Filing { attested, receipts: receipts.map(|(_, _, receipt)| received(receipt)).collect() })
}

/// Whether the signature of an attestation is of the key that it names, over what it says.
pub(super) fn is_signed(attestation: &record::Attestation) -> bool {
    let signer = Attestation::signer(&attestation.statement, &attestation.signature);
    let said = Attestation::parse(&attestation.statement);
    signer.is_ok_and(|key| key.fingerprint() == attestation.fingerprint)
        && said.is_ok_and(|said| {
            let is_his = said.officer == attestation.officer && said.role == attestation.role;
            let report = said.pack.id == attestation.directive && said.report_sha256 == attestation.report_sha256;
            is_his && report && said.as_of == attestation.as_of
        })
}

fn standing(
    case: &Case,
    pack: &Pack,
    state: &State,
    attestation: &record::Attestation,
) -> Result<Standing, CommandError> {
    if !is_signed(attestation) {
        return Ok(Standing::Forged);
    }
    let Some(bytes) = case.evidence(&attestation.report_sha256)? else {
        return Ok(Standing::Lost);
    };
    let changed = work::changed(pack, state, attestation, &bytes)?;
    Ok(if changed.is_empty() { Standing::Current } else { Standing::Stale(changed) })
}

fn attested(attestation: &record::Attestation, recorded: Timestamp, standing: Standing) -> Attested {
    let said = Attestation::parse(&attestation.statement).ok();
    Attested {
        officer: attestation.officer.clone(),
        role: attestation.role.clone(),
        signed: said.as_ref().map_or(recorded, |said| said.signed),
        as_of: attestation.as_of,
        report_sha256: attestation.report_sha256.clone(),
        fingerprint: attestation.fingerprint.clone(),
        lacking: said.map_or((0, 0), |said| (said.missing, said.broken)),
        standing,
    }
}

fn received(receipt: &record::Receipt) -> Received {
    let signer = Receipt::signer(&receipt.statement, &receipt.signature);
    let said = Receipt::parse(&receipt.statement).ok();
    let is_said = said.is_some_and(|said| {
        let (report, when) = (said.report_sha256 == receipt.report_sha256, said.received == receipt.received);
        let whose = said.authority == receipt.authority && said.directive == receipt.directive;
        report && when && whose && said.version == receipt.version && said.due == receipt.due
    });
    Received {
        authority: receipt.authority.clone(),
        version: receipt.version,
        received: receipt.received,
        due: receipt.due,
        late: ::attest::late(receipt.received, receipt.due),
        report_sha256: receipt.report_sha256.clone(),
        fingerprint: receipt.fingerprint.clone(),
        holds: is_said && signer.is_ok_and(|key| key.fingerprint() == receipt.fingerprint),
    }
}
