//! Fence: may this connection be opened, and may it be opened now?
//!
//! This file and its folder are the one place in `discover` that opens a socket, raw ones too; `clippy.toml` refuses it
//! everywhere else. An address that the scope does not allow is refused before any packet leaves, all probes together
//! never exceed the scope's rate in any second, and never the budget of the run.
//! Never resolves a name. Source: contract, "Scope file"; design, section 2 ("discover").

mod datagram;
mod packet;
mod raw;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use directive::scope::Scope;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

pub(crate) use self::datagram::Datagrams;
pub(crate) use self::packet::Heard;
pub(crate) use self::raw::Raw;

/// Stands below every socket.
#[derive(Debug)]
pub(crate) struct Fence {
    scope: Scope,
    patience: Duration,
    pace: Mutex<Pace>,
    /// Connections and packets that may still be sent.
    budget: AtomicU64,
    connections: AtomicU64,
    packets: AtomicU64,
}

/// Takes bytes for a packet that came in: for fuzzing.
#[cfg(fuzzing)]
pub(crate) fn hear(bytes: &[u8]) {
    let form = packet::Form::new(vec![40000]);
    let _ = (form.read_tcp(bytes), form.read_icmp(bytes, |_| false));
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The scope does not allow the address; nothing was sent.
    #[error("{target} is outside the declared scope")]
    Outside {
        /// The address that was asked for.
        target: SocketAddr,
    },
    /// The run has sent all that it may.
    #[error("the budget of packets is used up")]
    Spent,
    /// The host said that nobody listens there.
    #[error("connection refused")]
    Refused,
    /// A device between us, or our own, said no.
    #[error("the way is closed")]
    Filtered {
        /// What the operating system said.
        source: io::Error,
    },
    /// Nothing came back.
    #[error("no answer to the connection attempt")]
    Silent,
    /// This machine could not try: out of files or ports.
    #[error("this machine cannot open a connection")]
    Local {
        /// What the operating system said.
        source: io::Error,
    },
}

impl Fence {
    /// Builds the fence of a scope. `patience` is how long a connection may take, `budget` how many connections and
    /// packets there may be, all together.
    pub(crate) fn new(scope: &Scope, patience: Duration, budget: u64) -> Self {
        Self {
            scope: scope.clone(),
            patience,
            pace: Mutex::new(Pace::new(scope.rate.get())),
            budget: AtomicU64::new(budget),
            connections: AtomicU64::new(0),
            packets: AtomicU64::new(0),
        }
    }

    /// Opens a connection, if the scope allows it, as soon as the rate allows it.
    pub(crate) async fn connect(&self, target: SocketAddr) -> Result<TcpStream, ConnectError> {
        self.connect_within(target, self.patience).await
    }

    /// The same, again where nothing comes back: for an address that is known to listen, where silence is loss.
    pub(crate) async fn connect_again(
        &self,
        target: SocketAddr,
        patience: Duration,
        tries: u32,
    ) -> Result<TcpStream, ConnectError> {
        for _ in 1..tries {
            match self.connect_within(target, patience).await {
                Err(ConnectError::Silent) => {}
                done => return done,
            }
        }
        self.connect_within(target, patience).await
    }

    async fn connect_within(&self, target: SocketAddr, patience: Duration) -> Result<TcpStream, ConnectError> {
        if !self.scope.allows(target) {
            return Err(ConnectError::Outside { target });
        }
        self.turn().await?;
        self.connections.fetch_add(1, Ordering::Relaxed);
        #[expect(clippy::disallowed_methods, reason = "this is the fence: the scope allows the target")]
        let connecting = TcpStream::connect(target);
        match timeout(patience, connecting).await {
            Err(_) => Err(ConnectError::Silent),
            Ok(Err(source)) => Err(classify(source)),
            // A connection from a port to itself: the kernel met our own attempt, nobody listens.
            Ok(Ok(stream)) if stream.local_addr().is_ok_and(|own| own == target) => Err(ConnectError::Refused),
            Ok(Ok(stream)) => Ok(stream),
        }
    }

