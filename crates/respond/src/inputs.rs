//! Inputs: is everything that the operator gave usable, before anything is recorded?
//!
//! Scope, manifests and evidence are read or opened once before the first step, so that a slip of
//! the pen gives one clear error and leaves the case as it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use check::hunt::Context;
use check::hunt::geo::Geo;
use check::manifest::{Manifest, Operator};
use directive::problem::Problems;
use directive::progress::{Progress, Unwatched};
use directive::record::hex;
use directive::scope::{Declared, Scope};
use discover::import::{Columns, Import};
use discover::recog::Database;
use evidence::{Source, SourceSpec, SpecError};
use sha2::{Digest as _, Sha256};

use crate::manifests;
use crate::open::Runs;

/// What the operator gave, checked.
#[derive(Debug)]
pub struct Inputs {
    /// What is ours.
    pub scope: Scope,
    /// The scope file's bytes, kept in the case.
    pub scope_bytes: Vec<u8>,
    /// What other tools know of our addresses.
    pub imports: Vec<Import>,
    /// Fingerprints beside those of the packs.
    pub recog: Vec<Database>,
    /// Relative paths of the scope start here.
    base: PathBuf,
    /// Manifests by instance.
    manifests: BTreeMap<String, Given>,
    /// Where addresses are.
    geo: Option<Arc<Geo>>,
}

/// The manifests that the operator gave for one instance.
#[derive(Debug, Default)]
pub struct Given {
    /// What they list.
    pub manifests: Vec<Manifest<Operator>>,
    /// Their bytes, kept in the case; of packages, a list of their digests.
    pub bytes: Vec<Vec<u8>>,
}

