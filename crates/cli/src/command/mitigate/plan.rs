//! `mitigate plan`: write down what will be done, and touch nothing.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ::case::Case;
use ::directive::change::{Change, Kind, Written};
use ::directive::pack::Pack;
use ::directive::record::{ChangeStep, DutyCount, Stage};
use ::directive::scope::Scope;
use ::directive::state::State;
use ::directive::text::escape;
use ::directive::verdict::Exit;
use ::directive::workaround::Workaround;
use ::mitigate::apply::Journal as _;
use ::mitigate::engine::{Rule, modsecurity, suricata};
use ::mitigate::plan::{self, Isolation, Request, Way};
use clap::ValueEnum;

use super::journal::InCase;
use super::{LoginArgs, clock, scope, show};
use crate::clock::Clock;
use crate::error::CommandError;
use crate::open;
use crate::ui::Ui;

/// Write down what will be done, and touch nothing
///
/// Reads the configuration of the proxy and writes a file that a person can read. `apply` does exactly what it says.
#[derive(clap::Args, Debug, Clone)]
pub(super) struct Args {
    /// Folder or id of the directive's pack
    #[arg(long, value_name = "P")]
    pub(super) pack: String,

    /// The workaround of the pack; may be left out if there is only one
    #[arg(long, value_name = "ID")]
    workaround: Option<String>,

    /// What is changed; the last two are only written as rules, for whoever runs such an engine
    #[arg(long, value_enum)]
    kind: KindArg,

    /// The instance of the scope that is protected
    #[arg(long, value_name = "NAME")]
    pub(super) instance: String,

    /// Where it is done: local, or ssh://user@host:port. Given again, each is planned and -o is a folder
    #[arg(long, value_name = "HOST", default_value = "local", conflicts_with = "hosts")]
    pub(super) host: Vec<String>,

    /// File with a proxy a line: `HOST at=ADDRESS config=PATH pid-file=PATH instance=NAME name=NAME`, all but HOST may
    /// be left out. Then -o is a folder
    #[arg(long, value_name = "FILE")]
    pub(super) hosts: Option<PathBuf>,

    /// The configuration of the proxy on that host; default: where the distribution has it
    #[arg(long, value_name = "PATH")]
    pub(super) config: Option<String>,

    /// The file in which the proxy's first process writes its number
    #[arg(long, value_name = "PATH")]
    pub(super) pid_file: Option<String>,

    /// What makes a new configuration take effect there: `systemctl reload haproxy`
    #[arg(long, value_name = "COMMAND")]
    reload: Option<String>,

    /// Where visitors reach the proxy; default: the addresses of the instance. May be given again
    #[arg(long, value_name = "ADDRESS")]
    pub(super) at: Vec<SocketAddr>,

    /// The name that visitors use
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,

    /// The vendor's own file, which a person imports before `apply` proves it
    #[arg(long, value_name = "FILE", required_if_eq("kind", "vendor-file"))]
    file: Option<PathBuf>,

    /// The action that isolation does, `2.b.i.isolate`
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,

    /// Where units of systemd are kept on that host, so that isolation outlives a restart; default: /etc/systemd/system
    /// where systemd runs
    #[arg(long, value_name = "FOLDER")]
    units: Option<String>,

    /// A way that isolation leaves open: `10.0.0.9:22`, from whom to which port of the instance. May be given again
    #[arg(long, value_name = "WAY")]
    keep: Vec<Way>,

    /// Where somebody must still be heard after isolation. May be given again
    #[arg(long, value_name = "ADDRESS")]
    open: Vec<SocketAddr>,

    /// A program of this machine that must succeed before and after: a login, for example. May be given again
    #[arg(long, value_name = "COMMAND")]
    works: Vec<String>,

    /// Seconds that connections of the old configuration may last
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    drain: u32,

    /// The version of the instance, where the case does not know it
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,

    /// The scope file: nothing outside it is asked
    #[arg(long, value_name = "FILE")]
    pub(super) scope: PathBuf,

    /// Folder of the case; without one nothing is recorded yet
    #[arg(long, value_name = "DIR")]
    pub(super) case: Option<PathBuf>,

    #[command(flatten)]
    login: LoginArgs,

    /// Where the change is written
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: PathBuf,
}

