//! `directive`: which directives are at hand, and what do they order?

mod diff;
mod fetch;
mod new;
mod publish;
mod test;

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::Path;

use ::check::Hunt;
use ::check::hunt::{Context, Origin};
use ::directive::action::{Action, Each};
use ::directive::deadline::{Due, Event, Length, Once};
use ::directive::pack::Pack;
use ::directive::record::{Body, DutyCount, Finding, Record, Severity};
use ::directive::text::escape;
use ::directive::verdict::Exit;
use clap::Subcommand;

use crate::clock::Clock;
use crate::error::CommandError;
use crate::open;
use crate::ui::Ui;

/// Look at directives
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// List the packs that can be named by their id
    List,
    /// Show what a directive orders, by when
    Show {
        /// Folder or id of a pack
        #[arg(value_name = "P")]
        pack: String,

        /// In which form: words, or a playbook in CACAO 2.0 with what it cannot say in an extension
        #[arg(long, value_enum, default_value_t = Form::Text)]
        to: Form,
    },
    New(new::Args),
    /// Say everything that is wrong with a pack, with file, line and caret
    ///
    /// Exits 0 if nothing is wrong, 1 if something is.
    Lint {
        /// Folder of a pack
        #[arg(value_name = "P")]
        pack: String,
    },
    /// Show what changed from one state of a pack to another, and which duties that reopens
    ///
    /// Exits 0 if nothing changed, 1 if something did.
    Diff {
        /// Folder or id of the older pack
        #[arg(value_name = "A")]
        before: String,
        /// Folder or id of the newer pack
        #[arg(value_name = "B")]
        after: String,
    },
    Test(test::Args),
    Publish(publish::Args),
    Fetch(fetch::Args),
}

/// How a directive is shown.
#[derive(clap::ValueEnum, Debug, Clone, Copy)]
enum Form {
    Text,
    Cacao,
}

pub(crate) fn run(ui: &mut Ui, args: &Args, threads: NonZeroUsize) -> Result<Exit, CommandError> {
    match &args.what {
        What::List => list(ui),
        What::Show { pack, to: Form::Text } => show(ui, &open::pack(pack)?),
        What::Show { pack, to: Form::Cacao } => playbook(ui, pack),
        What::New(args) => new::run(ui, args),
        What::Lint { pack } => lint(ui, pack),
        What::Diff { before, after } => diff::run(ui, before, after),
        What::Test(args) => test::run(ui, args, threads),
        What::Publish(args) => publish::run(ui, args),
        What::Fetch(args) => fetch::run(ui, args),
    }
}

/// Prints what changed as records, by place, with the summary that closes the stream.
fn records(ui: &mut Ui, changes: impl IntoIterator<Item = (Option<String>, String)>, exit: Exit) -> Exit {
    let at = Clock::machine().now();
    let finding = |(place, why)| Finding {
        code: "directive-changed".into(),
        severity: Severity::Info,
        path: None,
        place,
        why,
        evidence: None,
        rule: None,
        attack: Vec::new(),
        clause: None,
        times: Default::default(),
    };
    let findings = changes.into_iter().map(finding).enumerate();
    let stamp = |(n, finding)| Record::stamp("directive", n, at, None, Body::Finding(finding));
    let records: Vec<Record> = findings.map(stamp).collect();
    records.iter().for_each(|record| ui.record(record));
    ui.record(&super::summary(&records, DutyCount::default(), exit, at));
    exit
}

fn list(ui: &mut Ui) -> Result<Exit, CommandError> {
    let mut exit = Exit::Done;
    for path in open::packs() {
        match feed::folder::load(&path) {
            Ok(pack) => {
                let closed = pack.directive.closed.as_ref();
                let closed =
                    closed.map(|closed| format!(" (closed {})", closed.at.strftime("%Y-%m-%d"))).unwrap_or_default();
                ui.text(&format!("{}  {}{closed}\n", escape(pack.id()), escape(&pack.directive.title)));
            }
            Err(_) => {
                exit = Exit::Act;
                ui.text(&format!(
                    "{}  cannot be used; `directive lint` says why\n",
                    escape(path.display().to_string())
                ));
            }
        }
    }
    Ok(exit)
}

fn lint(ui: &mut Ui, name: &str) -> Result<Exit, CommandError> {
    match feed::folder::load(Path::new(name)) {
        Ok(pack) => {
            let mut failures = fingerprints(&pack);
            failures.extend(rules(&pack));
            for failure in &failures {
                ui.text(&format!("{failure}\n"));
            }
            for action in &pack.directive.actions {
                for slip in action.due.slips() {
                    let id = escape(action.id.get_ref());
                    ui.status(format_args!("A slip of the directive itself, action {id}: {}.", escape(slip)));
                }
            }
            if failures.is_empty() {
                ui.status(format_args!(
                    "{}: {} actions, nothing is wrong.",
                    escape(pack.id()),
                    pack.directive.actions.len()
                ));
                return Ok(Exit::Done);
            }
            Ok(Exit::Act)
        }
        Err(feed::folder::Error::Pack { source, .. }) => {
            ui.text(&format!("{source}\n"));
            Ok(Exit::Act)
        }
        Err(err) => Err(CommandError::because("the pack cannot be read", err)),
    }
}

