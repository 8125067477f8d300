//! Live: what do the processes and the kernel of this machine show, without a look at its files?
//!
//! For measuring: `cargo run --release -p check --example check_live`.

#![expect(clippy::print_stdout, reason = "an example prints")]

use directive::progress::Unwatched;
use evidence::live::{Failure, Running};

fn main() -> Result<(), Failure> {
    let seen = check::live::look(&Running::here()?, None, &Unwatched);
    for finding in seen.findings {
        let place = finding.path.map(|path| path.escaped()).or(finding.place).unwrap_or_default();
        println!("{:?} {} {place}: {}", finding.severity, finding.code, finding.why);
    }
    for gap in seen.gaps {
        let needed = if gap.required { "required gap" } else { "gap" };
        println!("{needed} {} {}: {}", gap.code, gap.place.unwrap_or_default(), gap.why);
    }
    Ok(())
}
