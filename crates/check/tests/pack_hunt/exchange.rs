//! Exchange: what proves the rules of ED 21-02?

use super::{Log, Proof};

pub(super) const INDICATORS: usize = 0;

pub(super) const FILES: &[Proof] = &[];

pub(super) const LOGS: &[Log] = &[];
