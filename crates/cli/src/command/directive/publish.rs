//! `directive publish`: how does an authority put directives where nobody can exchange them?

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ::directive::text::escape;
use ::directive::verdict::Exit;
use clap::Subcommand;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use tuf::packs::published;
use tuf::publish::{Changes, Expires, Repository, Roles};
use tuf::secret::{PublicKey, SecretKey};

use crate::clock::Clock;
use crate::error::CommandError;
use crate::open;
use crate::ui::Ui;

/// Publish packs as a repository of The Update Framework
///
/// The root says whose keys count; its own keys lie in a safe and are needed once a year. The others sign every change.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Make a key; its public half is printed
    Key {
        /// Where the key goes. Nobody but you may read it
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Sign the first root, or the next one: other keys, another threshold, a later end
    Root(Root),
    /// Publish packs, and say anew that all of them are current
    ///
    /// Without a pack only the dates move. Run it more often than `--current-for` lasts.
    Packs(Packs),
}

#[derive(clap::Args, Debug)]
struct Root {
    /// Folder of the repository
    #[arg(value_name = "DIR")]
    repository: PathBuf,

    /// Public key that signs roots; may be given again
    #[arg(long, value_name = "HEX", required = true)]
    root_key: Vec<String>,

    /// How many of them must sign
    #[arg(long, value_name = "N", default_value_t = 1)]
    root_threshold: u64,

    /// Public key that signs packs and dates; may be given again
    #[arg(long, value_name = "HEX", required = true)]
    online_key: Vec<String>,

    /// How many of them must sign
    #[arg(long, value_name = "N", default_value_t = 1)]
    online_threshold: u64,

    /// Key to sign with: as many as the last root and the new one ask for
    #[arg(long, value_name = "FILE", required = true)]
    sign: Vec<PathBuf>,

    /// How long the root holds
    #[arg(long, value_name = "TIME", default_value = "1y")]
    holds_for: Span,
}

#[derive(clap::Args, Debug)]
struct Packs {
    /// Folder of the repository
    #[arg(value_name = "DIR")]
    repository: PathBuf,

    /// Folders or ids of packs. A pack that is there already is replaced whole
    #[arg(value_name = "P")]
    packs: Vec<String>,

    /// Id of a pack that goes; may be given again
    #[arg(long, value_name = "ID")]
    remove: Vec<String>,

    /// Key to sign with; may be given again
    #[arg(long, value_name = "FILE", required = true)]
    sign: Vec<PathBuf>,

    /// How long whoever holds back newer packs can do so unseen
    #[arg(long, value_name = "TIME", default_value = "2d")]
    current_for: Span,

    /// How long the list of packs holds
    #[arg(long, value_name = "TIME", default_value = "90d")]
    holds_for: Span,
}

pub(crate) fn run(ui: &mut Ui, args: &Args) -> Result<Exit, CommandError> {
    let now = Clock::machine().now();
    match &args.what {
        What::Key { file } => key(ui, file),
        What::Root(args) => root(ui, args, now),
        What::Packs(args) => packs(ui, args, now),
    }
}

fn key(ui: &mut Ui, file: &Path) -> Result<Exit, CommandError> {
    let failed = |err| CommandError::because("cannot make a key", err);
    let key = SecretKey::generate().map_err(failed)?;
    let pem = key.to_pem().map_err(failed)?;
    // Never over another key: whoever overwrites the key of a root has lost the repository.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut out| out.write_all(pem.as_bytes()))
        .map_err(|err| CommandError::because(format!("cannot write {}", file.display()), err))?;
    ui.text(&format!("{}\n", key.public()));
    Ok(Exit::Done)
}

fn root(ui: &mut Ui, args: &Root, now: Timestamp) -> Result<Exit, CommandError> {
    let public = |texts: &[String]| -> Result<Vec<PublicKey>, CommandError> {
        let one = |text: &String| {
            PublicKey::parse(text).map_err(|_| {
                CommandError::new(format!("{text:?} is no public key"))
                    .hint("64 hexadecimal digits, as `directive publish key` prints them")
            })
        };
        texts.iter().map(one).collect()
    };
    let roles = Roles {
        root: public(&args.root_key)?,
        root_threshold: args.root_threshold,
        online: public(&args.online_key)?,
        online_threshold: args.online_threshold,
    };
    let expires = after(now, args.holds_for)?;
    let version = Repository::new(&args.repository)
        .sign_root(&roles, &secret(&args.sign)?, expires, now)
        .map_err(|err| CommandError::because("the root is not signed", err))?;
    ui.status(format_args!("Root {version} is signed; it holds until {expires:.0}."));
    if version == 1 {
        let place = args.repository.join("metadata/1.root.json");
        ui.status(format_args!(
            "Give {} to whoever is to follow you, by a way that nobody else can write to.",
            place.display()
        ));
    }
    Ok(Exit::Done)
}

fn packs(ui: &mut Ui, args: &Packs, now: Timestamp) -> Result<Exit, CommandError> {
    let mut changes = Changes::default();
    for id in &args.remove {
        changes.remove.extend(published(id, &Default::default()).remove);
    }
    for name in &args.packs {
        let folder = open::pack_folder(name)?;
        // What cannot be worked from is not published.
        let pack = feed::folder::load(&folder).map_err(unusable)?;
        let files = feed::folder::read(&folder, Default::default()).map_err(unusable)?;
        let of_pack = published(pack.id(), &files);
        changes.add.extend(of_pack.add);
        changes.remove.extend(of_pack.remove);
    }
    let holds = after(now, args.holds_for)?;
    let expires = Expires { targets: holds, snapshot: holds, timestamp: after(now, args.current_for)? };
    let done = Repository::new(&args.repository)
        .publish(changes, &secret(&args.sign)?, expires, now)
        .map_err(|err| CommandError::because("nothing is published", err))?;
    ui.status(format_args!(
        "Version {} lists {} files, and is current until {:.0}.",
        done.version, done.files, expires.timestamp
    ));
    Ok(Exit::Done)
}

fn unusable(err: feed::folder::Error) -> CommandError {
    CommandError::because("the pack cannot be used", err).hint("`portcullis directive lint` checks a pack")
}

fn secret(files: &[PathBuf]) -> Result<Vec<SecretKey>, CommandError> {
    let one = |file: &PathBuf| {
        let name = escape(file.as_os_str().as_encoded_bytes());
        let bytes =
            open::read(file).map_err(|err| CommandError::because(format!("cannot read the key {name}"), err))?;
        SecretKey::parse(&bytes).map_err(|err| CommandError::because(format!("cannot use the key {name}"), err))
    };
    files.iter().map(one).collect()
}

/// A time from now, by the calendar.
fn after(now: Timestamp, span: Span) -> Result<Timestamp, CommandError> {
    let then = now.to_zoned_datetime(TimeZone::UTC).checked_add(span).map(|then| then.timestamp());
    then.ok().filter(|then| *then > now).ok_or_else(|| {
        CommandError::new(format!("{span:#} from now is no time to come")).hint("write 2d, 12h, 90d or 1y")
    })
}
