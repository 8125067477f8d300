//! First: which addresses answer a single packet?
//!
//! The first pass of a sweep, with packets of our own: a SYN to each port, again where nothing comes back, and with the
//! second one an echo request: where that is answered and no SYN is, there is a host that drops. A port that answers
//! is told at once, so that it is talked to while the others are still waited for.
//! Serves ED 21-03 action 1. Speed: the time of silence; `bench/discover.sh`. Source: RFC 9293 section 3.5.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

use crate::fence::{ConnectError, Heard, Raw};
use crate::limits::Limits;
use crate::patience::Patience;

/// Packets between two looks at what has come back: the kernel keeps answers for us, but not any number.
const BETWEEN: u32 = 16;

/// Answers that are taken in before what is due is sent: a host may repeat its answer without end.
const TAKEN_IN: usize = 10_000;

/// How long nothing is done where nothing is due.
const IDLE: Duration = Duration::from_millis(1);

/// What became of an address in the first pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// It listens; how long a connection may take.
    Open(Duration),
    Refused,
    Filtered,
    Silent,
    /// This machine could not ask: why.
    NotAsked(String),
}

/// The first pass over many addresses.
pub(crate) struct First<'f> {
    raw: Raw<'f>,
    limits: &'f Limits,
    targets: &'f [SocketAddr],
    /// Which of them have not been told yet.
    open: HashMap<SocketAddrV4, usize>,
    networks: HashMap<[u8; 3], Network>,
    /// Hosts that answered an echo request.
    alive: HashSet<Ipv4Addr>,
    /// How often a host was sent one: its other ports need none.
    echoed: HashMap<Ipv4Addr, usize>,
    /// Addresses whose time is up, and how often each was asked.
    ready: VecDeque<(Waiting, usize)>,
    listened: Instant,
    tell: UnboundedSender<(usize, Told)>,
}

/// Addresses of one /24 that wait, by how often they were asked: in each queue the one that waits longest is first.
#[derive(Default)]
struct Network {
    patience: Patience,
    waiting: Vec<VecDeque<Waiting>>,
}

#[derive(Clone, Copy)]
struct Waiting {
    index: usize,
    to: SocketAddrV4,
    since: Instant,
}

/// What of a sweep can be asked with packets of our own: IPv4. Nothing is lost by asking the rest with connections,
/// since nobody sweeps networks of IPv6.
pub(crate) fn can_ask(target: SocketAddr) -> bool {
    matches!(target, SocketAddr::V4(_))
}

impl<'f> First<'f> {
    /// Asks those of `targets` for which `chosen` holds; each is told exactly once, by its index.
    pub(crate) fn new(
        raw: Raw<'f>,
        limits: &'f Limits,
        targets: &'f [SocketAddr],
        chosen: impl Fn(SocketAddr) -> bool,
        tell: UnboundedSender<(usize, Told)>,
    ) -> Self {
        let of = |(index, target): (usize, &SocketAddr)| match target {
            SocketAddr::V4(to) if chosen(*target) => Some((*to, index)),
            _ => None,
        };
        let open = targets.iter().enumerate().filter_map(of).collect();
        Self {
            raw,
            limits,
            targets,
            open,
            networks: HashMap::new(),
            alive: HashSet::new(),
            echoed: HashMap::new(),
            ready: VecDeque::new(),
            listened: Instant::now(),
            tell,
        }
    }

    /// Asks until every address is told, or nobody listens to us any more.
    pub(crate) async fn run(mut self) {
        let mut fresh = self.targets.iter().enumerate();
        let mut sent = 0;
        while !self.open.is_empty() && !self.tell.is_closed() {
            if sent >= BETWEEN || self.listened.elapsed() >= IDLE {
                sent = 0;
                self.listen();
                self.make_ready();
            }
            sent += 1;
            if let Some((waiting, tries)) = self.ready.pop_front() {
                self.again(waiting, tries).await;
            } else if let Some((index, target)) = fresh.next() {
                if let SocketAddr::V4(to) = target
                    && self.open.contains_key(to)
                {
                    self.ask(index, *to, 0).await;
                }
            } else {
                sleep(IDLE).await;
            }
        }
    }

    /// Takes in what has come back.
    fn listen(&mut self) {
        self.listened = Instant::now();
        for _ in 0..TAKEN_IN {
            let Some(heard) = self.raw.heard() else { break };
            match heard {
                Heard::Open(from) => {
                    self.learn(from);
                    let patience = self.networks.get(&network(*from.ip())).map(|net| net.patience).unwrap_or_default();
                    self.told(from, Told::Open(patience.to_connect(self.limits)));
                }
                Heard::Refused(from) => {
                    self.learn(from);
                    self.told(from, Told::Refused);
                }
                Heard::Filtered(from) => self.told(from, Told::Filtered),
                Heard::Alive(from) => {
                    self.alive.insert(from);
                }
            }
        }
    }

