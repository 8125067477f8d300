//! Progress: how does long work say how far it is, and learn that it should stop?
//!
//! Rooms get it as an argument; the door that started them decides whether anybody watches.

/// Watches long work.
pub trait Progress: Sync {
    /// How much there will be to do, as far as it is known. Called again when it becomes clearer.
    fn expect(&self, total: u64);

    /// That much more was done: files and bytes of a check, addresses of a discovery.
    fn advance(&self, units: u64, bytes: u64);

    /// Whether the work should stop as soon as it can. What was not done is then a gap.
    fn stop_requested(&self) -> bool {
        false
    }
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Progress for Unwatched {
    fn expect(&self, _total: u64) {}

    fn advance(&self, _units: u64, _bytes: u64) {}
}
