//! The command line of Portcullis: from an emergency directive to a filed report.
//!
//! One file a command: `Args` and `run`. The comment on `Args` is the manual. Only [`ui`] prints.
//! Exit codes: 0 nothing to do, 1 somebody must act, 2 failed, 3 inconclusive.

mod clock;
mod command;
mod engine;
mod error;
mod kept;
mod open;
mod progress;
mod ui;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use directive::verdict::Exit;

use crate::error::CommandError;
use crate::ui::Ui;

/// From an emergency directive to a filed report, with proof at every step
///
/// Start with `portcullis respond --lab`: it builds a small exercise and works it from end to end.
///
/// Exit codes: 0 nothing to do, 1 somebody must act, 2 failed or bad command line, 3 inconclusive.
#[derive(Parser, Debug)]
#[command(name = "portcullis", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    global: ui::Global,
}

#[derive(Subcommand, Debug)]
enum Command {
    Respond(command::respond::Args),
    Directive(command::directive::Args),
    Discover(command::discover::Args),
    Check(command::check::Args),
    Manifest(command::manifest::Args),
    Mitigate(command::mitigate::Args),
    Update(command::update::Args),
    Report(command::report::Args),
    Serve(command::serve::Args),
    Case(command::case::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut ui = Ui::new(&cli.global);
    let exit = match run(&mut ui, &cli) {
        Ok(exit) => exit,
        Err(err) => {
            ui.error(&err);
            Exit::Failed
        }
    };
    ExitCode::from(exit.code())
}

fn run(ui: &mut Ui, cli: &Cli) -> Result<Exit, CommandError> {
    let threads = cli.global.threads();
    match &cli.command {
        Command::Respond(args) => command::respond::run(ui, args, threads),
        Command::Directive(args) => command::directive::run(ui, args, threads),
        Command::Discover(args) => command::discover::run(ui, args),
        Command::Check(args) => command::check::run(ui, args, threads),
        Command::Manifest(args) => command::manifest::run(ui, args, threads),
        Command::Mitigate(args) => command::mitigate::run(ui, args),
        Command::Update(args) => command::update::run(ui, args),
        Command::Report(args) => command::report::run(ui, args),
        Command::Serve(args) => command::serve::run(ui, args),
        Command::Case(args) => command::case::run(ui, args),
    }
}