    /// How long the first answer of an address took, where it was asked once.
    fn learn(&mut self, from: SocketAddrV4) {
        let Some(index) = self.open.get(&from) else { return };
        let Some(net) = self.networks.get_mut(&network(*from.ip())) else { return };
        let once = net.waiting.first().and_then(|queue| {
            let at = queue.binary_search_by_key(index, |waiting| waiting.index).ok()?;
            queue.get(at)
        });
        if let Some(waiting) = once {
            net.patience.heard(waiting.since.elapsed());
        }
    }

    fn told(&mut self, to: SocketAddrV4, told: Told) {
        if let Some(index) = self.open.remove(&to) {
            // Whoever listened has gone: the run was stopped.
            let _ = self.tell.send((index, told));
        }
    }

    /// Finds the addresses that have been waited for long enough.
    fn make_ready(&mut self) {
        let now = Instant::now();
        let last = self.tries() - 1;
        for net in self.networks.values_mut() {
            let (again, at_last) = (net.patience.before_again(self.limits), net.patience.at_last(self.limits));
            for (tries, queue) in net.waiting.iter_mut().enumerate() {
                let patience = if tries == last { at_last } else { again };
                while let Some(waiting) = queue.front() {
                    let is_told = !self.open.contains_key(&waiting.to);
                    if !is_told && now.duration_since(waiting.since) < patience {
                        break;
                    }
                    let due = queue.pop_front().filter(|_| !is_told);
                    self.ready.extend(due.map(|waiting| (waiting, tries + 1)));
                }
            }
        }
    }

    /// Asks once more, or tells that nothing came.
    async fn again(&mut self, waiting: Waiting, tries: usize) {
        if !self.open.contains_key(&waiting.to) {
            return;
        }
        if tries < self.tries_in(*waiting.to.ip()) {
            self.ask(waiting.index, waiting.to, tries).await;
            return;
        }
        self.listen();
        let is_alive = self.alive.contains(waiting.to.ip());
        self.told(waiting.to, if is_alive { Told::Filtered } else { Told::Silent });
    }

    async fn ask(&mut self, index: usize, to: SocketAddrV4, tries: usize) {
        if self.wants_echo(*to.ip(), tries) {
            self.echoed.insert(*to.ip(), tries);
            // A host that cannot be asked so is none that is known to be alive.
            let _ = self.raw.echo(*to.ip()).await;
        }
        match self.raw.syn(to, tries).await {
            Ok(()) => {
                let all = self.tries();
                let net = self.networks.entry(network(*to.ip())).or_default();
                net.waiting.resize_with(all, VecDeque::new);
                if let Some(queue) = net.waiting.get_mut(tries) {
                    queue.push_back(Waiting { index, to, since: Instant::now() });
                }
            }
            Err(ConnectError::Filtered { .. }) => self.told(to, Told::Filtered),
            Err(err) => self.told(to, Told::NotAsked(crate::sweep::reason(&err))),
        }
    }

    /// Whether to ask if there is a host: with the second try and the third, and with the fourth where the network has
    /// hosts at all. Where the first one is answered, nothing more need be known.
    fn wants_echo(&self, ip: Ipv4Addr, tries: usize) -> bool {
        let is_new = tries > self.echoed.get(&ip).copied().unwrap_or_default() && !self.alive.contains(&ip);
        is_new && (tries <= 2 || self.has_hosts(ip))
    }

    /// Whether anything has come back from its network.
    fn has_hosts(&self, ip: Ipv4Addr) -> bool {
        self.networks.get(&network(ip)).is_some_and(|net| net.patience.is_known())
    }

    /// How often an address is asked: once less where its whole network has said nothing, which most of a large scope
    /// are. Where one packet in a hundred is lost each way, three miss one host in 125,000.
    fn tries_in(&self, ip: Ipv4Addr) -> usize {
        if self.has_hosts(ip) { self.tries() } else { (self.tries() - 1).max(1) }
    }

    fn tries(&self) -> usize {
        usize::from(self.limits.packets.max(1))
    }
}

fn network(ip: Ipv4Addr) -> [u8; 3] {
    let [a, b, c, _] = ip.octets();
    [a, b, c]
}
