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
    Ok(Filing { attested, receipts: receipts(pack, state, Timestamp::MAX) })
}

/// The same as it was when the latest attestation was made: whatever is handed over once is the same ever after. Whoever
/// calls has seen that the case still says what was attested.
pub(super) fn when_attested(pack: &Pack, state: &State) -> Filing {
    let Some((recorded, _, attestation)) = state.filings.attested(pack.id()) else {
        return Filing::default();
    };
    let standing = if is_signed(attestation) { Standing::Current } else { Standing::Forged };
    Filing {
        attested: Some(attested(attestation, *recorded, standing)),
        receipts: receipts(pack, state, *recorded),
    }
}

/// Whether the signature of an attestation is of the key that it names, over what it says.
pub(super) fn is_signed(attestation: &record::Attestation) -> bool {
    let signer = Attestation::signer(&attestation.statement, &attestation.signature);
    let said = Attestation::parse(&attestation.statement);
    signer.is_ok_and(|key| key.fingerprint() == attestation.fingerprint)
        && said.is_ok_and(|said| {
            let names = (said.officer == attestation.officer, said.role == attestation.role);
            let report = said.pack.id == attestation.directive && said.report_sha256 == attestation.report_sha256;
            names == (true, true) && report && said.as_of == attestation.as_of
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
    let (officer, role) = (attestation.officer.clone(), attestation.role.clone());
    Attested {
        officer,
        role,
        signed: said.as_ref().map_or(recorded, |said| said.signed),
        as_of: attestation.as_of,
        report_sha256: attestation.report_sha256.clone(),
        fingerprint: attestation.fingerprint.clone(),
        lacking: said.map_or((0, 0), |said| (said.missing, said.broken)),
        standing,
    }
}

/// The receipts that were recorded up to a time.
fn receipts(pack: &Pack, state: &State, until: Timestamp) -> Vec<Received> {
    let mine = state.filings.receipts.iter().filter(|(at, _, one)| one.directive == pack.id() && *at <= until);
    mine.map(|(_, _, receipt)| received(receipt)).collect()
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