/// Why something that the operator gave cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The scope file is not one.
    #[error("the scope file cannot be used")]
    Scope {
        /// Every mistake with its place.
        source: Problems,
    },
    /// What another tool wrote cannot be used.
    #[error("a file of another tool cannot be used")]
    Import {
        /// Why.
        source: discover::import::Error,
    },
    /// What another tool wrote cannot be read.
    #[error("cannot read {file}")]
    Unread {
        /// The file, as the scope names it.
        file: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Databases of fingerprints cannot be used.
    #[error("the fingerprints cannot be used")]
    Fingerprints {
        /// Why.
        #[from]
        source: crate::fingerprints::Error,
    },
    /// A manifest, its key or its signature cannot be used.
    #[error("the manifest of {instance} cannot be used")]
    Manifest {
        /// The instance.
        instance: String,
        /// What is wrong with it.
        source: crate::manifests::Error,
    },
    /// The database of places cannot be used.
    #[error("the database {name} of where addresses are cannot be used")]
    Geo {
        /// Its name in the scope.
        name: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Evidence could not be opened.
    #[error("cannot open the evidence of {instance}")]
    Evidence {
        /// The instance.
        instance: String,
        /// What is wrong with it.
        source: crate::open::Error,
    },
}

/// Reads what another tool wrote.
fn import(path: &Path, name: &str, read: &impl Fn(&Path) -> std::io::Result<Vec<u8>>) -> Result<Import, Error> {
    let bytes = read(path).map_err(|source| Error::Unread { file: name.to_owned(), source })?;
    let limits = discover::import::Limits::default();
    Import::read(name, &bytes, &Columns::new(), &limits).map_err(|source| Error::Import { source })
}

impl Inputs {
    /// Checks a scope file and everything that it names. `read` reads a manifest file.
    ///
    /// # Errors
    ///
    /// [`Error`] names the first thing that cannot be used.
    pub fn check(
        file: &Path,
        scope_bytes: Vec<u8>,
        read: impl Fn(&Path) -> std::io::Result<Vec<u8>>,
    ) -> Result<Self, Error> {
        let text = String::from_utf8_lossy(&scope_bytes);
        let scope = Scope::parse(&file.display().to_string(), &text).map_err(|source| Error::Scope { source })?;
        let base = file.parent().unwrap_or(Path::new("")).to_owned();
        let imports =
            scope.imports.iter().map(|name| import(&base.join(name), name, &read)).collect::<Result<_, _>>()?;
        let mut recog = Vec::new();
        for name in &scope.recog {
            recog.extend(crate::fingerprints::read(&base.join(name), name, &read)?);
        }
        let geo = scope.geo.as_ref().map(|name| geo(&base, name, &read)).transpose()?;
        let mut inputs = Self { scope, scope_bytes, imports, recog, base, manifests: BTreeMap::new(), geo };
        for declared in &inputs.scope.instances {
            if declared.evidence.is_some() {
                inputs.is_there(declared)?;
            }
            let mut given = Given::default();
            let failed = |source| Error::Manifest { instance: declared.name.clone(), source };
            let key = declared.manifest_key.as_ref().map(|name| manifests::key(&inputs.base.join(name), name));
            let key = key.transpose().map_err(failed)?;
            for name in &declared.manifests {
                // By its name in the scope: a record must not hold a path of this machine.
                let found = manifests::read(&inputs.base.join(name), name, key.as_ref(), &read, &Unwatched);
                let found = found.map_err(failed)?;
                given.manifests.extend(found.manifests);
                given.bytes.push(found.bytes);
            }
            inputs.manifests.insert(declared.name.clone(), given);
        }
        Ok(inputs)
    }

    /// Opens the evidence of a declared instance.
    ///
    /// # Errors
    ///
    /// [`Error::Evidence`] if there is none, or it cannot be opened.
    pub fn open(&self, declared: &Declared, progress: &dyn Progress) -> Result<Box<dyn Source>, Error> {
        let text = declared.evidence.as_deref().unwrap_or_default();
        let opened = crate::open::open(text, &self.base, &declared.access, progress);
        opened.map_err(|source| Error::Evidence { instance: declared.name.clone(), source })
    }

    /// Reaches what runs on an instance, if the scope says that it is to be looked at.
    ///
    /// # Errors
    ///
    /// [`Error::Evidence`] if it cannot be reached.
    pub(crate) fn runs(&self, declared: &Declared, progress: &dyn Progress) -> Result<Option<Runs>, Error> {
        if !declared.is_live {
            return Ok(None);
        }
        let text = declared.evidence.as_deref().unwrap_or_default();
        let reached = crate::open::runs(text, &self.base, &declared.access, progress);
        reached.map(Some).map_err(|source| Error::Evidence { instance: declared.name.clone(), source })
    }

    /// Whether the evidence is where the scope says, as far as that can be seen without reading it.
    fn is_there(&self, declared: &Declared) -> Result<(), Error> {
        let failed = |source: SpecError| Error::Evidence { instance: declared.name.clone(), source: source.into() };
        let text = declared.evidence.as_deref().unwrap_or_default();
        let spec: SourceSpec = text.parse().map_err(failed)?;
        spec.is_there(&self.base).map_err(|source| failed(source.into()))
    }

    /// What a hunt has to know of the scope.
    pub(crate) fn context(&self) -> Context {
        Context { scanners: self.scope.scanners.clone(), geo: self.geo.clone(), ..Context::default() }
    }

    /// The declared instance of that name.
    pub fn declared(&self, name: &str) -> Option<&Declared> {
        self.scope.instances.iter().find(|declared| declared.name == name)
    }

    /// The manifests of an instance; `None` if the scope does not declare it.
    pub fn given(&self, name: &str) -> Option<&Given> {
        self.manifests.get(name)
    }

    /// SHA-256 of the scope file, in hex.
    pub fn scope_sha256(&self) -> String {
        hex(&Sha256::digest(&self.scope_bytes))
    }
}

/// Reads the database of where addresses are.
fn geo(base: &Path, name: &str, read: impl Fn(&Path) -> std::io::Result<Vec<u8>>) -> Result<Arc<Geo>, Error> {
    let failed = |source| Error::Geo { name: name.to_owned(), source };
    let bytes = read(&base.join(name)).map_err(|err| failed(err.into()))?;
    Geo::read(bytes).map(Arc::new).map_err(|err| failed(err.into()))
}