    /// Connections opened or tried so far.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Packets of our own making sent so far: SYNs, echo requests, datagrams.
    pub(crate) fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }

    /// Our own packets to addresses of the scope, with so many tries for each.
    ///
    /// # Errors
    ///
    /// Where this process may not send them.
    pub(crate) fn raw(&self, tries: u8) -> io::Result<Raw<'_>> {
        Raw::open(self, tries)
    }

    /// Whether a packet may be sent to a port over TCP, as soon as the rate allows it.
    async fn may(&self, target: SocketAddr) -> Result<(), ConnectError> {
        self.allowed(self.scope.allows(target), target).await
    }

    /// The same for an echo request, which has no port.
    async fn may_echo(&self, ip: IpAddr) -> Result<(), ConnectError> {
        self.allowed(self.scope.covers(ip), SocketAddr::new(ip, 0)).await
    }

    /// The same for a datagram.
    async fn may_datagram(&self, target: SocketAddr) -> Result<(), ConnectError> {
        self.allowed(self.scope.allows_udp(target), target).await
    }

    async fn allowed(&self, is_allowed: bool, target: SocketAddr) -> Result<(), ConnectError> {
        if !is_allowed {
            return Err(ConnectError::Outside { target });
        }
        self.turn().await?;
        self.packets.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Waits until one more connection or packet is within the rate. Whoever waits first goes first.
    async fn turn(&self) -> Result<(), ConnectError> {
        let left = self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map_err(|_| ConnectError::Spent)?;
        // The lock is held while sleeping, so that the others queue in order instead of racing.
        let mut pace = self.pace.lock().await;
        while let Err(wait) = pace.take(Instant::now()) {
            sleep(wait).await;
        }
        Ok(())
    }
}

fn classify(source: io::Error) -> ConnectError {
    use io::ErrorKind as Kind;
    match source.kind() {
        Kind::ConnectionRefused | Kind::ConnectionReset | Kind::ConnectionAborted => ConnectError::Refused,
        // EACCES and EPERM are a firewall's word: "administratively prohibited", or our own `reject`.
        Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown | Kind::PermissionDenied => {
            ConnectError::Filtered { source }
        }
        Kind::TimedOut => ConnectError::Silent,
        _ => ConnectError::Local { source },
    }
}

/// A bucket of permissions. Burst and refill add up to the rate, so that no second, wherever it
/// begins, sees more than that. The burst makes up for timers that are late by a millisecond.
#[derive(Debug)]
struct Pace {
    refill: f64,
    burst: f64,
    held: f64,
    last: Option<Instant>,
}

impl Pace {
    fn new(rate: u32) -> Self {
        let burst = f64::from((rate / 50).max(1));
        let refill = if burst > 1.0 { f64::from(rate) - burst } else { f64::from(rate) };
        Self { refill, burst, held: burst, last: None }
    }

    /// Takes one permission, or says how long to wait for it.
    fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let passed = self.last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        self.held = (self.held + passed.as_secs_f64() * self.refill).min(self.burst);
        self.last = Some(now);
        if self.held >= 1.0 {
            self.held -= 1.0;
            return Ok(());
        }
        // Rounded up, for a wait that ends too early would only be repeated.
        Err(Duration::from_secs_f64((1.0 - self.held) / self.refill) + Duration::from_micros(1))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests are the other side: they listen on loopback")]
mod tests {
    use std::net::{SocketAddrV4, TcpListener};

    use super::*;

    fn scope(text: &str) -> Scope {
        Scope::parse("scope.toml", &format!("organisation = \"Example Agency\"\n{text}")).unwrap()
    }

    fn connect(fence: &Fence, target: SocketAddr) -> Result<TcpStream, ConnectError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(fence.connect(target))
    }

