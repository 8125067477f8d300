//! `update verify`: is this package the one that its publisher made?

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use ::directive::pack::Pack;
use ::directive::record::{Body, DutyCount, Package, Record};
use ::directive::text::{chain, escape};
use ::directive::updating::Key;
use ::directive::verdict::Exit;
use ::signer::openpgp::Keys;
use ::signer::sigstore::By;
use ::signer::{Fingerprint, Signed, minisign, sigstore};
use ::update::apt::Release;
use ::update::dnf::{Repomd, signed};
use ::update::verify::{NotVerified, Subject, Verified, by_digest, by_signature};
use jiff::Timestamp;

use crate::clock::Clock;
use crate::command::mitigate::show::fill;
use crate::error::CommandError;
use crate::open;
use crate::ui::Ui;

/// The largest package, in bytes. It is held in memory; those of appliances have a GB.
const LARGEST: u64 = 4 << 30;

/// Say whether a package is the one that its publisher made
///
/// It counts by a digest or a key that the pack pins, or that you do; a repository's signed list speaks for all that it
/// names. Signatures beside the package (`.asc`, `.sig`, `.minisig`, `.sigstore.json`) are found by themselves. Nothing
/// is asked over the network, and nothing is installed.
///
/// Exits 0 if all are verified, 1 if one is not.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The packages
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    #[command(flatten)]
    pins: Pins,
}

/// Who is believed.
#[derive(clap::Args, Debug, Default)]
pub(super) struct Pins {
    /// Folder or id of the directive's pack, whose update.toml pins keys and digests
    #[arg(long, value_name = "P")]
    pub(super) pack: Option<String>,

    /// The digest of the package, from a source that is not the package's own
    #[arg(long, value_name = "SHA256")]
    sha256: Option<String>,

    /// File with OpenPGP keys; which of them count say --fingerprint and the pack
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,

    /// Whole fingerprint of an OpenPGP key that counts
    #[arg(long, value_name = "FINGERPRINT")]
    fingerprint: Vec<String>,

    /// Public key of minisign: the file, or its line
    #[arg(long, value_name = "KEY")]
    minisign: Vec<String>,

    /// Who signed with sigstore: the name in the certificate
    #[arg(long, value_name = "NAME", requires = "issuer")]
    identity: Option<String>,

    /// Who vouches for that name
    #[arg(long, value_name = "URL", requires = "identity")]
    issuer: Option<String>,

    /// Roots of sigstore, trusted_root.json; default: those of the public instance
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,

    /// The signature, where it does not lie beside the package
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,

    /// Signed list of a Debian repository: InRelease, or Release with Release.gpg beside it
    #[arg(long, value_name = "FILE", requires = "index")]
    release: Option<PathBuf>,

    /// Signed list of an rpm repository: repomd.xml, with repomd.xml.asc beside it
    #[arg(long, value_name = "FILE", requires = "index")]
    repomd: Option<PathBuf>,

    /// Index that the list names: Packages or primary.xml, packed or not; may be given again
    #[arg(long, value_name = "FILE")]
    index: Vec<PathBuf>,
}

pub(super) fn run(ui: &mut Ui, args: &Args) -> Result<Exit, CommandError> {
    let pack = args.pins.pack.as_deref().map(open::pack).transpose()?;
    let now = Clock::machine().now();
    let believed = Believed::new(&args.pins, pack.as_ref(), now)?;
    let mut records = Vec::new();
    for path in &args.files {
        let bytes = whole(path)?;
        let subject = Subject { file: name(path)?, bytes: &bytes };
        let judged = believed.judge(path, subject)?;
        let package = record(subject, &judged);
        tell(ui, &package);
        records.push(Record::stamp("update-verify", records.len(), now, None, Body::Package(package)));
    }
    let is_fine = records.iter().all(|record| matches!(&record.body, Body::Package(package) if package.verified));
    let exit = if is_fine { Exit::Done } else { Exit::Act };
    if ui.is_json() {
        records.iter().for_each(|record| ui.record(record));
        ui.record(&crate::command::summary(&records, DutyCount::default(), exit, now));
    }
    Ok(exit)
}

fn tell(ui: &mut Ui, package: &Package) {
    if ui.is_json() {
        return;
    }
    let word = if package.verified { "verified" } else { "NOT VERIFIED" };
    ui.text(&format!("{}: {word}\n", escape(&package.file)));
    if let (Some(name), Some(version)) = (&package.name, &package.version) {
        ui.text(&format!("  {} {}\n", escape(name), escape(version)));
    }
    ui.text(&format!("  SHA-256 {}\n", package.sha256));
    let width = ui.width().saturating_sub(2);
    for line in package.why.lines() {
        ui.text(&format!("  {}\n", fill(&escape(line), width, "  ")));
    }
}

