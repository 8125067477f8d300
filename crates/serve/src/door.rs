//! Door: may this report come in?
//!
//! In the order in which a clerk asks: what did the officer sign, is it this report, is he one of the organisation's,
//! is it the organisation's own, do we take reports under that directive, does the form hold? The form is the
//! authority's own, and so is the judgement: what the report says of its own rules is not looked at.

use std::collections::BTreeMap;

use attest::{ATTESTATION, Attestation, PublicKey, Refused, sha256, verify};
use axum::http::StatusCode;
use directive::answers::{self, Given, GivenRow, Judgement};
use directive::pack::Pack;
use jiff::Timestamp;

use crate::problem::MOST_NAMED;
use crate::protocol::{Answer, Problem, Signed, Submitted};

/// What the door knows.
#[derive(Debug)]
pub(crate) struct Door {
    /// Whether it takes exercises, and nothing else.
    pub(crate) exercise: bool,
    /// The packs whose forms are taken, by id.
    pub(crate) packs: BTreeMap<String, Pack>,
}

/// A report that may come in. Only [`Door::judge`] makes one.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) attestation: Attestation,
    pub(crate) officer_key: PublicKey,
}

type Refusal = Box<Problem>;

impl Door {
    /// Judges the report of an organisation whose token was right.
    pub(crate) fn judge(
        &self,
        organisation: &str,
        officers: &[PublicKey],
        signed: &Signed,
        report: &[u8],
    ) -> Result<Accepted, Refusal> {
        let attestation = Attestation::parse(&signed.statement)
            .map_err(|err| bad("statement", "the attestation is none", err.to_string()))?;
        if sha256(report) != attestation.report_sha256 {
            let detail = "The report is not the one that the officer signed: its SHA-256 is another.";
            return Err(bad("digest", "the report was changed", detail));
        }
        let officer_key = officer(officers, signed)?;
        if attestation.organisation != organisation {
            return Err(foreign(&attestation.organisation));
        }
        let submitted: Submitted = serde_json::from_slice(report)
            .map_err(|err| bad("report", "the report cannot be read", format!("It is no report in JSON: {err}.")))?;
        self.compare(organisation, &attestation, &submitted)?;
        let Some(pack) = self.packs.get(&attestation.pack.id) else {
            let taken: Vec<_> = self.packs.keys().map(String::as_str).collect();
            let detail = format!("Reports are taken under: {}.", taken.join(", "));
            return Err(unfit("directive", "no report is taken under this directive", detail));
        };
        let judgement = judge(pack, &submitted);
        if judgement.is_whole() { Ok(Accepted { attestation, officer_key }) } else { Err(broken(pack, judgement)) }
    }

    /// What the officer signed and what the report says of itself must be one.
    fn compare(&self, organisation: &str, attestation: &Attestation, submitted: &Submitted) -> Result<(), Refusal> {
        if submitted.organisation != organisation {
            return Err(foreign(&submitted.organisation));
        }
        let is_same = submitted.pack.id == attestation.pack.id
            && submitted.pack.sha256 == attestation.pack.sha256
            && submitted.at == attestation.as_of
            && submitted.exercise == attestation.exercise;
        if !is_same {
            let detail = "Directive, time or exercise are not what the officer's statement says.";
            return Err(bad("statement", "the attestation is of another report", detail));
        }
        if submitted.exercise != self.exercise {
            let detail = match self.exercise {
                true => "This server takes reports of exercises, and this one is real. Hand it in where real ones go.",
                false => "This is the report of an exercise, and this server takes real ones.",
            };
            return Err(unfit("exercise", "exercise and real reports are kept apart", detail));
        }
        Ok(())
    }

    /// When the next report of an organisation is due, given when it handed in the last one: the first time after that,
    /// and for whoever is behind all of them, the last.
    pub(crate) fn due(&self, directive: &str, last: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let pack = self.packs.get(directive)?;
        let mut due: Vec<_> = pack.filing(now).into_iter().filter_map(|(_, due)| due).collect();
        due.sort();
        let next = due.iter().find(|due| last.is_none_or(|last| **due > last));
        next.or(due.last()).copied()
    }
}

/// The key of the officer, which must be one that the organisation named to the authority.
fn officer(officers: &[PublicKey], signed: &Signed) -> Result<PublicKey, Refusal> {
    verify(&signed.statement, &signed.signature, ATTESTATION, officers).map_err(|refused| match &refused {
        Refused::OtherKey(_) => Problem::new(
            StatusCode::FORBIDDEN,
            "officer",
            "the signature is of no officer of this organisation",
            format!("{}. The authority enrols the keys of officers.", sentence(&refused)),
        ),
        _ => bad("signature", "the attestation is not signed", format!("{}.", sentence(&refused))),
    })
}

fn sentence(refused: &Refused) -> String {
    let text = refused.to_string();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
}

fn judge(pack: &Pack, submitted: &Submitted) -> Judgement {
    fn given(answers: &[Answer]) -> Vec<Given<'_>> {
        answers.iter().map(|answer| Given { id: &answer.id, value: answer.value.as_deref() }).collect()
    }
    let rows: Vec<_> = submitted
        .form
        .rows
        .iter()
        .map(|row| GivenRow { instance: &row.instance, answers: given(&row.answers) })
        .collect();
    answers::judge(&pack.form, &given(&submitted.form.fields), &rows)
}

fn broken(pack: &Pack, judgement: Judgement) -> Refusal {
    let Judgement { mut missing, mut broken } = judgement;
    let detail = format!(
        "{}, version {}: {} answers are missing and {} rules do not hold. `portcullis report lint` names them too.",
        pack.form.title,
        pack.form.version,
        missing.len(),
        broken.len()
    );
    let beyond = missing.len().saturating_sub(MOST_NAMED) + broken.len().saturating_sub(MOST_NAMED);
    missing.truncate(MOST_NAMED);
    broken.truncate(MOST_NAMED);
    let mut problem = *unfit("form", "the form is not complete, or its rules do not hold", detail);
    (problem.missing, problem.broken, problem.more) = (missing, broken, beyond as u64);
    Box::new(problem)
}

pub(crate) fn bad(word: &str, title: &str, detail: impl Into<String>) -> Refusal {
    Problem::new(StatusCode::BAD_REQUEST, word, title, detail)
}

fn unfit(word: &str, title: &str, detail: impl Into<String>) -> Refusal {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, word, title, detail)
}

fn foreign(named: &str) -> Refusal {
    Problem::new(
        StatusCode::FORBIDDEN,
        "organisation",
        "the report is of another organisation",
        format!("It is of {named:?}, and the token is not."),
    )
}