    #[test]
    fn an_address_outside_the_scope_is_refused_before_any_packet() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let target = listener.local_addr().unwrap();
        let fence = Fence::new(&scope("networks = [\"192.0.2.0/24\"]\nports = [443]"), Duration::from_secs(1), 9);
        assert!(matches!(connect(&fence, target), Err(ConnectError::Outside { .. })));
        assert_eq!(fence.connections(), 0);
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn an_address_inside_is_connected_and_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        let text = format!("[[instance]]\nname = \"a\"\naddress = \"{target}\"");
        let fence = Fence::new(&scope(&text), Duration::from_secs(1), 9);
        assert!(connect(&fence, target).is_ok());
        assert_eq!(fence.connections(), 1);
        drop(listener);
        assert!(matches!(connect(&fence, target), Err(ConnectError::Refused)));
        assert_eq!(fence.connections(), 2);
    }

    #[test]
    fn a_run_sends_no_more_than_its_budget() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        let text = format!("[[instance]]\nname = \"a\"\naddress = \"{target}\"");
        let fence = Fence::new(&scope(&text), Duration::from_secs(1), 2);
        assert!(connect(&fence, target).is_ok() && connect(&fence, target).is_ok());
        assert!(matches!(connect(&fence, target), Err(ConnectError::Spent)));
        assert_eq!(fence.connections(), 2);
    }

    /// Runs `test` with our own packets, where they may be sent; under `CI` they must.
    #[expect(clippy::print_stderr, reason = "a test that skips says so")]
    fn with_packets(fence: &Fence, test: impl AsyncFnOnce(Raw<'_>)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        match fence.raw(2) {
            Ok(raw) => runtime.block_on(test(raw)),
            Err(err) if std::env::var_os("CI").is_none() => eprintln!("skipped: packets need CAP_NET_RAW: {err}"),
            Err(err) => panic!("{err}"),
        }
    }

    fn v4(target: SocketAddr) -> SocketAddrV4 {
        match target {
            SocketAddr::V4(target) => target,
            SocketAddr::V6(_) => panic!("{target}"),
        }
    }

    #[test]
    fn a_packet_outside_the_scope_does_not_leave() {
        let text = "networks = [\"127.77.1.0/24\"]\nexclude = [\"127.77.1.5\"]\nports = [7]\nudp-ports = [500]";
        let fence = Fence::new(&scope(text), Duration::from_secs(1), 9);
        with_packets(&fence, async |mut raw| {
            for target in ["127.77.2.1:7", "127.77.1.5:7", "127.77.1.1:8"] {
                let sent = raw.syn(target.parse().unwrap(), 0).await;
                assert!(matches!(sent, Err(ConnectError::Outside { .. })), "{target}");
            }
            for host in ["127.77.2.1", "127.77.1.5"] {
                assert!(matches!(raw.echo(host.parse().unwrap()).await, Err(ConnectError::Outside { .. })), "{host}");
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for target in ["127.77.2.1:500", "127.77.1.5:500", "127.77.1.1:501", "127.77.1.1:7"] {
                let opened = fence.datagrams(target.parse().unwrap()).await;
                assert!(matches!(opened, Err(ConnectError::Outside { .. })), "{target}");
            }
        });
        assert_eq!((fence.packets(), fence.connections()), (0, 0));
    }

    #[test]
    fn packets_hear_an_open_port_a_closed_one_and_a_host() {
        let listener = TcpListener::bind("127.77.3.1:0").unwrap();
        let open = v4(listener.local_addr().unwrap());
        let closed = SocketAddrV4::new(std::net::Ipv4Addr::new(127, 77, 3, 2), open.port());
        let text = format!("networks = [\"127.77.3.0/24\"]\nports = [{}]", open.port());
        let fence = Fence::new(&scope(&text), Duration::from_secs(1), 9);
        with_packets(&fence, async |mut raw| {
            raw.syn(open, 1).await.unwrap();
            raw.syn(closed, 0).await.unwrap();
            raw.echo(*closed.ip()).await.unwrap();
            let mut heard = Vec::new();
            let until = Instant::now() + Duration::from_secs(5);
            while heard.len() < 3 && Instant::now() < until {
                heard.extend(raw.heard());
                sleep(Duration::from_millis(1)).await;
            }
            assert!(heard.contains(&Heard::Open(open)), "{heard:?}");
            assert!(heard.contains(&Heard::Refused(closed)), "{heard:?}");
            assert!(heard.contains(&Heard::Alive(*closed.ip())), "{heard:?}");
            assert_eq!(fence.packets(), 3);
        });
        // The kernel has reset the connection that the listener began to open.
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    /// Takes permissions as fast as they come, sleeping `late` longer than told, and gives the most
    /// that any one second saw.
    fn busiest_second(rate: u32, late: Duration) -> usize {
        let start = Instant::now();
        let mut now = start;
        let mut pace = Pace::new(rate);
        let mut taken = Vec::new();
        while now < start + Duration::from_secs(4) {
            match pace.take(now) {
                Ok(()) => taken.push(now),
                Err(wait) => now += wait + late,
            }
        }
        let second = Duration::from_secs(1);
        let within = |first: Instant| taken.iter().filter(|at| **at >= first && **at < first + second).count();
        taken.iter().map(|first| within(*first)).max().unwrap()
    }

    #[test]
    fn no_second_sees_more_connections_than_the_rate() {
        for rate in [1, 2, 7, 50, 99, 100, 500, 5000] {
            for late in [0, 100, 1_000, 30_000] {
                let most = busiest_second(rate, Duration::from_micros(late));
                assert!(most <= rate as usize, "{most} connections in a second at a rate of {rate}");
            }
        }
    }

    #[test]
    fn a_rate_of_500_is_nearly_reached_with_timers_that_are_a_millisecond_late() {
        assert!(busiest_second(500, Duration::from_millis(1)) >= 450);
    }
}
