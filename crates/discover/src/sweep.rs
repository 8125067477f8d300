//! Sweep: which addresses of the scope answer?
//!
//! Every address ends in exactly one state, so that the numbers add up: an address that we could
//! not ask is counted as such, never as one where nobody is.
//! Serves ED 21-03 action 1 (enumerate all instances). Speed: bounded by the scope's rate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use directive::progress::Progress;
use directive::record::Ledger;
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::ask::{Answer, Questions, ask};
use crate::fence::{ConnectError, Fence};
use crate::limits::Limits;

/// How often a request to stop is looked for.
const STOP_CHECK: Duration = Duration::from_millis(100);

/// What became of an address.
#[derive(Debug)]
pub(crate) enum State<T> {
    /// It accepted a connection.
    Answered(T),
    /// It refused the connection.
    Refused,
    /// A device between us said no.
    Filtered,
    /// Nothing came back.
    Silent,
    /// The run was interrupted, or this machine could not ask: why.
    NotAsked(String),
}

/// What a sweep needs, shared by its conversations.
#[derive(Debug)]
pub(crate) struct Sweep {
    pub(crate) fence: Fence,
    pub(crate) limits: Limits,
    pub(crate) questions: Questions,
}

/// Asks every target, and has `read` condense each answer as it comes: pages are large.
///
/// The result has the order of `targets`.
pub(crate) async fn sweep<T>(
    sweep: Arc<Sweep>,
    targets: &[SocketAddr],
    progress: &dyn Progress,
    read: impl Fn(SocketAddr, Answer) -> T,
) -> Vec<State<T>> {
    progress.expect(targets.len() as u64);
    let mut states: Vec<State<T>> = Vec::new();
    states.resize_with(targets.len(), || State::NotAsked("the run was stopped before its turn".to_owned()));
    let mut waiting = targets.iter().copied().enumerate();
    let mut talks = JoinSet::new();
    let mut tick = interval(STOP_CHECK);
    loop {
        while talks.len() < sweep.limits.concurrency.max(1) && !progress.stop_requested() {
            let Some((index, target)) = waiting.next() else { break };
            let sweep = Arc::clone(&sweep);
            talks.spawn(async move { (index, sweep.visit(target).await) });
        }
        tokio::select! {
            done = talks.join_next() => match done {
                None => break,
                Some(Ok((index, state))) => {
                    states[index] = state.map(|answer| read(targets[index], answer));
                    progress.advance(1, 0);
                }
                // A conversation that panicked stays "not asked"; nothing else is lost.
                Some(Err(_)) => {}
            },
            _ = tick.tick() => if progress.stop_requested() { break },
        }
    }
    states
}

impl Sweep {
    async fn visit(&self, target: SocketAddr) -> State<Answer> {
        let mut tries = self.limits.attempts.max(1);
        loop {
            tries -= 1;
            return match self.fence.connect(target).await {
                Ok(stream) => State::Answered(ask(&self.fence, &self.limits, &self.questions, target, stream).await),
                Err(ConnectError::Silent) if tries > 0 => continue,
                Err(ConnectError::Silent) => State::Silent,
                Err(ConnectError::Refused) => State::Refused,
                Err(ConnectError::Filtered { .. }) => State::Filtered,
                Err(err @ ConnectError::Local { .. }) => {
                    let cause = std::error::Error::source(&err).map(ToString::to_string).unwrap_or_default();
                    State::NotAsked(format!("{err}: {cause}"))
                }
                Err(err @ ConnectError::Outside { .. }) => State::NotAsked(err.to_string()),
            };
        }
    }
}

impl<T> State<T> {
    fn map<U>(self, read: impl FnOnce(T) -> U) -> State<U> {
        match self {
            Self::Answered(answer) => State::Answered(read(answer)),
            Self::Refused => State::Refused,
            Self::Filtered => State::Filtered,
            Self::Silent => State::Silent,
            Self::NotAsked(why) => State::NotAsked(why),
        }
    }
}

/// Counts every address once.
pub(crate) fn ledger<T>(states: &[State<T>], excluded: u64, connections: u64) -> Ledger {
    let mut ledger = Ledger { addresses: states.len() as u64, excluded, connections, ..Ledger::default() };
    for state in states {
        *match state {
            State::Answered(_) => &mut ledger.answered,
            State::Refused => &mut ledger.refused,
            State::Filtered => &mut ledger.filtered,
            State::Silent => &mut ledger.silent,
            State::NotAsked(_) => &mut ledger.not_asked,
        } += 1;
    }
    ledger
}