/// What a judgement is in a record.
pub(super) fn record(subject: Subject<'_>, judged: &Result<Verified, Vec<NotVerified>>) -> Package {
    let (verified, why, package) = match judged {
        Ok(verified) => (true, verified.trust().to_string(), verified.package()),
        Err(why) => (false, why.iter().map(|why| chain(why)).collect::<Vec<_>>().join("\n"), None),
    };
    Package {
        file: subject.file.to_owned(),
        sha256: subject.sha256(),
        bytes: subject.bytes.len() as u64,
        verified,
        why,
        name: package.map(|package| package.name.clone()),
        version: package.map(|package| package.version.clone()),
    }
}

/// Everybody who is believed, read once.
pub(super) struct Believed<'a> {
    pins: &'a Pins,
    pack: Option<&'a Pack>,
    keys: Option<Keys>,
    minisign: Vec<String>,
    sigstore: Vec<(String, String)>,
    release: Option<Release>,
    repomd: Option<Repomd>,
    indexes: Vec<Vec<u8>>,
    now: Timestamp,
}

impl<'a> Believed<'a> {
    /// Reads keys and lists.
    ///
    /// # Errors
    ///
    /// If one cannot be read or is not signed by a pinned key, or if nobody is pinned at all.
    pub(super) fn new(pins: &'a Pins, pack: Option<&'a Pack>, now: Timestamp) -> Result<Self, CommandError> {
        let mut believed = Self {
            pins,
            pack,
            keys: keys(pins, pack)?,
            minisign: Vec::new(),
            sigstore: Vec::new(),
            release: None,
            repomd: None,
            indexes: pins.index.iter().map(|path| whole(path)).collect::<Result<_, _>>()?,
            now,
        };
        for key in pack.iter().flat_map(|pack| &pack.updating.keys) {
            match key.get_ref() {
                Key::Minisign { key, .. } => believed.minisign.push(key.clone()),
                Key::Sigstore { identity, issuer } => believed.sigstore.push((identity.clone(), issuer.clone())),
                Key::Openpgp { .. } => {}
            }
        }
        for key in &pins.minisign {
            let path = Path::new(key);
            believed.minisign.push(if path.is_file() { text(path)? } else { key.clone() });
        }
        if let (Some(identity), Some(issuer)) = (&pins.identity, &pins.issuer) {
            believed.sigstore.push((identity.clone(), issuer.clone()));
        }
        believed.lists()?;
        let has_digests = pins.sha256.is_some() || pack.is_some_and(|pack| !pack.updating.digests.is_empty());
        let has_keys = believed.keys.is_some() || !believed.minisign.is_empty() || !believed.sigstore.is_empty();
        if has_digests || has_keys {
            return Ok(believed);
        }
        Err(CommandError::new("nobody is pinned whose word would count").hint(
            "give --sha256, --key with --fingerprint, --minisign, --identity with --issuer, or a pack that pins keys",
        ))
    }

    /// The signed lists of repositories.
    fn lists(&mut self) -> Result<(), CommandError> {
        let no_keys = || CommandError::new("a signed list needs keys").hint("give --key, and --fingerprint or --pack");
        let wrong = |path: &Path, err| {
            CommandError::because(format!("the list {} is not believed", path.display()), err)
                .hint("get it again from another mirror; a list past its end may be an old one that is shown to you")
        };
        if let Some(path) = &self.pins.release {
            let keys = self.keys.as_ref().ok_or_else(no_keys)?;
            let text = whole(path)?;
            let release = match text.starts_with(b"-----BEGIN PGP SIGNED MESSAGE-----") {
                true => Release::clear(keys, &text, self.now),
                false => Release::detached(keys, &text, &whole(&with(path, ".gpg"))?, self.now),
            };
            self.release = Some(release.map_err(|err| wrong(path, err))?);
        }
        if let Some(path) = &self.pins.repomd {
            let keys = self.keys.as_ref().ok_or_else(no_keys)?;
            let list = Repomd::detached(keys, &whole(path)?, &whole(&with(path, ".asc"))?, self.now);
            self.repomd = Some(list.map_err(|err| wrong(path, err))?);
        }
        Ok(())
    }

    /// Judges one package: the first word that counts lets it in, and without one every reason is told.
    ///
    /// # Errors
    ///
    /// If a file beside it cannot be read.
    pub(super) fn judge(
        &self,
        path: &Path,
        subject: Subject<'_>,
    ) -> Result<Result<Verified, Vec<NotVerified>>, CommandError> {
        let mut refused = Vec::new();
        let digests = self.pack.iter().flat_map(|pack| &pack.updating.digests).map(|one| one.get_ref());
        let pinned = digests.filter(|one| one.file == subject.file).map(|one| (one.sha256.as_str(), "the pack"));
        let given = self.pins.sha256.iter().map(|digest| (digest.as_str(), "the operator"));
        for (digest, by) in given.chain(pinned) {
            match by_digest(subject, digest, by) {
                Ok(verified) => return Ok(Ok(verified)),
                Err(why) => refused.push(why),
            }
        }
        let listed = self.indexes.iter().filter_map(|index| self.listed(index, subject));
        for judged in listed.chain(self.beside(path, subject)?) {
            match judged {
                Ok(verified) => return Ok(Ok(verified)),
                Err(why) => refused.push(why),
            }
        }
        if refused.is_empty() {
            let why = "no signature lies beside it, and no list was given".to_owned();
            refused.push(NotVerified::Unreadable { what: "signed package", why });
        }
        Ok(Err(refused))
    }

