//! `check_list SOURCE [LIST]`: the integrity check alone, for measuring.
//!
//! Holds SOURCE against LIST in the format of `sha256sum`, or against the package database in it,
//! and prints what was found. `bench/integrity.sh` uses it where the program itself is not built.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a tool for measuring, not part of the product")]

use std::num::NonZeroUsize;

use check::integrity::{Baseline, Request, check};
use directive::progress::Unwatched;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, list @ ..] = arguments.as_slice() else {
        return Err("usage: check_list SOURCE [LIST]...".into());
    };
    let source = evidence::open(source)?;
    let mut manifests = Vec::new();
    for name in list {
        manifests.push(check::Manifest::from_operator(name, &std::fs::read(name)?)?);
    }
    let outcome = check(&Request {
        source: &*source,
        manifests: &manifests,
        baseline: if manifests.is_empty() { Baseline::Dpkg } else { Baseline::None },
        product: None,
        clause: None,
        previous: &[],
        previous_coverage: None,
        live: None,
        hunt: None,
        threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        progress: &Unwatched,
    })?;
    for finding in &outcome.findings {
        let path = finding.path.as_ref().map(ToString::to_string).unwrap_or_default();
        println!("{} {:?} {path} {}", finding.code, finding.severity, finding.why);
    }
    for gap in &outcome.gaps {
        let path = gap.path.as_ref().map(ToString::to_string).unwrap_or_default();
        println!("gap {} required={} {path} {}", gap.code, gap.required, gap.why);
    }
    println!("{:?}", outcome.conclusion);
    println!("files {} bytes {}", outcome.coverage.files, outcome.coverage.bytes);
    Ok(())
}
