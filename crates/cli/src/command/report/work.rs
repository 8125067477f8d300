//! Work: which case is reported on, under which pack, as of when?

use case::Case;
use directive::pack::Pack;
use directive::plan::{Again, plan};
use directive::record::{Attestation, Body, Record};
use directive::state::State;
use jiff::Timestamp;
use report::filing::Filing;
use report::{Built, Report};

use super::Args;
use crate::clock::{self, Clock};
use crate::error::CommandError;
use crate::open;

/// A case under one of its packs.
pub(super) struct Work {
    pub(super) case: Case,
    pub(super) pack: Pack,
    pub(super) state: State,
    pub(super) clock: Clock,
    /// As of when the report is made.
    pub(super) at: Timestamp,
    records: i64,
    head: String,
}

impl Work {
    pub(super) fn open(case: Case, args: &Args) -> Result<Self, CommandError> {
        let head = case.verify()?;
        let opening = open::opening(&case)?;
        let named: Vec<_> = args.pack.iter().cloned().collect();
        let mut packs = open::packs_of(&named, opening.as_ref())?;
        if packs.len() > 1 {
            let ids: Vec<_> = packs.iter().map(Pack::id).collect();
            let err = CommandError::new(format!("the case follows {}", ids.join(" and ")));
            return Err(err.hint("choose one with --pack"));
        }
        let Some(pack) = packs.pop() else {
            return Err(CommandError::new("the case follows no pack").hint("name one with --pack"));
        };
        let clock = opening.map_or_else(Clock::machine, |opening| Clock::with_offset(opening.clock_offset));
        let state = State::from_records(&case.records()?);
        let at = args.at.as_deref().map(clock::moment).transpose()?.unwrap_or_else(|| clock.now());
        Ok(Self { case, pack, state, clock, at, records: head.records, head: head.hash })
    }

    /// The report as of a time.
    pub(super) fn report(&self, at: Timestamp) -> Report {
        let tool = concat!("portcullis ", env!("CARGO_PKG_VERSION")).to_owned();
        let built = Built { at, records: self.records, head: self.head.clone(), tool };
        report_of(&self.pack, &self.state, built)
    }

    /// Who answers for the report, and who took it.
    pub(super) fn filing(&self) -> Result<Filing, CommandError> {
        super::filing(&self.case, &self.pack, &self.state)
    }

    /// The latest attestation, with the bytes of the report that it is about.
    pub(super) fn attested(&self) -> Result<Option<(&Attestation, Vec<u8>)>, CommandError> {
        let Some((_, _, attestation)) = self.state.filings.attested(self.pack.id()) else {
            return Ok(None);
        };
        let bytes = self.case.evidence(&attestation.report_sha256)?.ok_or_else(|| {
            CommandError::new(format!(
                "the report that {:?} attested is not in the case any more, or was changed",
                attestation.officer
            ))
            .hint("attest anew: `report attest`")
        })?;
        Ok(Some((attestation, bytes)))
    }

    /// What the case says otherwise now than in a report that was attested. Handing the report in changes nothing.
    pub(super) fn changed(&self, attestation: &Attestation, bytes: &[u8]) -> Result<Vec<String>, CommandError> {
        changed(&self.pack, &self.state, attestation, bytes)
    }

    /// Appends what one command establishes, all or none.
    pub(super) fn append(&mut self, step: &str, bodies: Vec<Body>) -> Result<(), CommandError> {
        let now = self.clock.now();
        let records: Vec<_> =
            bodies.into_iter().enumerate().map(|(n, body)| Record::stamp(step, n, now, None, body)).collect();
        self.case.append(&records)?;
        Ok(())
    }
}

/// The report of what was recorded, as of a time.
pub(super) fn report_of(pack: &Pack, state: &State, built: Built) -> Report {
    Report::build(pack, state, &plan(pack, state, built.at, Again::WhenDue), built)
}

/// What a case says otherwise than in a report that was attested. How long the case is and which program made the
/// report is not compared.
pub(super) fn changed(
    pack: &Pack,
    state: &State,
    attestation: &Attestation,
    bytes: &[u8],
) -> Result<Vec<String>, CommandError> {
    let built = Built { at: attestation.as_of, records: 0, head: String::new(), tool: String::new() };
    let now = report_of(pack, state, built);
    let filed: Vec<_> = pack.form.actions.iter().map(|id| format!("{}/{}", pack.id(), id.get_ref())).collect();
    report::changed(bytes, &now, &filed)
        .map_err(|err| CommandError::because("the attested report cannot be compared", err))
}
