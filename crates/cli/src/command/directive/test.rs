//! `directive test`: does a pack say what its own examples expect?

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use ::check::hunt::{Context, Origin};
use ::check::{Baseline, Hunt, Request};
use ::directive::example::{InstanceExample, Unmet, judge};
use ::directive::pack::Pack;
use ::directive::record::Version;
use ::directive::scope::Access;
use ::directive::text::escape;
use ::directive::verdict::Exit;

use crate::error::CommandError;
use crate::open;
use crate::progress::{Bar, Stop};
use crate::ui::Ui;

/// Hold a pack against its own examples of versions, due times and instances
///
/// Exits 0 if the pack says what they expect, 1 if it says something else.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Folder or id of a pack
    #[arg(value_name = "P")]
    pack: String,
}

pub(crate) fn run(ui: &mut Ui, args: &Args, threads: NonZeroUsize) -> Result<Exit, CommandError> {
    let folder = open::pack_folder(&args.pack)?;
    let pack = open::pack(&args.pack)?;
    let expected = &pack.expected;
    let (versions, deadlines) = (expected.versions.len(), expected.deadlines.len());
    let mut unmet = super::fingerprints(&pack);
    unmet.extend(judge(&pack).iter().map(words));
    let stop = Stop::listen();
    let bar = Bar::new(&stop, ui.is_watched());
    let hunt = Hunt::within(Context::default(), [(&pack.hunting, Origin::Pack)], Default::default());
    for example in &expected.instances {
        let tried = Tried { pack: &pack, folder: &folder, hunt: hunt.as_ref(), threads };
        unmet.extend(tried.check(example, &bar)?.iter().map(words));
    }
    for line in &unmet {
        ui.text(&format!("{line}\n"));
    }
    let instances = expected.instances.len();
    if versions + deadlines + instances == 0 {
        ui.status(format_args!("{} brings no examples: write examples.toml, see docs/packs.md.", escape(pack.id())));
        return Ok(Exit::Act);
    }
    let failed = match unmet.len() {
        0 => "all as expected".to_owned(),
        count => format!("{count} not as expected"),
    };
    ui.status(format_args!(
        "{}: {versions} versions, {deadlines} due times, {instances} instances; {failed}.",
        escape(pack.id())
    ));
    Ok(if unmet.is_empty() { Exit::Done } else { Exit::Act })
}

fn words(unmet: &Unmet) -> String {
    format!("{}: {}", escape(&unmet.example), escape(&unmet.why))
}

/// What examples of instances are checked with.
struct Tried<'a> {
    pack: &'a Pack,
    folder: &'a Path,
    hunt: Option<&'a Hunt>,
    threads: NonZeroUsize,
}

impl Tried<'_> {
    fn check(&self, example: &InstanceExample, bar: &Bar) -> Result<Vec<Unmet>, CommandError> {
        let name = escape(&example.name);
        let evidence = self.inside(&format!("examples/{}", example.name))?;
        let source = respond::open(&evidence.display().to_string(), Path::new(""), &Access::default(), bar)
            .map_err(|err| CommandError::because(format!("cannot open the example {name}"), err))?;
        let mut manifests = Vec::new();
        if let Some(list) = &example.manifest {
            let path = self.inside(list)?;
            let read = respond::manifests::read(&path, list, None, &open::read, bar)
                .map_err(|err| CommandError::because(format!("the manifest of the example {name} is not used"), err))?;
            manifests.extend(read.manifests);
        }
        let request = Request {
            source: source.as_ref(),
            manifests: &manifests,
            baseline: Baseline::of(source.as_ref()),
            product: Some(&self.pack.product),
            clause: None,
            previous: &[],
            previous_coverage: None,
            live: None,
            hunt: self.hunt,
            threads: self.threads,
            progress: bar,
        };
        let outcome = ::check::integrity::check(&request)
            .map_err(|err| CommandError::because(format!("cannot check the example {name}"), err))?;
        let status = Version::from_witnesses(outcome.witnesses).status;
        Ok(example.judge(status, &outcome.conclusion, &outcome.findings))
    }

    /// A path of the pack; a pack names nothing beside itself.
    fn inside(&self, path: &str) -> Result<PathBuf, CommandError> {
        let plain = Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !plain {
            return Err(CommandError::new(format!("{path:?} is not inside the pack")));
        }
        Ok(self.folder.join(path))
    }
}
