//! Patience: how long is an answer waited for?
//!
//! What has come back says how far away a network is. Each /24 is judged by its own answers alone, since a site behind
//! a satellite and one in this room may be in one scope; where nothing has come back yet, it is waited for as long as
//! for a packet around the world.
//! Source: RFC 6298 section 2 (estimate from smoothed time and variation); RFC 9293 section 3.8.1.

use std::time::Duration;

use crate::limits::Limits;

/// What is known of the way to one network.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Patience {
    /// Smoothed time there and back, and its variation.
    known: Option<(Duration, Duration)>,
}

impl Patience {
    /// An answer took this long. Not to be called for a packet that was sent twice: nobody knows which one it answers
    /// (RFC 6298 section 3).
    pub(crate) fn heard(&mut self, took: Duration) {
        self.known = Some(match self.known {
            None => (took, took / 2),
            Some((smooth, varies)) => ((smooth * 7 + took) / 8, (varies * 3 + smooth.abs_diff(took)) / 4),
        });
    }

    /// Whether anything has come back.
    pub(crate) fn is_known(self) -> bool {
        self.known.is_some()
    }

    /// How long to wait before the same is asked again.
    pub(crate) fn before_again(self, limits: &Limits) -> Duration {
        match self.known {
            None => limits.connect,
            Some((smooth, varies)) => (smooth + varies * 4).clamp(limits.shortest.min(limits.connect), limits.connect),
        }
    }

    /// How long to wait after the last try: three times as long, for one slow host among quick ones.
    pub(crate) fn at_last(self, limits: &Limits) -> Duration {
        (self.before_again(limits) * 3).min(limits.connect)
    }

    /// How long a connection to a port that is known to listen may take.
    pub(crate) fn to_connect(self, limits: &Limits) -> Duration {
        (self.before_again(limits) * 8).min(limits.connect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// What is waited for after answers that took so many milliseconds.
    fn after(took: &[u64]) -> (Duration, Duration) {
        let mut patience = Patience::default();
        took.iter().for_each(|took| patience.heard(ms(*took)));
        let limits = Limits { connect: ms(1000), shortest: ms(40), ..Limits::default() };
        (patience.before_again(&limits), patience.at_last(&limits))
    }

    #[test]
    fn a_network_that_has_said_nothing_gets_all_the_time() {
        assert_eq!(after(&[]), (ms(1000), ms(1000)));
    }

    #[test]
    fn a_near_network_is_waited_for_shortly_and_never_less_than_the_least() {
        assert_eq!(after(&[1, 1, 1, 1]), (ms(40), ms(120)));
    }

    #[test]
    fn a_far_network_is_waited_for_longer() {
        assert_eq!(after(&[300]), (ms(900), ms(1000)));
        let (again, _) = after(&[300; 40]);
        assert!(again >= ms(300) && again < ms(320), "{again:?}");
    }

    #[test]
    fn one_slow_answer_among_quick_ones_makes_us_patient() {
        let (again, last) = after(&[2, 2, 2, 2, 100]);
        assert!(again > ms(100) && last > ms(300), "{again:?} {last:?}");
    }
}
