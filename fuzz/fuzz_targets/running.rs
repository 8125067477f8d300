//! Running: can what a machine answers about its processes, over whatever way, make its reader panic or hang?

#![no_main]

use std::sync::Mutex;

use check::live::Live;
use directive::progress::Unwatched;
use evidence::live::{Failure, Limits, Reach};
use libfuzzer_sys::fuzz_target;

/// Answers one after the other: a length, and so many bytes.
struct Machine<'a>(Mutex<&'a [u8]>);

impl Machine<'_> {
    fn next(&self) -> Result<Vec<u8>, Failure> {
        let mut rest = self.0.lock().unwrap();
        let Some((length, bytes)) = rest.split_first() else { return Err(Failure::Gone) };
        let (answer, behind) = bytes.split_at(usize::from(*length).min(bytes.len()));
        *rest = behind;
        match length {
            0 => Err(Failure::Gone),
            255 => Err(Failure::Refused),
            _ => Ok(answer.to_vec()),
        }
    }
}

impl Reach for Machine<'_> {
    fn names(&self, _: &str, _: usize) -> Result<Vec<Vec<u8>>, Failure> {
        Ok(self.next()?.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect())
    }

    fn text(&self, _: &str, _: usize) -> Result<Vec<u8>, Failure> {
        self.next()
    }

    fn links(&self, paths: &[String]) -> Vec<Result<Vec<u8>, Failure>> {
        paths.iter().map(|_| self.next()).collect()
    }

    fn is_there(&self, _: &[u8]) -> bool {
        self.next().is_ok()
    }

    fn own(&self) -> Option<u32> {
        None
    }

    fn at_once(&self) -> usize {
        1
    }

    fn limits(&self) -> Limits {
        Limits { processes: 64, ..Limits::default() }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let machine = Machine(Mutex::new(bytes));
    let seen = Live::There(&machine).look(None, &Unwatched);
    if let Some(running) = seen.running {
        // What was started later than the machine is older than it to nobody.
        assert!(running.services.iter().all(|service| service.age <= running.up));
    }
});
