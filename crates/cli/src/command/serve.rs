//! `serve`: what does an authority take in?

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use ::attest::PublicKey;
use ::directive::text::escape;
use ::directive::verdict::Exit;
use ::serve::{Config, Limits, Renew, Server, Store};
use clap::ArgGroup;

use crate::clock::{self, Clock};
use crate::command::manifest::text;
use crate::error::CommandError;
use crate::open;
use crate::ui::Ui;

/// Take in the reports of organisations, check them at the door, answer with signed receipts
///
/// First the organisations, one command each: `serve --authority --dir DIR --add-organisation NAME --officer-key FILE`
/// prints the token once. Then the server: `serve --authority --dir DIR --pack P --tls-cert FILE --tls-key FILE`.
#[derive(clap::Args, Debug)]
#[command(group = ArgGroup::new("role").required(true))]
pub(crate) struct Args {
    /// As the authority that issues directives
    #[arg(long, group = "role")]
    authority: bool,

    /// Folder of the server: its store, its keys
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7203")]
    listen: SocketAddr,

    /// The server's certificate with those above it, in PEM
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,

    /// The key of the certificate, in PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,

    /// Folder or id of a directive's pack under which reports are taken
    #[arg(long = "pack", value_name = "P")]
    packs: Vec<String>,

    /// The authority's name, for receipts; default: the issuer of the first pack
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Take reports of exercises and no others, with a clock that shows this time now
    #[arg(long, value_name = "TIME")]
    exercise: Option<String>,

    /// Add an organisation, or officers to one; prints the token of a new one, once
    #[arg(long, value_name = "NAME")]
    add_organisation: Option<String>,

    /// A key of an officer of that organisation: a file with a line of OpenSSH
    #[arg(long = "officer-key", value_name = "FILE", requires = "add_organisation")]
    officers: Vec<PathBuf>,

    /// Make a new token for that organisation; the old one ends
    #[arg(long, requires = "add_organisation")]
    new_token: bool,
}

pub(crate) fn run(ui: &mut Ui, args: &Args) -> Result<Exit, CommandError> {
    debug_assert!(args.authority, "the group demands it");
    match &args.add_organisation {
        Some(name) => add(ui, args, name),
        None => serve(ui, args),
    }
}

fn add(ui: &mut Ui, args: &Args, name: &str) -> Result<Exit, CommandError> {
    let officers = args.officers.iter().map(|path| key(path)).collect::<Result<Vec<_>, _>>()?;
    let failed = |err| CommandError::because("the organisation was not added", err);
    let renew = if args.new_token { Renew::Yes } else { Renew::No };
    let mut store = Store::open(&args.dir).map_err(failed)?;
    let added = store.add(name, &officers, renew, Clock::machine().now()).map_err(failed)?;
    if let Some(token) = &added.token {
        ui.text(&format!("{token}\n"));
        ui.status(format_args!("That is the token of {}. It is shown once, and kept by nobody.", escape(name)));
    }
    for officer in &added.officers {
        ui.status(format_args!("Officer's key: {officer}"));
    }
    if added.officers.is_empty() {
        ui.status(format_args!("It has no officer yet, and no report of it is taken."));
        ui.status(format_args!("\nhint: the same command with `--officer-key FILE` adds one"));
    }
    Ok(Exit::Done)
}

fn key(path: &Path) -> Result<PublicKey, CommandError> {
    PublicKey::parse(&text(path, "the key")?).map_err(|err| {
        CommandError::because(format!("cannot use the key {}", path.display()), err)
            .hint("it is the public half, in a file that ends in .pub: `ssh-ed25519 AAAA...`")
    })
}

fn serve(ui: &mut Ui, args: &Args) -> Result<Exit, CommandError> {
    let packs = open::all_packs(&args.packs)?;
    let Some(first) = packs.first() else {
        return Err(CommandError::new("no pack is named").hint("`--pack P`: under which directives are reports taken?"));
    };
    let authority = args.name.clone().unwrap_or_else(|| first.directive.issuer.name.clone());
    let start = args.exercise.as_deref().map(clock::moment).transpose()?;
    let clock = start.map_or_else(Clock::machine, Clock::exercise);
    let (log, lines) = mpsc::channel::<String>();
    let config = Config {
        folder: args.dir.clone(),
        authority: escape(&authority),
        packs,
        exercise: start.is_some(),
        listen: args.listen,
        certificate: pem(args.tls_cert.as_deref(), "--tls-cert")?,
        key: pem(args.tls_key.as_deref(), "--tls-key")?,
        limits: Limits::default(),
        clock: Box::new(move || clock.now()),
        // Nobody reads any more when the process ends.
        log: Box::new(move |line| drop(log.send(escape(line)))),
    };
    let server = Server::open(config).map_err(|err| CommandError::because("there is no server", err))?;
    ui.text(&format!("https://{}\n", server.address()));
    ui.status(format_args!("{} takes reports. Its receipts are signed with", escape(&authority)));
    ui.status(format_args!("{}", server.receipt_key()));
    if start.is_some() {
        ui.status(format_args!("EXERCISE: it takes reports of exercises and no others."));
    }
    std::thread::spawn(move || server.run());
    for line in lines {
        ui.status(format_args!("{line}"));
    }
    Err(CommandError::new("the server has ended"))
}

fn pem(path: Option<&Path>, option: &str) -> Result<Vec<u8>, CommandError> {
    let Some(path) = path else {
        return Err(CommandError::new(format!("a server has {option}"))
            .hint("reports go over TLS alone: `--tls-cert FILE --tls-key FILE`"));
    };
    open::read(path).map_err(|err| CommandError::because(format!("cannot read {}", path.display()), err))
}
