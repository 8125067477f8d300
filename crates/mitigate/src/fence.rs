//! Fence: may this address be asked, and may it be asked now?
//!
//! The one place in `mitigate` that opens a socket. An address that the scope does not allow is refused before any
//! packet leaves; all requests of a proof together keep the scope's rate and a budget of their own. Proofs that run
//! side by side share that rate: it is one for the whole process.
//! Rooms do not import one another, so that this is not the fence of `discover`: it knows TCP only, and the same rule.
//! Never resolves a name. Source: contract, "Scope file".

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use directive::scope::Scope;

/// Stands below every socket.
#[derive(Debug)]
pub(crate) struct Fence<'a> {
    scope: &'a Scope,
    patience: Duration,
    budget: AtomicU64,
}

/// When the next connection may leave. One for the process: the scope's rate bounds all proofs together, and a process
/// works inside one scope.
static NEXT: Mutex<Option<Instant>> = Mutex::new(None);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The scope does not allow the address; nothing was sent.
    #[error("{0} is outside the declared scope")]
    Outside(SocketAddr),
    /// The proof has asked all that it may.
    #[error("the budget of requests is used up")]
    Spent,
    /// The other side, or a device between us, said no or nothing.
    #[error("no connection")]
    Io(#[from] io::Error),
}

impl<'a> Fence<'a> {
    /// Builds the fence of a scope: how long a connection and an answer may take, and how many there may be.
    pub(crate) fn new(scope: &'a Scope, patience: Duration, budget: u64) -> Self {
        Self { scope, patience, budget: AtomicU64::new(budget) }
    }

    /// Opens a connection, if the scope allows it, as soon as the rate allows it.
    pub(crate) fn connect(&self, target: SocketAddr) -> Result<TcpStream, ConnectError> {
        if !self.scope.allows(target) {
            return Err(ConnectError::Outside(target));
        }
        let left = self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map_err(|_| ConnectError::Spent)?;
        self.wait();
        #[expect(clippy::disallowed_methods, reason = "this is the fence: the scope allows the target")]
        let stream = TcpStream::connect_timeout(&target, self.patience)?;
        stream.set_read_timeout(Some(self.patience))?;
        stream.set_write_timeout(Some(self.patience))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Waits for its turn: no two connections are closer than the rate allows.
    fn wait(&self) {
        let apart = Duration::from_secs(1) / self.scope.rate.get();
        let now = Instant::now();
        let turn = {
            // A thread that panicked left a time behind, which is as good as any.
            let mut next = NEXT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let turn = next.map_or(now, |next| next.max(now));
            *next = Some(turn + apart);
            turn
        };
        std::thread::sleep(turn.saturating_duration_since(now));
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests are the other side: they listen on loopback")]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn proofs_that_run_side_by_side_keep_the_rate_together() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        let text = format!(
            "organisation = \"Example Agency\"\nrate = 100\n[[instance]]\nname = \"a\"\naddress = \"{target}\""
        );
        let scope = Scope::parse("scope.toml", &text).unwrap();
        let begin = Instant::now();
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    let fence = Fence::new(&scope, Duration::from_secs(1), 9);
                    (0..5).for_each(|_| assert!(fence.connect(target).is_ok()));
                });
            }
        });
        // Twenty at a hundred a second: nineteen pauses of ten milliseconds, whoever asks.
        assert!(begin.elapsed() >= Duration::from_millis(190), "{:?}", begin.elapsed());
    }

    #[test]
    fn an_address_outside_the_scope_is_refused_before_any_packet_and_the_budget_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        let text = |address: &str| {
            format!("organisation = \"Example Agency\"\n[[instance]]\nname = \"a\"\naddress = \"{address}\"")
        };
        let other = Scope::parse("scope.toml", &text("192.0.2.1:443")).unwrap();
        let refused = Fence::new(&other, Duration::from_secs(1), 9).connect(target);
        assert!(matches!(refused, Err(ConnectError::Outside(_))));
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let ours = Scope::parse("scope.toml", &text(&target.to_string())).unwrap();
        let fence = Fence::new(&ours, Duration::from_secs(1), 1);
        assert!(fence.connect(target).is_ok());
        assert!(matches!(fence.connect(target), Err(ConnectError::Spent)));
    }
}