    fn listed(&self, index: &[u8], subject: Subject<'_>) -> Option<Result<Verified, NotVerified>> {
        if let Some(release) = &self.release {
            return Some(release.index(index).and_then(|index| index.package(subject)));
        }
        self.repomd.as_ref().map(|list| list.package(index, subject))
    }

    /// What its own signature, or those beside it, say.
    fn beside(&self, path: &Path, subject: Subject<'_>) -> Result<Vec<Result<Verified, NotVerified>>, CommandError> {
        let mut judged = Vec::new();
        if let Some(keys) = &self.keys {
            if subject.bytes.starts_with(&[0xed, 0xab, 0xee, 0xdb]) {
                judged.push(signed(keys, subject, self.now));
            }
            for file in self.signatures(path, &[".asc", ".sig", ".gpg"]) {
                judged.push(of(subject, keys.detached(subject.bytes, &whole(&file)?, self.now)));
            }
        }
        for key in &self.minisign {
            for file in self.signatures(path, &[".minisig"]) {
                judged.push(of(subject, minisign::detached(key, subject.bytes, &text(&file)?)));
            }
        }
        let roots = self.pins.roots.as_deref().map(text).transpose()?;
        for (name, issuer) in &self.sigstore {
            for file in self.signatures(path, &[".sigstore.json", ".sigstore"]) {
                let by = By::Identity { name, issuer };
                judged.push(of(subject, sigstore::bundle(roots.as_deref(), by, subject.bytes, &text(&file)?)));
            }
        }
        Ok(judged)
    }

    fn signatures(&self, path: &Path, endings: &[&str]) -> Vec<PathBuf> {
        if let Some(signature) = &self.pins.signature {
            let name = signature.to_string_lossy();
            // One file is one kind of signature: what ends otherwise is taken for OpenPGP.
            let is_other = [".minisig", ".sigstore.json", ".sigstore"].iter().any(|ending| name.ends_with(ending));
            let is_ours =
                endings.iter().any(|ending| name.ends_with(ending)) || (endings.contains(&".asc") && !is_other);
            return if is_ours { vec![signature.clone()] } else { Vec::new() };
        }
        endings.iter().map(|ending| with(path, ending)).filter(|path| path.is_file()).collect()
    }
}

fn of(subject: Subject<'_>, signed: Result<Signed, ::signer::Refused>) -> Result<Verified, NotVerified> {
    by_signature(subject, &signed?)
}

/// The OpenPGP keys that are pinned, of those that were given.
fn keys(pins: &Pins, pack: Option<&Pack>) -> Result<Option<Keys>, CommandError> {
    let wrong = |err| CommandError::because("the keys cannot be used", err);
    let of_pack = pack.iter().flat_map(|pack| pack.updating.fingerprints());
    let prints = pins.fingerprint.iter().map(String::as_str).chain(of_pack).map(str::parse);
    let prints: Vec<Fingerprint> = prints.collect::<Result<_, _>>().map_err(wrong)?;
    let mut bytes = Vec::new();
    for path in &pins.key {
        bytes.extend(whole(path)?);
    }
    if bytes.is_empty() {
        return Ok(None);
    }
    if prints.is_empty() {
        return Err(CommandError::new("no fingerprint says which of these keys count")
            .hint("give --fingerprint from a source that is not the key's own, or a --pack that pins some"));
    }
    Keys::parse(&bytes).and_then(|keys| keys.pinned(&prints)).map(Some).map_err(wrong)
}

/// The whole name with something behind it: `x.deb.asc`.
fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

pub(super) fn name(path: &Path) -> Result<&str, CommandError> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| CommandError::new(format!("{} is no name of a package", path.display())))
}

fn text(path: &Path) -> Result<String, CommandError> {
    String::from_utf8(whole(path)?).map_err(|err| CommandError::because(format!("{} is no text", path.display()), err))
}

pub(super) fn whole(path: &Path) -> Result<Vec<u8>, CommandError> {
    let cannot = |err| CommandError::because(format!("cannot read {}", path.display()), err);
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(cannot)?;
    if bytes.len() as u64 > LARGEST {
        return Err(CommandError::new(format!("{} has more than {} GiB", path.display(), LARGEST >> 30)));
    }
    Ok(bytes)
}
