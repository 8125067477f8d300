//! `directive fetch`: which directives does an authority have in force, authentic and current?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ::directive::difference::{between, duties};
use ::directive::pack::Files;
use ::directive::text::escape;
use ::directive::verdict::Exit;
use tuf::client::{Client, Limits, init};
use tuf::packs::{self, News};
use tuf::source::{Folder, Http, Source};

use super::diff::sentence;
use crate::clock::Clock;
use crate::error::CommandError;
use crate::open;
use crate::ui::Ui;

/// Bring packs to the state that an authority signed
///
/// Old, held back, mixed and changed packs are refused, whoever sends them. Exits 0 if nothing is new, 1 if something
/// is.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Where the repository is: an address, or a folder such as a stick
    #[arg(value_name = "REPOSITORY")]
    repository: String,

    /// The first root, as it came to you by a way that you trust. Needed once
    #[arg(long, value_name = "ROOT.json")]
    root: Option<PathBuf>,

    /// Where packs go
    #[arg(long, value_name = "DIR", default_value = "packs")]
    to: PathBuf,
}

/// What is trusted lies beside the packs, under a name that is none of a pack.
const TRUSTED: &str = ".trusted";

pub(crate) fn run(ui: &mut Ui, args: &Args) -> Result<Exit, CommandError> {
    let now = Clock::machine().now();
    let store = args.to.join(TRUSTED);
    begin(args, &store, now)?;
    let (metadata, targets) = halves(&args.repository);
    let refused = |err| {
        CommandError::because("nothing more was taken; what was trusted before still is", err)
            .hint("ask the authority by another way before you work from older packs")
    };
    let before = here(&args.to);
    let client = Client::refresh_at_once(metadata.as_ref(), &store, now, Limits::default()).map_err(refused)?;
    let fetched = packs::fetch(&client, targets.as_ref(), &args.to, packs::Limits::default()).map_err(refused)?;
    let (mut exit, mut told) = (Exit::Done, Vec::new());
    for (id, news) in &fetched {
        let said = match news {
            News::Same => "unchanged",
            News::New => "new",
            News::Changed => "changed",
            News::Unlisted => "not listed by the authority",
        };
        if *news != News::Same {
            exit = Exit::Act;
            told.push((Some(escape(id)), said.to_owned()));
        }
        if !ui.is_json() {
            ui.text(&format!("{:<28}{said}\n", escape(id)));
        }
        if *news == News::Changed {
            let after = feed::folder::read(&args.to.join(id), Default::default()).unwrap_or_default();
            let changes = before.get(id).map(|before| between(before, &after)).unwrap_or_default();
            for duty in duties(&changes).iter().map(sentence) {
                if !ui.is_json() {
                    ui.text(&format!("  {duty}\n"));
                }
                told.push((Some(escape(id)), duty));
            }
        }
    }
    let count = fetched.values().filter(|news| **news != News::Unlisted).count();
    ui.status(format_args!("{count} packs of {} are current.", escape(&args.repository)));
    Ok(if ui.is_json() { super::records(ui, told, exit) } else { exit })
}

/// The packs that are here, by their folder. One that cannot be read is none.
fn here(folder: &Path) -> BTreeMap<String, Files> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let packs = entries.filter(|entry| entry.path().join("directive.toml").is_file());
    let files = |path: &Path| feed::folder::read(path, Default::default()).unwrap_or_default();
    packs.map(|entry| (entry.file_name().to_string_lossy().into_owned(), files(&entry.path()))).collect()
}

/// Trusts the first root, unless one is trusted already.
fn begin(args: &Args, store: &Path, now: jiff::Timestamp) -> Result<(), CommandError> {
    if store.join("root.json").is_file() {
        return match &args.root {
            None => Ok(()),
            Some(_) => Err(CommandError::new(format!("a root is trusted already in {}", args.to.display()))
                .hint("later roots come by themselves; leave `--root` out, or take another `--to`")),
        };
    }
    let Some(root) = &args.root else {
        return Err(CommandError::new("no root is trusted yet").hint(
            "give the one that the authority handed to you by a way that nobody else can write to: \
             `--root 1.root.json`",
        ));
    };
    let bytes =
        open::read(root).map_err(|err| CommandError::because(format!("cannot read {}", root.display()), err))?;
    init(store, &bytes, now).map_err(|err| CommandError::because(format!("{} cannot be trusted", root.display()), err))
}

/// The two halves of a repository.
fn halves(repository: &str) -> (Box<dyn Source>, Box<dyn Source>) {
    if repository.starts_with("https://") || repository.starts_with("http://") {
        let base = repository.trim_end_matches('/');
        let half = |name: &str| Box::new(Http::new(&format!("{base}/{name}")));
        return (half("metadata"), half("targets"));
    }
    let half = |name: &str| Box::new(Folder::new(Path::new(repository).join(name)));
    (half("metadata"), half("targets"))
}