/// What is wrong with a pack's fingerprints: files that cannot be read, examples that do not hold.
fn fingerprints(pack: &Pack) -> Vec<String> {
    let mut wrong = Vec::new();
    let beside = |path: &str| pack.examples.get(path).cloned();
    for (file, xml) in &pack.recog {
        match ::discover::recog::Database::parse(file, xml) {
            Ok(database) => wrong.extend(database.check_examples(&beside).1.iter().map(|failure| {
                format!("{file}:{}: {}: {}", failure.line, escape(&failure.description), escape(&failure.why))
            })),
            Err(err) => wrong.push(format!("{file}: {err}")),
        }
    }
    wrong
}

/// What is wrong with a pack's rules and indicators, with line and caret where they have a place.
fn rules(pack: &Pack) -> Vec<String> {
    let hunt = Hunt::within(Context::default(), [(&pack.hunting, Origin::Pack)], Default::default());
    let unusable = hunt.iter().flat_map(Hunt::unusable);
    unusable
        .map(|gap| match &gap.place {
            Some(place) => format!("{}: {}", escape(place), lines(&gap.why)),
            None => lines(&gap.why),
        })
        .collect()
}

/// A message of several lines, each escaped.
fn lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

fn show(ui: &mut Ui, pack: &Pack) -> Result<Exit, CommandError> {
    let directive = &pack.directive;
    let mut out = String::new();
    // Writing into a `String` cannot fail.
    let _ = writeln!(out, "{}  {}", escape(pack.id()), escape(&directive.title));
    let _ = writeln!(out, "issued by {}", escape(&directive.issuer.name));
    for document in &directive.documents {
        let _ = writeln!(out, "{}  {}", document.issued.strftime("%Y-%m-%d"), escape(&document.title));
    }
    if let Some(closed) = &directive.closed {
        let _ = writeln!(out, "{}  closed: {}", closed.at.strftime("%Y-%m-%d"), escape(&closed.why));
    }
    for action in &directive.actions {
        let _ = write!(out, "\n{}", describe(action));
    }
    ui.text(&out);
    Ok(Exit::Done)
}

fn playbook(ui: &mut Ui, name: &str) -> Result<Exit, CommandError> {
    let (pack, path) = (open::pack(name)?, open::pack_folder(name)?.join("directive.toml"));
    let text =
        open::read(&path).map_err(|err| CommandError::because(format!("cannot read {}", path.display()), err))?;
    let playbook = ::directive::playbook::export(&pack, &String::from_utf8_lossy(&text))
        .map_err(|err| CommandError::because("the directive cannot be put into a playbook", err))?;
    ui.text(&playbook);
    Ok(Exit::Done)
}

fn describe(action: &Action) -> String {
    let mut out = String::new();
    let each = match action.each {
        Each::Organisation => "",
        Each::Instance => ", for each instance",
    };
    let optional = if action.optional { ", optional" } else { "" };
    let _ = writeln!(out, "{}  {}{each}{optional}", escape(action.id.get_ref()), escape(&action.title));
    let _ = writeln!(out, "    {}", due(&action.due));
    for slip in action.due.slips() {
        let _ = writeln!(out, "    a slip: {}", escape(slip));
    }
    if !action.after.is_empty() {
        let after: Vec<_> = action.after.iter().map(|id| escape(id.get_ref())).collect();
        let _ = writeln!(out, "    after {}", after.join(", "));
    }
    if !action.text.is_empty() {
        let _ = writeln!(out, "    {}", escape(&action.text));
    }
    out
}

fn due(due: &Due) -> String {
    match due {
        Due::Untimed => "no time set".to_owned(),
        Due::Once(once) => self::once(once),
        Due::Every { every, first, times } => {
            let times = times.map(|times| format!(", {times} times")).unwrap_or_default();
            let first = first.as_ref().map(|first| format!(", first {}", self::once(first))).unwrap_or_default();
            format!("every {every:#}{times}{first}")
        }
    }
}

fn once(once: &Once) -> String {
    match once {
        Once::By(moment, _) => format!("by {}", moment.strftime("%a %-d %b %Y %H:%M %Z")),
        Once::Within { length, of, at } => {
            let event = match of {
                Event::Issued => "the directive was issued",
                Event::Opened => "the case was opened",
                Event::Known => "the instance became known",
                Event::Verdict => "the verdict",
                Event::Release => "the vendor's release",
            };
            let at = at.map(|time| format!(", by {} of that day", time.strftime("%H:%M"))).unwrap_or_default();
            match length {
                Length::Span(span) if span.is_zero() => format!("at once after {event}"),
                Length::Span(span) => format!("within {span:#} after {event}{at}"),
                Length::BusinessDays(count) => format!("within {count} business days after {event}{at}"),
            }
        }
    }
}
