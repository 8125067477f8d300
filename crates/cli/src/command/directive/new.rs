//! `directive new`: what of a new pack do an advisory, a catalogue or a playbook tell already?

use std::fs;
use std::path::{Path, PathBuf};

use ::directive::advisory::{self, Advisory};
use ::directive::draft::{Draft, Known, draft};
use ::directive::kev::{self, Catalogue, Entry};
use ::directive::pack::Pack;
use ::directive::playbook::{self, Order};
use ::directive::text::escape;
use ::directive::verdict::Exit;

use crate::clock::Clock;
use crate::error::CommandError;
use crate::open;
use crate::ui::Ui;

/// Begin a pack from an advisory (CSAF), a catalogue of exploited vulnerabilities (KEV) or a playbook (CACAO)
///
/// What they tell goes into the pack; what nobody knows yet is left out and named. Nothing is fetched.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Id of the directive, such as `ed-99-01`; also the folder's name
    #[arg(value_name = "ID")]
    id: String,

    /// The vendor's advisory: a CSAF 2.0 document
    #[arg(long, value_name = "FILE")]
    csaf: Option<PathBuf>,

    /// The KEV catalogue, as JSON
    #[arg(long, value_name = "FILE", requires = "cve")]
    kev: Option<PathBuf>,

    /// Which of its entries; may be given again
    #[arg(long, value_name = "CVE")]
    cve: Vec<String>,

    /// A playbook in CACAO 2.0 whose steps become the actions
    #[arg(long, value_name = "FILE")]
    cacao: Option<PathBuf>,

    /// Zone in which days are counted, by its IANA name
    #[arg(long, value_name = "ZONE", default_value = "America/New_York")]
    zone: String,

    /// Folder in which the pack's folder is made
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
}

pub(crate) fn run(ui: &mut Ui, args: &Args) -> Result<Exit, CommandError> {
    let folder = args.output.join(&args.id);
    if folder.exists() {
        return Err(CommandError::new(format!("{} is there already", folder.display()))
            .hint("choose another id, or remove it: a draft overwrites nothing"));
    }
    let advisory = args.csaf.as_deref().map(|path| read(path, "CSAF document", advisory::parse)).transpose()?;
    let catalogue = args.kev.as_deref().map(|path| read(path, "KEV catalogue", kev::parse)).transpose()?;
    let order = args.cacao.as_deref().map(|path| order(path, args)).transpose()?;
    let (csaf, kev, cacao) = (name(args.csaf.as_deref()), name(args.kev.as_deref()), name(args.cacao.as_deref()));
    let entries = entries(args, catalogue.as_ref(), advisory.as_ref())?;
    let entries: Vec<(&Entry, &str)> = entries.into_iter().map(|entry| (entry, kev.as_str())).collect();
    let draft = draft(&Known {
        id: &args.id,
        zone: &args.zone,
        now: Clock::machine().now(),
        advisory: advisory.as_ref().map(|advisory| (advisory, csaf.as_str())),
        entries: &entries,
        order: order.as_ref().map(|order| (order, cacao.as_str())),
    });
    holds(&draft, &args.id)?;
    write(&folder, &draft)?;
    ui.text(&format!("{}\n", escape(folder.display().to_string())));
    ui.status(format_args!("What waits for you:"));
    for open in &draft.open {
        ui.status(format_args!("  {}", escape(open)));
    }
    ui.status(format_args!(
        "\nhint: `portcullis directive lint {}` after each change",
        escape(folder.display().to_string())
    ));
    Ok(Exit::Act)
}

/// A draft that cannot be worked from would be no beginning: whoever gave a hostile document is told so.
fn holds(draft: &Draft, id: &str) -> Result<(), CommandError> {
    let files = draft.files.iter().map(|(name, text)| (name.clone(), text.clone().into_bytes())).collect();
    match Pack::parse(id, &files) {
        Ok(_) => Ok(()),
        Err(problems) => Err(CommandError::because("no pack can be made of this", problems)
            .hint("an id has small letters, digits, `-` and `.`; a zone is named like America/New_York")),
    }
}

fn name(path: Option<&Path>) -> String {
    path.and_then(Path::file_name).map(|name| escape(name.as_encoded_bytes())).unwrap_or_default()
}

fn read<T>(path: &Path, what: &str, parse: impl Fn(&[u8]) -> Result<T, String>) -> Result<T, CommandError> {
    let name = path.display();
    let bytes = open::read(path).map_err(|err| CommandError::because(format!("cannot read {name}"), err))?;
    parse(&bytes).map_err(|why| CommandError::new(format!("{name} is no {what}: {}", escape(why))))
}

fn order(path: &Path, args: &Args) -> Result<Order, CommandError> {
    let name = path.display();
    let bytes = open::read(path).map_err(|err| CommandError::because(format!("cannot read {name}"), err))?;
    playbook::import(&bytes, &args.id, &args.zone)
        .map_err(|err| CommandError::because(format!("the playbook {name} cannot be used"), err))
}

/// The entries that are asked for by name.
fn entries<'a>(
    args: &Args,
    catalogue: Option<&'a Catalogue>,
    advisory: Option<&Advisory>,
) -> Result<Vec<&'a Entry>, CommandError> {
    let Some(catalogue) = catalogue else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for cve in &args.cve {
        let entry = catalogue.find(cve).ok_or_else(|| {
            let about = advisory.map(|advisory| advisory.cves().join(", ")).filter(|cves| !cves.is_empty());
            let err = CommandError::new(format!("the catalogue has no entry {cve:?}"));
            match about {
                Some(cves) => err.hint(format!("the advisory is about {}", escape(cves))),
                None => err,
            }
        })?;
        found.push(entry);
    }
    Ok(found)
}

/// Writes the folder whole or not at all.
fn write(folder: &Path, draft: &Draft) -> Result<(), CommandError> {
    let failed = |err| CommandError::because(format!("cannot write {}", folder.display()), err);
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(failed)?;
    let making = tempfile::Builder::new().prefix(".new-").tempdir_in(parent).map_err(failed)?;
    for (name, text) in &draft.files {
        fs::write(making.path().join(name), text).map_err(failed)?;
    }
    fs::rename(making.path(), folder).map_err(failed)?;
    // Its place has been taken by the pack.
    let _ = making.keep();
    Ok(())
}