impl Args {
    /// The same for one machine alone.
    pub(super) fn only(&self, host: &str) -> Self {
        Self { host: vec![host.to_owned()], hosts: None, ..self.clone() }
    }
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum KindArg {
    Nginx,
    Haproxy,
    Nftables,
    VendorFile,
    Modsecurity,
    Suricata,
}

impl KindArg {
    fn kind(self) -> Option<Kind> {
        match self {
            Self::Nginx => Some(Kind::Nginx),
            Self::Haproxy => Some(Kind::Haproxy),
            Self::Nftables => Some(Kind::Nftables),
            Self::VendorFile => Some(Kind::VendorFile),
            Self::Modsecurity | Self::Suricata => None,
        }
    }
}

pub(super) fn run(ui: &mut Ui, args: &Args) -> Result<Exit, CommandError> {
    let pack = open::pack(&args.pack)?;
    if args.kind.kind().is_none() {
        return export(ui, args, &pack, workaround(&pack, args.workaround.as_deref())?);
    }
    if super::many::is_many(args) {
        return super::many::plan(ui, args);
    }
    let scope = scope(&args.scope)?;
    let mut case = args.case.as_deref().map(Case::open).transpose()?;
    let state = match &case {
        Some(case) => State::from_records(&case.records()?),
        None => State::default(),
    };
    let clock = case.as_ref().map_or_else(|| Ok(Clock::machine()), clock)?;
    let written = written(args, &pack, &scope, &state, clock)?;
    crate::command::write_file(&args.output, written.bytes())?;
    if let Some(case) = &mut case {
        planned(ui, case, clock, &written)?;
    }
    tell(ui, args, &written);
    Ok(Exit::Done)
}

/// The change for one machine.
pub(super) fn written(
    args: &Args,
    pack: &Pack,
    scope: &Scope,
    state: &State,
    clock: Clock,
) -> Result<Written, CommandError> {
    let kind = args.kind.kind().ok_or_else(|| CommandError::new("rules of this kind are only written"))?;
    let known = state.instances.get(&args.instance).and_then(|known| known.instance.version.value.clone());
    let version = args.version.clone().or(known);
    let at = addresses(args, scope)?;
    let given = Given { pack, kind, version: version.as_deref(), at: &at, scope };
    let change = given.plan(args, clock)?;
    Written::write(&change).map_err(|err| CommandError::because("the change cannot be written", err))
}

/// What is known when a change is planned.
struct Given<'a> {
    pack: &'a Pack,
    kind: Kind,
    version: Option<&'a str>,
    at: &'a [SocketAddr],
    scope: &'a Scope,
}

impl Given<'_> {
    fn plan(&self, args: &Args, clock: Clock) -> Result<Change, CommandError> {
        let hands = args.login.hands(host(args))?;
        if self.kind == Kind::Nftables {
            let request = self.isolation(args, clock)?;
            return plan::isolation(&request, self.scope, hands.as_ref()).map_err(refused);
        }
        let works: Vec<Vec<String>> = args.works.iter().map(|text| words(text)).collect::<Result<_, _>>()?;
        let request = self.request(args, &works, clock)?;
        match (&args.file, self.kind) {
            (Some(file), Kind::VendorFile) => {
                let cannot = |err| CommandError::because(format!("cannot read {}", file.display()), err);
                let bytes = open::read(file).map_err(cannot)?;
                plan::vendor_file(&request, self.scope, &bytes).map_err(refused)
            }
            _ => plan::proxy(&request, self.scope, hands.as_ref()).map_err(refused),
        }
    }

    fn isolation<'a>(&'a self, args: &'a Args, clock: Clock) -> Result<Isolation<'a>, CommandError> {
        if let Some(action) = args.action.as_ref().filter(|action| self.pack.action(action).is_none()) {
            return Err(CommandError::new(format!("the directive has no action {:?}", escape(action)))
                .hint("`portcullis directive show` lists them"));
        }
        Ok(Isolation {
            pack: self.pack,
            action: args.action.as_deref(),
            instance: &args.instance,
            at: self.at,
            host: host(args),
            config: args.config.as_deref(),
            units: args.units.as_deref(),
            keep: &args.keep,
            open: &args.open,
            now: clock.now(),
        })
    }

    fn request<'a>(
        &'a self,
        args: &'a Args,
        works: &'a [Vec<String>],
        clock: Clock,
    ) -> Result<Request<'a>, CommandError> {
        Ok(Request {
            pack: self.pack,
            workaround: workaround(self.pack, args.workaround.as_deref())?,
            kind: self.kind,
            instance: &args.instance,
            version: self.version,
            host: host(args),
            config: args.config.as_deref(),
            pid_file: args.pid_file.as_deref(),
            reload: args.reload.as_deref().map(words).transpose()?,
            at: self.at,
            name: args.name.as_deref(),
            works,
            drain: args.drain,
            now: clock.now(),
        })
    }
}

/// Where it is done.
fn host(args: &Args) -> &str {
    args.host.first().map_or("local", String::as_str)
}

/// Records that a change was planned.
pub(super) fn planned(ui: &mut Ui, case: &mut Case, clock: Clock, written: &Written) -> Result<(), CommandError> {
    let instance = written.change().from.instance.clone();
    let mut journal = InCase { case, clock, ui, instance, records: Vec::new() };
    let kept = journal.keep(written.bytes()).and_then(|_| journal.step(planned_step(written)));
    kept.map_err(|err| CommandError::new(format!("the case cannot be written: {err}")))
}

