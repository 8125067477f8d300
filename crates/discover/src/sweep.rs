//! Sweep: which addresses of the scope answer?
//!
//! Every address ends in exactly one state, so that the numbers add up: an address that we could
//! not ask is counted as such, never as one where nobody is. Where a first pass with packets of our own is possible
//! (`first.rs`), only what answered it is connected to.
//! Serves ED 21-03 action 1 (enumerate all instances). Speed: bounded by the scope's rate.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use directive::progress::Progress;
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::ask::{Answer, Page, Questions, Trouble, ask};
use crate::fence::{ConnectError, Fence};
use crate::first::Told;
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
    pub(crate) fence: Arc<Fence>,
    pub(crate) limits: Limits,
    pub(crate) questions: Questions,
}

/// What is still to be done, and what the first pass says meanwhile.
pub(crate) struct Ahead {
    /// Targets to connect to without a first pass, by their index.
    pub(crate) unasked: Vec<usize>,
    /// What the first pass tells of the others; `None` where there is none.
    pub(crate) first: Option<UnboundedReceiver<(usize, Told)>>,
}

/// One conversation to begin.
enum Next {
    /// Nothing is known of it.
    Visit(usize),
    /// It has answered a packet; how long a connection may take.
    Talk(usize, Duration),
}

/// Asks every target, and has `read` condense each answer as it comes: pages are large.
///
/// The result has the order of `targets`.
pub(crate) async fn sweep<T>(
    sweep: Arc<Sweep>,
    targets: &[SocketAddr],
    ahead: Ahead,
    progress: &dyn Progress,
    read: impl Fn(SocketAddr, Answer) -> T,
) -> Vec<State<T>> {
    progress.expect(targets.len() as u64);
    let mut states: Vec<State<T>> = Vec::new();
    states.resize_with(targets.len(), || State::NotAsked("the run was stopped before its turn".to_owned()));
    let Ahead { unasked, mut first } = ahead;
    let mut waiting: VecDeque<Next> = unasked.into_iter().map(Next::Visit).collect();
    let mut talks = JoinSet::new();
    let mut tick = interval(STOP_CHECK);
    loop {
        while talks.len() < sweep.limits.concurrency.max(1) && !progress.stop_requested() {
            let Some(next) = waiting.pop_front() else { break };
            let (index, known) = next.known();
            let Some(target) = targets.get(index).copied() else { continue };
            let sweep = Arc::clone(&sweep);
            talks.spawn(async move { (index, sweep.converse(target, known).await) });
        }
        if talks.is_empty() && waiting.is_empty() && first.is_none() {
            break;
        }
        let (index, state) = tokio::select! {
            Some(done) = talks.join_next() => match done {
                Ok((index, state)) => (index, state.map(|answer| read(targets[index], answer))),
                // A conversation that panicked stays "not asked"; nothing else is lost.
                Err(_) => continue,
            },
            told = told(&mut first) => match told {
                Some((index, Told::Open(patience))) => {
                    waiting.push_front(Next::Talk(index, patience));
                    continue;
                }
                Some((index, Told::Refused)) => (index, State::Refused),
                Some((index, Told::Filtered)) => (index, State::Filtered),
                Some((index, Told::Silent)) => (index, State::Silent),
                Some((index, Told::NotAsked(why))) => (index, State::NotAsked(why)),
                None => {
                    first = None;
                    continue;
                }
            },
            _ = tick.tick() => if progress.stop_requested() { break } else { continue },
        };
        states[index] = state;
        progress.advance(1, 0);
    }
    states
}

/// The next word of the first pass; never comes where there is none.
async fn told(first: &mut Option<UnboundedReceiver<(usize, Told)>>) -> Option<(usize, Told)> {
    match first {
        Some(first) => first.recv().await,
        None => std::future::pending().await,
    }
}

impl Next {
    fn known(self) -> (usize, Option<Duration>) {
        match self {
            Self::Visit(index) => (index, None),
            Self::Talk(index, patience) => (index, Some(patience)),
        }
    }
}

impl Sweep {
    async fn converse(&self, target: SocketAddr, known: Option<Duration>) -> State<Answer> {
        match known {
            None => self.visit(target).await,
            Some(patience) => State::Answered(self.talk(target, patience).await),
        }
    }

    /// Connects to an address of which nothing is known, and talks.
    async fn visit(&self, target: SocketAddr) -> State<Answer> {
        let mut tries = self.limits.attempts.max(1);
        loop {
            tries -= 1;
            return match self.fence.connect(target).await {
                Ok(stream) => State::Answered(self.ask(target, stream).await),
                Err(ConnectError::Silent) if tries > 0 => continue,
                Err(ConnectError::Silent) => State::Silent,
                Err(ConnectError::Refused) => State::Refused,
                Err(ConnectError::Filtered { .. }) => State::Filtered,
                Err(err) => State::NotAsked(reason(&err)),
            };
        }
    }

    /// Connects to an address that has answered a packet, and talks. Where it does not let us in now, it has answered
    /// nevertheless, and what it is stays open.
    async fn talk(&self, target: SocketAddr, patience: Duration) -> Answer {
        let problem = match self.fence.connect_again(target, patience, self.limits.persistence).await {
            Ok(stream) => return self.ask(target, stream).await,
            Err(err) => reason(&err),
        };
        let problem = format!("it answered a packet before, and now: {problem}");
        Answer { troubles: vec![Trouble::Missing { what: "a connection".to_owned(), problem }], ..Answer::default() }
    }

    async fn ask(&self, target: SocketAddr, stream: TcpStream) -> Answer {
        let mut answer = ask(&self.fence, &self.limits, &self.questions, target, stream).await;
        answer.repeats_itself = self.repeats_itself(target, &answer).await;
        answer
    }

    /// Whether a path that nobody has gives the same page as one where a version is. Few have such a page, so that
    /// few are asked once more.
    async fn repeats_itself(&self, target: SocketAddr, answer: &Answer) -> bool {
        let given = |page: &&Page| page.status == 200 && !page.body.is_empty();
        let real =
            answer.pages.iter().filter(given).find_map(|page| Some((page, self.questions.controls.get(&page.path)?)));
        let Some((real, control)) = real else { return false };
        let (patience, tries) = (self.limits.connect, self.limits.persistence);
        let Ok(stream) = self.fence.connect_again(target, patience, tries).await else { return false };
        let questions = Questions {
            ssh: false,
            paths: vec![control.clone()],
            controls: BTreeMap::new(),
            versions: Vec::new(),
            further: Vec::new(),
            icon: false,
            jarm: false,
            ..self.questions.clone()
        };
        let second = ask(&self.fence, &self.limits, &questions, target, stream).await;
        second.pages.iter().any(|page| page.status == 200 && page.body == real.body)
    }
}

/// Why something could not be asked, with its cause.
pub(crate) fn reason(err: &ConnectError) -> String {
    match std::error::Error::source(err) {
        Some(cause) => format!("{err}: {cause}"),
        None => err.to_string(),
    }
}

impl<T> State<T> {
    pub(crate) fn map<U>(self, read: impl FnOnce(T) -> U) -> State<U> {
        match self {
            Self::Answered(answer) => State::Answered(read(answer)),
            Self::Refused => State::Refused,
            Self::Filtered => State::Filtered,
            Self::Silent => State::Silent,
            Self::NotAsked(why) => State::NotAsked(why),
        }
    }
}
