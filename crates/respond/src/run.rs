//! Run: what happens between two questions to the plan?
//!
//! One step at a time: plan, do, append, plan again. A step's records and the word that it is done
//! go into the case together, so a run that is killed leaves a step whole or not at all. A step that
//! fails is recorded as failed and tried again in the next run, not in this one.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use case::Case;
use check::Hunt;
use check::hunt::Origin;
use directive::action::Does;
use directive::pack::Pack;
use directive::plan::{Again, Plan, PlannedStep, plan};
use directive::progress::Progress;
use directive::record::{Body, Opening, Outcome, Record, Step, short_digest};
use directive::state::State;
use directive::text::chain;
use jiff::Timestamp;

use crate::inputs::Inputs;
use crate::rooms::{self, Fact};

/// Watches a response.
pub trait Watch {
    /// The case was opened, or scope or packs have changed since: these records say so.
    fn opened(&self, records: &[Record]);

    /// A step begins; the progress that is returned watches it.
    fn begins(&self, step: &PlannedStep) -> &dyn Progress;

    /// A step ended, with these records; it stands in the case already.
    fn ended(&self, step: &PlannedStep, records: &[Record]);
}

/// How a run ended.
#[derive(Debug, Clone, Default)]
pub struct Ended {
    /// Everything that this run appended, in order.
    pub records: Vec<Record>,
    /// How many steps failed.
    pub failed: usize,
    /// Whether it was asked to stop before everything was done.
    pub interrupted: bool,
}

/// Why a response could not go on. A step that fails is recorded and does not end it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The case could not be read or written.
    #[error("the case cannot be used")]
    Case {
        /// Why.
        #[from]
        source: case::Error,
    },
    /// Something that the operator gave cannot be used.
    #[error("the response cannot begin")]
    Inputs {
        /// Why.
        #[from]
        source: crate::inputs::Error,
    },
    /// The case belongs to somebody else.
    #[error("the case is {there:?}'s, and the scope says {given:?}")]
    OtherOrganisation {
        /// Whose it is.
        there: String,
        /// Who asks.
        given: String,
    },
}

/// A response to one or more directives, in one case.
pub struct Responder<'a> {
    /// Where records go.
    pub case: &'a mut Case,
    /// The packs.
    pub packs: &'a [Pack],
    /// What the operator gave.
    pub inputs: &'a Inputs,
    /// The time now, in the case's own clock.
    pub now: &'a dyn Fn() -> Timestamp,
    /// Seconds between the machine's clock and the case's own.
    pub clock_offset: i64,
    /// The program and version.
    pub tool: &'a str,
    /// Whether steps that were done are done again.
    pub again: Again,
    /// Threads for reading evidence.
    pub threads: NonZeroUsize,
    /// Who watches.
    pub watch: &'a dyn Watch,
}

