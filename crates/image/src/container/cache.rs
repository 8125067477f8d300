//! Cache: was this table or cluster read a moment ago?
//!
//! A fixed number of places, one lock each, held only to look and to put: decompression runs outside,
//! so threads never wait for each other's work. What falls on the same place replaces what was there.

use std::sync::{Arc, Mutex, PoisonError};

/// What lies in one place: the key and its value.
type Place<V> = Option<(u64, Arc<V>)>;

/// Values by number, bounded.
pub(super) struct Cache<V: ?Sized> {
    places: Vec<Mutex<Place<V>>>,
}

impl<V: ?Sized> Cache<V> {
    /// A cache of about `total` bytes of values of `each` bytes.
    pub(super) fn new(total: usize, each: usize) -> Self {
        // At least four, so that neighbouring threads do not chase each other from one place.
        let count = (total / each.max(1)).clamp(4, 1024);
        Self { places: (0..count).map(|_| Mutex::default()).collect() }
    }

    /// The value of `key`, made by `make` if it is not there.
    pub(super) fn get<E>(&self, key: u64, make: impl FnOnce() -> Result<Arc<V>, E>) -> Result<Arc<V>, E> {
        let count = self.places.len() as u64;
        let place = &self.places[usize::try_from(key % count).unwrap_or_default()];
        if let Some((there, value)) = &*place.lock().unwrap_or_else(PoisonError::into_inner)
            && *there == key
        {
            return Ok(Arc::clone(value));
        }
        let value = make()?;
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some((key, Arc::clone(&value)));
        Ok(value)
    }
}
