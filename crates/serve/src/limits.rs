//! Limits: how much may somebody ask of the server before he has shown who he is, and after?

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// What one server allows. Each bound is there against one way to keep it from the others.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a body as it is sent. A report of 50,000 instances has about ten megabytes, packed.
    pub body: u64,
    /// Bytes of a report after unpacking: a packed one of some kilobytes can unpack to gigabytes.
    pub unpacked: u64,
    /// Reports that are read and judged at once: each is held in memory as a whole.
    pub at_once: usize,
    /// Requests of one organisation in a minute.
    pub requests: u32,
    /// Wrong tokens from one address in a minute.
    pub failures: u32,
    /// Connections in all.
    pub connections: usize,
    /// Connections from one address: one alone cannot use up all.
    pub from_one: usize,
    /// How long a handshake of TLS may take.
    pub handshake: Duration,
    /// How long the head of a request may take, and how long a connection may wait for one.
    pub head: Duration,
    /// How long a body may take.
    pub body_time: Duration,
    /// How long a connection may last, whatever it does.
    pub connection_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 64 << 20,
            unpacked: 512 << 20,
            at_once: 2,
            requests: 60,
            failures: 20,
            connections: 512,
            from_one: 64,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            body_time: Duration::from_secs(300),
            connection_time: Duration::from_secs(900),
        }
    }
}

/// Who did something how often in the minute that runs.
#[derive(Debug)]
pub(crate) struct Counter<K> {
    most: u32,
    begun: HashMap<K, (Instant, u32)>,
}

/// Entries that a counter keeps: whoever has more addresses than that makes it forget, not grow.
const MOST_KEPT: usize = 20_000;

const MINUTE: Duration = Duration::from_secs(60);

impl<K: Hash + Eq> Counter<K> {
    pub(crate) fn new(most: u32) -> Self {
        Self { most, begun: HashMap::new() }
    }

    /// Whether `key` may not go on; the seconds that it has to wait.
    pub(crate) fn is_over(&mut self, key: &K, now: Instant) -> Option<u64> {
        let (begun, count) = self.begun.get(key).copied()?;
        let left = MINUTE.checked_sub(now.duration_since(begun))?;
        (count >= self.most).then(|| left.as_secs() + 1)
    }

    /// Counts one.
    pub(crate) fn add(&mut self, key: K, now: Instant) {
        if self.begun.len() >= MOST_KEPT {
            self.begun.retain(|_, (begun, _)| now.duration_since(*begun) < MINUTE);
            if self.begun.len() >= MOST_KEPT {
                self.begun.clear();
            }
        }
        let entry = self.begun.entry(key).or_insert((now, 0));
        if now.duration_since(entry.0) >= MINUTE {
            *entry = (now, 0);
        }
        entry.1 = entry.1.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_too_often_waits_for_the_minute_to_end_and_no_longer() {
        let mut counter = Counter::new(2);
        let now = Instant::now();
        assert_eq!(counter.is_over(&"a", now), None);
        counter.add("a", now);
        counter.add("a", now);
        assert_eq!(counter.is_over(&"a", now), Some(61));
        assert_eq!(counter.is_over(&"b", now), None);
        let later = now + MINUTE;
        assert!(counter.is_over(&"a", later).is_none_or(|seconds| seconds <= 1));
        counter.add("a", later);
        assert_eq!(counter.is_over(&"a", later), None);
    }

    #[test]
    fn many_addresses_do_not_make_it_grow() {
        let mut counter = Counter::new(2);
        let now = Instant::now();
        (0..3 * MOST_KEPT).for_each(|key| counter.add(key, now));
        assert!(counter.begun.len() <= MOST_KEPT);
    }
}
