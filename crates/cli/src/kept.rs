//! Kept: where do compiled rules lie from one run to the next?
//!
//! In the user's own cache folder, which nobody else may write to: what lies there is run. A folder or a file of
//! somebody else, or one that others may write to, is passed over without a word, and the rules are compiled.
//! Nothing is kept on what is checked: evidence stays as it is.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use ::check::hunt::Cache;
use rustix::fs::{Mode, OFlags};

/// Rule sets that are kept, the latest. One of five thousand rules has some ten megabytes.
const SETS: usize = 8;

/// Bytes of one set.
const LONGEST: u64 = 512 << 20;

/// A folder of the user.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// The folder of whoever runs this; `None` if there is none, it is not his alone, or it lies in evidence.
    pub(crate) fn of_user(evidence: &[String]) -> Option<Self> {
        let own = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let base = own.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
        let folder = base.join("portcullis/rules");
        if evidence.iter().any(|source| holds(source, &base)) {
            return None;
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
        is_own(&fs::symlink_metadata(&folder).ok()?).then_some(Self(folder))
    }

    /// Takes away the oldest sets.
    fn prune(&self) -> std::io::Result<()> {
        let mut sets: Vec<_> = fs::read_dir(&self.0)?
            .filter_map(|entry| Some((entry.as_ref().ok()?.metadata().ok()?.modified().ok()?, entry.ok()?.path())))
            .collect();
        sets.sort();
        let old = sets.len().saturating_sub(SETS);
        sets.iter().take(old).try_for_each(|(_, path)| fs::remove_file(path))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.0)?;
        file.write_all(bytes)?;
        file.persist(self.0.join(name)).map_err(|err| err.error)?;
        self.prune()
    }
}

/// Whether evidence is a folder in which something lies. What does not exist yet lies where its parents are.
fn holds(source: &str, path: &Path) -> bool {
    let real = path.ancestors().find_map(|path| path.canonicalize().ok()).unwrap_or_else(|| path.to_owned());
    Path::new(source).canonicalize().is_ok_and(|source| real.starts_with(source))
}

/// Whether it is of whoever runs this, and nobody else may write to it.
fn is_own(meta: &fs::Metadata) -> bool {
    meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o022 == 0 && !meta.is_symlink()
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    let meta = file.metadata().ok().filter(|meta| meta.is_file() && is_own(meta) && meta.len() <= LONGEST)?;
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).ok()?);
    file.take(LONGEST).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

impl Cache for Folder {
    fn get(&self, name: &str) -> Option<Vec<u8>> {
        read(&self.0.join(name))
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        // A full disk costs a second at the next run, and nothing else.
        let _ = self.write(name, bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_others_could_have_written_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder(dir.path().to_owned());
        folder.put("a", b"code");
        assert_eq!(folder.get("a").as_deref(), Some(b"code".as_slice()));
        fs::set_permissions(dir.path().join("a"), fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(folder.get("a"), None);
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("b")).unwrap();
        assert_eq!((folder.get("b"), folder.get("c")), (None, None));
    }

    #[test]
    fn evidence_that_holds_the_folder_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().display().to_string();
        assert!(holds("/", dir.path()) && holds(&source, &dir.path().join("not/there/yet")));
        assert!(!holds(&source, Path::new("/")) && !holds("vpn1.qcow2", dir.path()));
    }

    #[test]
    fn only_the_latest_sets_stay() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder(dir.path().to_owned());
        (0..SETS + 3).for_each(|n| folder.put(&n.to_string(), b"code"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), SETS);
    }
}
