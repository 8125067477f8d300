//! Open: where are the packs and the case that a command line names?

use std::io::Read as _;
use std::path::{Path, PathBuf};

use case::Case;
use directive::pack::Pack;
use directive::record::{Body, Opening};

use crate::error::CommandError;

/// The folder of a case that is not named.
pub(crate) const DEFAULT_CASE: &str = "portcullis-case";

/// The largest scope or manifest file, in bytes. A manifest of a million files has about 100 MB.
const LARGEST_INPUT: u64 = 1 << 30;

/// Loads a pack by folder or by id.
pub(crate) fn pack(name: &str) -> Result<Pack, CommandError> {
    feed::folder::load(&pack_folder(name)?).map_err(|err| {
        CommandError::because("the pack cannot be used", err).hint("`portcullis directive lint` checks a pack")
    })
}

/// The folder of a pack that is named by it or by its id.
///
/// An id is looked for in the folders of `PORTCULLIS_PACKS`, in `packs/` here, and beside the
/// program.
pub(crate) fn pack_folder(name: &str) -> Result<PathBuf, CommandError> {
    let path = Path::new(name);
    let found = if path.is_dir() { Some(path.to_owned()) } else { by_id(name) };
    found.ok_or_else(|| {
        let known = packs().iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect::<Vec<_>>();
        let err = CommandError::new(format!("there is no pack {name:?}"));
        match known.is_empty() {
            true => err.hint("give the folder of a pack, or set PORTCULLIS_PACKS to the folder that holds packs"),
            false => err.hint(format!("known: {}", known.join(", "))),
        }
    })
}

/// Loads packs, each once.
pub(crate) fn all_packs(names: &[String]) -> Result<Vec<Pack>, CommandError> {
    let mut loaded: Vec<Pack> = Vec::new();
    for name in names {
        let pack = pack(name)?;
        if loaded.iter().all(|other| other.id() != pack.id()) {
            loaded.push(pack);
        }
    }
    Ok(loaded)
}

/// Folders of packs that can be named by their id.
pub(crate) fn packs() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = roots()
        .iter()
        .filter_map(|root| std::fs::read_dir(root).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
        .filter(|path| path.join("directive.toml").is_file())
        .collect();
    found.sort();
    found
}

fn by_id(id: &str) -> Option<PathBuf> {
    packs().into_iter().find(|path| path.file_name().is_some_and(|name| name == id))
}

fn roots() -> Vec<PathBuf> {
    let named = std::env::var_os("PORTCULLIS_PACKS");
    let mut roots: Vec<PathBuf> = named.iter().flat_map(std::env::split_paths).collect();
    roots.push("packs".into());
    if let Some(bin) = std::env::current_exe().ok().as_deref().and_then(Path::parent) {
        roots.push(bin.join("packs"));
        roots.push(bin.join("../share/portcullis/packs"));
    }
    roots
}

/// Reads a file that the operator names.
pub(crate) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LARGEST_INPUT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_INPUT {
        return Err(std::io::Error::other("it has more than a gigabyte"));
    }
    Ok(bytes)
}

/// How a case was opened last, if it was.
pub(crate) fn opening(case: &Case) -> Result<Option<Opening>, CommandError> {
    let records = case.records()?;
    let mut openings = records.into_iter().filter_map(|record| match record.body {
        Body::Case(opening) => Some(opening),
        _ => None,
    });
    Ok(openings.next_back())
}

/// The packs that a case was opened with, or those that the command line names.
///
/// A pack that changed since the case was opened is used all the same: directives change within
/// hours, and `respond` records it. The caller says so.
pub(crate) fn packs_of(named: &[String], opening: Option<&Opening>) -> Result<Vec<Pack>, CommandError> {
    if !named.is_empty() {
        return all_packs(named);
    }
    let ids: Vec<String> = opening.iter().flat_map(|opening| &opening.packs).map(|pack| pack.id.clone()).collect();
    if ids.is_empty() {
        return Err(CommandError::new("no pack is named").hint("name one: `--pack ed-21-03`"));
    }
    all_packs(&ids)
}