/// That a change was planned, as a step of it.
pub(super) fn planned_step(written: &Written) -> ChangeStep {
    let change = written.change();
    ChangeStep {
        change: written.sha256().to_owned(),
        stage: Stage::Planned,
        what: "plan".into(),
        why: change.title.clone(),
        action: change.from.action.as_ref().map(|action| format!("{}/{action}", change.from.pack.id)),
        workaround: change.from.workaround.as_ref().map(|id| format!("{}/{id}", change.from.pack.id)),
        by: None,
        kept: None,
        expires: change.expires,
        list: None,
    }
}

/// Says what was planned, and what comes next.
fn tell(ui: &mut Ui, args: &Args, written: &Written) {
    if ui.is_json() {
        let at = written.change().made;
        return ui.record(&crate::command::summary(&[], DutyCount::default(), Exit::Done, at));
    }
    let width = ui.width();
    ui.text(&show::change(written, width));
    ui.status(format_args!(
        "\nNothing was touched. The whole of it stands in {0}. To carry it out:\n  \
         portcullis mitigate apply {0} --scope {1} --by YOUR-NAME --approve {2}",
        args.output.display(),
        args.scope.display(),
        &written.sha256()[..12]
    ));
}

fn workaround<'a>(pack: &'a Pack, id: Option<&str>) -> Result<&'a Workaround, CommandError> {
    let known =
        pack.workarounds.iter().map(|workaround| workaround.id.get_ref().as_str()).collect::<Vec<_>>().join(", ");
    match (id, pack.workarounds.as_slice()) {
        (Some(id), _) => pack.workaround(id).ok_or_else(|| {
            CommandError::new(format!("the pack has no workaround {:?}", escape(id))).hint(format!("known: {known}"))
        }),
        (None, [one]) => Ok(one),
        (None, []) => Err(CommandError::new(format!("the pack {} has no workaround", escape(pack.id())))),
        (None, _) => Err(CommandError::new("the pack has several workarounds").hint(format!("name one of {known}"))),
    }
}

fn addresses(args: &Args, scope: &Scope) -> Result<Vec<SocketAddr>, CommandError> {
    let declared = scope.instances.iter().find(|declared| declared.name == args.instance);
    let Some(declared) = declared else {
        let known = scope.instances.iter().map(|declared| escape(&declared.name)).collect::<Vec<_>>().join(", ");
        return Err(CommandError::new(format!("the scope declares no instance {:?}", escape(&args.instance)))
            .hint(format!("known: {known}")));
    };
    Ok(if args.at.is_empty() { declared.addresses.clone() } else { args.at.clone() })
}

/// The words of a command; quotes keep spaces together.
fn words(text: &str) -> Result<Vec<String>, CommandError> {
    let (mut words, mut word, mut quote, mut is_open) = (Vec::new(), String::new(), None, false);
    for next in text.chars() {
        match (quote, next) {
            (Some(end), next) if next == end => quote = None,
            (None, '"' | '\'') => (quote, is_open) = (Some(next), true),
            (None, ' ') => {
                if is_open || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                is_open = false;
            }
            (_, next) => word.push(next),
        }
    }
    if is_open || !word.is_empty() {
        words.push(word);
    }
    if quote.is_some() || words.is_empty() {
        return Err(CommandError::new(format!("{:?} is no command", escape(text))).hint("quotes come in pairs"));
    }
    Ok(words)
}

/// Writes the rule for an engine that is not ours to change.
fn export(ui: &mut Ui, args: &Args, pack: &Pack, workaround: &Workaround) -> Result<Exit, CommandError> {
    let rule = Rule { pack: pack.id(), workaround };
    let (text, name) = match args.kind {
        KindArg::Modsecurity => (modsecurity::rules(&rule, FIRST_ID), "ModSecurity or Coraza"),
        _ => (suricata::rules(&rule, FIRST_ID), "Suricata"),
    };
    crate::command::write_file(Path::new(&args.output), text.as_bytes())?;
    ui.status(format_args!(
        "Wrote {} rules for {name} to {}. Whoever runs the engine puts them in; nothing is proved by that.",
        text.lines().filter(|line| line.starts_with("SecRule") || line.starts_with("drop")).count(),
        args.output.display()
    ));
    Ok(Exit::Done)
}

/// Ids of exported rules begin here: both engines leave this range to local rules.
const FIRST_ID: u32 = 1_210_400;

fn refused(err: plan::Error) -> CommandError {
    let hint = match &err {
        plan::Error::Version { .. } => Some("say it with --version, or let `respond` find it out"),
        plan::Error::Outside(_) => Some("add the address to the scope, or name another with --at"),
        plan::Error::NoAddress(_) => Some("name one with --at"),
        plan::Error::There { .. } => Some("`mitigate undo` takes it away; `mitigate prove` says whether it holds"),
        plan::Error::MustNot(_) => Some("another kind, or the update first"),
        _ => None,
    };
    let err = CommandError::because("nothing was planned, and nothing was touched", err);
    match hint {
        Some(hint) => err.hint(hint),
        None => err,
    }
}
