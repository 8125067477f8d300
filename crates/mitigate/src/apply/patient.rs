//! Patient: what if the connection is lost while something is put back?

use std::time::Duration;

use crate::hands::{self, Hands};

/// Hands that try again where a connection was lost: what was begun must not stay half done for a lost packet. All that
/// undoes something may be done twice.
pub(super) struct Patient<'a>(pub(super) &'a dyn Hands);

impl Hands for Patient<'_> {
    fn run(&self, words: &[&str], input: &[u8]) -> Result<hands::Done, hands::Error> {
        for wait in [1, 3, 10, 20] {
            match self.0.run(words, input) {
                Err(hands::Error::Lost { .. }) => std::thread::sleep(Duration::from_secs(wait)),
                done => return done,
            }
        }
        self.0.run(words, input)
    }
}
