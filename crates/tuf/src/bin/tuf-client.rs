//! Tuf-client: does the client behave as the conformance suite of The Update Framework asks?
//!
//! The three commands of its protocol over the very code that fetches directives.
//! Source: `CLIENT-CLI.md` of tuf-conformance.

#![expect(clippy::disallowed_methods, clippy::print_stderr, reason = "a program has a clock and says what went wrong")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use jiff::Timestamp;
use tuf::client::{Client, Limits, init};
use tuf::source::Http;

/// A client of The Update Framework.
#[derive(Parser)]
struct Args {
    /// Where what is trusted is kept
    #[arg(long)]
    metadata_dir: PathBuf,
    /// Where the metadata of the repository are
    #[arg(long)]
    metadata_url: Option<String>,
    /// The path of a file in the repository
    #[arg(long)]
    target_name: Option<String>,
    /// Where the files of the repository are
    #[arg(long)]
    target_base_url: Option<String>,
    /// Where a file goes
    #[arg(long)]
    target_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Begin with a root that is trusted
    Init {
        /// The root
        root: PathBuf,
    },
    /// Make the metadata current
    Refresh,
    /// Download a file
    Download,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("tuf-client: {err}");
            let mut cause = err.source();
            while let Some(err) = cause {
                eprintln!("  because {err}");
                cause = err.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn std::error::Error>> {
    let now = Timestamp::now();
    if let Command::Init { root } = &args.command {
        return Ok(init(&args.metadata_dir, &std::fs::read(root)?, now)?);
    }
    let metadata = Http::new(args.metadata_url.as_deref().ok_or("--metadata-url is missing")?);
    let mut client = Client::refresh(&metadata, &args.metadata_dir, now, Limits::default())?;
    if let Command::Download = args.command {
        let targets = Http::new(args.target_base_url.as_deref().ok_or("--target-base-url is missing")?);
        let name = args.target_name.as_deref().ok_or("--target-name is missing")?;
        client.download(&targets, name, args.target_dir.as_deref().ok_or("--target-dir is missing")?)?;
    }
    Ok(())
}