impl Responder<'_> {
    /// Does everything that is owed and waits for nobody.
    ///
    /// # Errors
    ///
    /// [`Error`] if the case cannot be used. What was recorded before stays.
    pub fn run(&mut self) -> Result<Ended, Error> {
        let mut state = State::from_records(&self.case.records()?);
        let mut ended = Ended::default();
        self.open(&mut state, &mut ended)?;
        self.watch.opened(&ended.records);
        let mut tried = BTreeSet::new();
        let mut hunts = BTreeMap::new();
        // Each step is tried once a run: one that fails, or is done again, is planned anew at once.
        while let Some(steps) = self.next(&state, &tried) {
            tried.extend(steps.iter().map(|step| (step.action.clone(), step.instance.clone())));
            let progress = self.watch.begins(&steps[0]);
            let done = self.perform(&steps[0], &state, &mut hunts, progress);
            if progress.stop_requested() {
                ended.interrupted = true;
                break;
            }
            let records = self.stamp(&steps, done, &mut ended)?;
            self.append(&records, &mut state, &mut ended)?;
            self.watch.ended(&steps[0], &records);
        }
        Ok(ended)
    }

    /// The plans of all packs, from what the case holds now.
    ///
    /// # Errors
    ///
    /// [`Error::Case`] if the case cannot be read.
    pub fn plans(&self) -> Result<(State, Vec<Plan>), Error> {
        let state = State::from_records(&self.case.records()?);
        let plans = self.packs.iter().map(|pack| plan(pack, &state, (self.now)(), Again::WhenDue)).collect();
        Ok((state, plans))
    }

    /// Records how the case was opened, or that scope or packs have changed since.
    fn open(&mut self, state: &mut State, ended: &mut Ended) -> Result<(), Error> {
        let opening = Opening {
            organisation: self.inputs.scope.organisation.clone(),
            packs: self.packs.iter().map(Pack::reference).collect(),
            scope_sha256: self.inputs.scope_sha256(),
            clock_offset: self.clock_offset,
            tool: self.tool.to_owned(),
        };
        let before = state.opening.as_ref().map(|(_, opening)| opening);
        if let Some(before) = before {
            if before.organisation != opening.organisation {
                let (there, given) = (before.organisation.clone(), opening.organisation);
                return Err(Error::OtherOrganisation { there, given });
            }
            if before.scope_sha256 == opening.scope_sha256 && before.packs == opening.packs {
                return Ok(());
            }
        }
        self.case.put_evidence(&self.inputs.scope_bytes)?;
        let now = (self.now)();
        let step = short_digest(&[b"open", opening.scope_sha256.as_bytes(), now.to_string().as_bytes()]);
        let declared = self.inputs.scope.instances.iter().map(rooms::declared);
        let facts: Vec<Fact> = std::iter::once((None, Body::Case(opening))).chain(declared).collect();
        let records = stamp(&step, now, facts);
        self.append(&records, state, ended)
    }

    /// The next step that was not tried yet; all packs' discoveries are one step.
    fn next(&self, state: &State, tried: &BTreeSet<(String, Option<String>)>) -> Option<Vec<PlannedStep>> {
        let now = (self.now)();
        let plans = self.packs.iter().map(|pack| plan(pack, state, now, self.again));
        let mut steps: Vec<_> = plans.flat_map(|plan| plan.steps).collect();
        steps.retain(|step| !tried.contains(&(step.action.clone(), step.instance.clone())));
        let discoveries: Vec<_> = steps.iter().filter(|step| step.does == Does::Discover).cloned().collect();
        if !discoveries.is_empty() {
            return Some(discoveries);
        }
        steps.truncate(1);
        (!steps.is_empty()).then_some(steps)
    }

    /// `hunts` holds what the packs hunt for, by the pack's id, compiled when it is needed first.
    fn perform(
        &self,
        step: &PlannedStep,
        state: &State,
        hunts: &mut BTreeMap<String, Option<Hunt>>,
        progress: &dyn Progress,
    ) -> Result<Vec<Fact>, rooms::Error> {
        match (step.does, &step.instance) {
            (Does::Discover, _) => rooms::discover(self.packs, self.inputs, state, progress),
            (_, Some(name)) => {
                let pack = self.packs.iter().find(|pack| step.action.starts_with(&format!("{}/", pack.id())));
                let pack = pack.ok_or_else(|| rooms::Error::Undeclared(name.clone()))?;
                let sets = [(&pack.hunting, Origin::Pack)];
                let prepare = || Hunt::within(self.inputs.context(), sets, Default::default());
                let hunt = hunts.entry(pack.id().to_owned()).or_insert_with(prepare).as_ref();
                let order = rooms::Order { pack, hunt, clause: &step.clause, name };
                rooms::check(&order, self.inputs, state, self.threads, progress)
            }
            // No pack can order this: `directive::pack` refuses it.
            (_, None) => Err(rooms::Error::NoInstance(step.action.clone())),
        }
    }

    /// Turns what a room said into records, closed by the word how the step ended.
    fn stamp(
        &mut self,
        steps: &[PlannedStep],
        done: Result<Vec<Fact>, rooms::Error>,
        ended: &mut Ended,
    ) -> Result<Vec<Record>, Error> {
        let (mut facts, outcome, why) = match done {
            Ok(facts) => (facts, Outcome::Done, "it waits for nobody".to_owned()),
            Err(err) => {
                ended.failed += 1;
                (Vec::new(), Outcome::Failed, chain(&err))
            }
        };
        let mut inputs = Vec::new();
        let given = steps[0].instance.as_deref().and_then(|name| self.inputs.given(name));
        for bytes in given.iter().flat_map(|given| &given.bytes) {
            inputs.push(self.case.put_evidence(bytes)?);
        }
        for step in steps {
            let body = Body::Step(Step {
                step: step.id.clone(),
                action: step.action.clone(),
                outcome,
                why: why.clone(),
                by: None,
                inputs: inputs.clone(),
            });
            facts.push((step.instance.clone(), body));
        }
        Ok(stamp(&steps[0].id, (self.now)(), facts))
    }

    fn append(&mut self, records: &[Record], state: &mut State, ended: &mut Ended) -> Result<(), Error> {
        self.case.append(records)?;
        records.iter().for_each(|record| state.add(record));
        ended.records.extend_from_slice(records);
        Ok(())
    }
}

fn stamp(step: &str, now: Timestamp, facts: Vec<Fact>) -> Vec<Record> {
    let stamped = facts.into_iter().enumerate();
    stamped.map(|(n, (instance, body))| Record::stamp(step, n, now, instance.as_deref(), body)).collect()
}
