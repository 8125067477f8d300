//! `mitigate`: shut the hole now, prove that it is shut, and take it back.

mod apply;
mod import;
mod journal;
mod many;
mod plan;
mod remove;
pub(super) mod show;
mod watch;

use std::path::{Path, PathBuf};

use ::case::Case;
use ::directive::change::Written;
use ::directive::mitigation::Mitigation;
use ::directive::scope::Scope;
use ::directive::state::State;
use ::directive::text::escape;
use ::directive::verdict::Exit;
use ::mitigate::hands::{self, Hands, Login};
use clap::Subcommand;

use crate::clock::Clock;
use crate::error::CommandError;
use crate::open;
use crate::ui::Ui;

/// Shut the hole now, prove that it is shut, and take it back
///
/// `plan` writes a file and touches nothing. `apply` carries it out once a person has approved it by its digest, and
/// undoes it by itself if it cannot be proved. `prove` and `watch` ask from outside whether it still holds.
///
/// Exits 0 if it holds, 1 if it does not and somebody must act, 2 if something failed (and was undone).
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    Plan(Box<plan::Args>),
    Apply(apply::Args),
    Prove(apply::ProveArgs),
    Undo(apply::UndoArgs),
    Watch(watch::Args),
    Remove(Box<remove::Args>),
}

/// What every command on a change needs.
#[derive(clap::Args, Debug)]
struct Place {
    /// The scope file: nothing outside it is asked
    #[arg(long, value_name = "FILE")]
    scope: PathBuf,

    /// Folder of the case, which keeps every step
    #[arg(long, value_name = "DIR", default_value = open::DEFAULT_CASE)]
    case: PathBuf,

    #[command(flatten)]
    login: LoginArgs,
}

/// How to log in over SSH, where the configuration of `ssh` does not say it.
#[derive(clap::Args, Debug, Clone)]
struct LoginArgs {
    /// File with the host keys that are known, for a target over SSH
    #[arg(long, value_name = "FILE")]
    known_hosts: Option<PathBuf>,

    /// Key to log in with, for a target over SSH
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
}

impl LoginArgs {
    fn hands(&self, host: &str) -> Result<Box<dyn Hands + Sync>, CommandError> {
        let login = Login { known_hosts: self.known_hosts.clone(), identity: self.identity.clone() };
        hands::of(host, &login).map_err(|err| CommandError::because("the target cannot be reached", err))
    }
}

pub(crate) fn run(ui: &mut Ui, args: &Args) -> Result<Exit, CommandError> {
    match &args.what {
        What::Plan(args) => plan::run(ui, args),
        What::Apply(args) => apply::run(ui, args),
        What::Prove(args) => apply::prove(ui, args),
        What::Undo(args) => apply::undo(ui, args),
        What::Watch(args) => watch::run(ui, args),
        What::Remove(args) => remove::run(ui, args),
    }
}

fn scope(path: &Path) -> Result<Scope, CommandError> {
    let bytes = open::read(path).map_err(|err| {
        CommandError::because(format!("cannot read the scope file {}", path.display()), err)
            .hint("docs/scope.md explains it")
    })?;
    Scope::parse(&path.display().to_string(), &String::from_utf8_lossy(&bytes))
        .map_err(|err| CommandError::because("the scope file cannot be used", err))
}

/// The clock of a case.
fn clock(case: &Case) -> Result<Clock, CommandError> {
    Ok(open::opening(case)?.map_or_else(Clock::machine, |opening| Clock::with_offset(opening.clock_offset)))
}

/// A change by its file, or by the beginning of its digest where the case knows it.
fn change(name: &str, case: &Case, state: &State) -> Result<Written, CommandError> {
    let path = Path::new(name);
    let wrong = |err| CommandError::because("the change cannot be used", err).hint("`mitigate plan` makes one");
    if path.is_file() {
        let bytes = open::read(path).map_err(|err| CommandError::because(format!("cannot read {name}"), err))?;
        return Written::parse(name, &bytes).map_err(wrong);
    }
    let known = state.instances.values().flat_map(|known| known.changes.keys());
    let found: Vec<&String> = known.filter(|digest| name.len() >= 8 && digest.starts_with(name)).collect();
    let [digest] = found[..] else {
        return Err(CommandError::new(format!("there is no change {:?}", escape(name)))
            .hint("give its file, or at least eight digits of the digest of one that the case knows"));
    };
    let bytes = case.evidence(digest)?;
    let bytes =
        bytes.ok_or_else(|| CommandError::new(format!("the bytes of the change {digest} are gone from the case")))?;
    Written::parse(digest, &bytes).map_err(wrong)
}

/// What the case knows of a change.
fn known<'a>(state: &'a State, written: &Written) -> Option<&'a Mitigation> {
    state.instances.get(&written.change().from.instance)?.changes.get(written.sha256())
}
