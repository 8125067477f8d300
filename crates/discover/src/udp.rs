//! Udp: which addresses answer the handshake of a VPN?
//!
//! Asks each UDP port that the scope names, again where nothing comes back, since packets are lost. An answer that
//! belongs to no question of ours is none.
//! Serves ED 21-03 action 1. Source: RFC 1122 section 4.1.3.3 (a closed port says so).

use std::net::SocketAddr;
use std::sync::Arc;

use directive::probe::Over;
use directive::progress::Progress;
use directive::record::{Instance, InstanceState, UdpCount, Version};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Known;
use crate::ask::{Answer, Spoken};
use crate::fence::{ConnectError, Datagrams, Fence};
use crate::handshake::{self, Own};
use crate::identify::Reading;
use crate::limits::Limits;
use crate::sweep::{State, reason};

/// Answers that are no answers to our question and are passed over, for each try.
const STRANGE: usize = 8;

/// Asks every target, and has `read` condense each answer. The result has the order of `targets`.
pub(crate) async fn sweep<T>(
    fence: Arc<Fence>,
    limits: &Limits,
    targets: &[SocketAddr],
    progress: &dyn Progress,
    read: impl Fn(SocketAddr, Answer) -> T,
) -> Vec<State<T>> {
    let mut states: Vec<State<T>> = Vec::new();
    states.resize_with(targets.len(), || State::NotAsked("the run was stopped before its turn".to_owned()));
    let mut waiting = targets.iter().copied().enumerate();
    let mut talks = JoinSet::new();
    loop {
        while talks.len() < limits.concurrency.max(1) && !progress.stop_requested() {
            let Some((index, target)) = waiting.next() else { break };
            let (fence, limits) = (Arc::clone(&fence), limits.clone());
            talks.spawn(async move { (index, visit(&fence, &limits, target).await) });
        }
        match talks.join_next().await {
            None => break,
            Some(Ok((index, state))) => {
                states[index] = state.map(|answer| read(targets[index], answer));
                progress.advance(1, 0);
            }
            // A conversation that panicked stays "not asked"; nothing else is lost.
            Some(Err(_)) => {}
        }
    }
    states
}

async fn visit(fence: &Fence, limits: &Limits, target: SocketAddr) -> State<Answer> {
    match ask(fence, limits, target).await {
        Ok(spoken) => State::Answered(Answer { spoken: Some(spoken), ..Answer::default() }),
        Err(ConnectError::Silent) => State::Silent,
        Err(ConnectError::Refused) => State::Refused,
        Err(ConnectError::Filtered { .. }) => State::Filtered,
        Err(err) => State::NotAsked(reason(&err)),
    }
}

async fn ask(fence: &Fence, limits: &Limits, target: SocketAddr) -> Result<Spoken, ConnectError> {
    let mut heard = None;
    let ended = talk(fence, limits, target, &mut heard).await;
    // Who answered once is there, whatever came afterwards.
    heard.ok_or(ended.err().unwrap_or(ConnectError::Silent))
}

/// Asks until an answer leaves nothing to ask; the last one is what was heard.
async fn talk(
    fence: &Fence,
    limits: &Limits,
    target: SocketAddr,
    heard: &mut Option<Spoken>,
) -> Result<(), ConnectError> {
    let datagrams = fence.datagrams(target).await?;
    let mut own = Own::new(target.port());
    let kinds = handshake::kinds(target.port());
    let tries = limits.datagrams.max(1) as usize;
    for _ in 0..tries {
        for kind in kinds {
            if let Some(question) = handshake::question(*kind, &own) {
                datagrams.send(&question).await?;
            }
        }
        if listen(&datagrams, limits, kinds, &mut own, heard).await? {
            return Ok(());
        }
    }
    let Some((gentle, last)) = handshake::last_questions(target.port(), &own).filter(|_| heard.is_none()) else {
        return Ok(());
    };
    for question in std::iter::repeat_n(&gentle, tries).chain([&last]) {
        datagrams.send(question).await?;
        if listen(&datagrams, limits, kinds, &mut own, heard).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Whether an answer came that leaves nothing to ask.
async fn listen(
    datagrams: &Datagrams<'_>,
    limits: &Limits,
    kinds: &[Over],
    own: &mut Own,
    heard: &mut Option<Spoken>,
) -> Result<bool, ConnectError> {
    let until = Instant::now() + limits.connect;
    for _ in 0..STRANGE {
        let answer = match datagrams.receive(until).await {
            Ok(answer) => answer,
            Err(ConnectError::Silent) => break,
            Err(err) => return Err(err),
        };
        let understood = |kind: &Over| Some(Spoken { over: *kind, text: handshake::read(*kind, own, &answer)? });
        let Some(spoken) = kinds.iter().find_map(understood) else { continue };
        let more = handshake::again(spoken.over, own, &answer);
        *heard = Some(spoken);
        match more {
            Some(more) => datagrams.send(&more).await?,
            None => return Ok(true),
        }
    }
    Ok(false)
}

/// Counts every address once, and what the answers are.
pub(crate) fn count(states: &[State<Reading>]) -> Option<UdpCount> {
    let mut count = UdpCount { asked: states.len() as u64, ..UdpCount::default() };
    for state in states {
        if let State::Answered(reading) = state
            && let Some(kind) = reading.marks.spoken.as_ref().and_then(|text| text.split(' ').next())
        {
            *count.kinds.entry(kind.to_owned()).or_default() += 1;
        }
        *match state {
            State::Answered(_) => &mut count.answered,
            State::Refused => &mut count.refused,
            State::Filtered => &mut count.filtered,
            State::Silent => &mut count.silent,
            State::NotAsked(_) => &mut count.not_asked,
        } += 1;
    }
    (count.asked > 0).then_some(count)
}

/// Adds what a pack recognises: to the instance of that product at the same address, or as one of its own.
pub(crate) fn add(
    known: &[Known<'_>],
    targets: &[SocketAddr],
    states: &[State<Reading>],
    instances: &mut Vec<Instance>,
) {
    for (target, state) in targets.iter().zip(states) {
        let State::Answered(reading) = state else { continue };
        let Some(identity) = reading.identities.iter().min_by_key(|identity| identity.known) else { continue };
        let Some(product) = known.get(identity.known).map(|known| known.product.name.clone()) else { continue };
        let name = format!("{target}/udp");
        let is_there = |instance: &&mut Instance| {
            let at = |address: &String| address.parse::<SocketAddr>().is_ok_and(|at| at.ip() == target.ip());
            instance.product.as_deref().is_none_or(|own| own == product) && instance.addresses.iter().any(at)
        };
        match instances.iter_mut().find(is_there) {
            Some(instance) => {
                instance.addresses.push(name);
                instance.product = Some(product);
                instance.state = InstanceState::Identified;
                let witnesses = instance.version.witnesses.iter().chain(&identity.witnesses).cloned();
                instance.version = Version::from_witnesses(witnesses.collect());
            }
            None => instances.push(Instance {
                addresses: vec![name.clone()],
                name,
                product: Some(product),
                version: Version::from_witnesses(identity.witnesses.clone()),
                state: InstanceState::Identified,
                ..Instance::default()
            }),
        }
    }
}
