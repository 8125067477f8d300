//! `case done`: what did a person do, and what does he show for it?

use std::path::{Path, PathBuf};

use ::directive::action::Action;
use ::directive::configuration::{self, Compared};
use ::directive::gate::{self, Proof, Shown};
use ::directive::pack::Pack;
use ::directive::record::{Body, Outcome, Step, hex, short_digest};
use ::directive::text::escape;
use ::directive::verdict::Exit;
use ::update::prove::{self, Claim};
use sha2::{Digest as _, Sha256};

use super::Open;
use crate::clock;
use crate::error::CommandError;
use crate::open;
use crate::ui::Ui;

/// Record that a person did an action, or decided not to
///
/// Where the directive wants more than a word (`proof` of an action), it is asked for: what comes before must be done,
/// files are kept, an update is proved, changed lines are explained. What is missing is listed, and nothing is
/// recorded.
///
/// Exits 0 if it is recorded, 1 if something is missing.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The directive and action, `ed-21-03/2.b.i.isolate`
    #[arg(value_name = "ACTION")]
    action: String,

    /// For which instance
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,

    /// Who did it
    #[arg(long, value_name = "PERSON")]
    by: String,

    /// What was done, or why it was not
    #[arg(long, value_name = "TEXT")]
    note: String,

    /// It was decided not to do it
    #[arg(long)]
    skip: bool,

    /// A file that goes into the case: the saved configuration. May be given again
    #[arg(long, value_name = "FILE")]
    file: Vec<PathBuf>,

    /// The version that was installed, where the update is to be proved
    #[arg(long, value_name = "V")]
    version: Option<String>,

    /// When the installation began. Default: when the latest action before this one was done
    #[arg(long, value_name = "TIME", requires = "version")]
    since: Option<String>,

    /// A saved configuration and the present one. May be given again
    #[arg(long, num_args = 2, value_names = ["SAVED", "NOW"])]
    compare: Vec<PathBuf>,

    /// Why lines differ: the lines as this command lists them, below a line `@ why`
    #[arg(long, value_name = "FILE", requires = "compare")]
    explained: Option<PathBuf>,
}

pub(super) fn run(ui: &mut Ui, case: &Path, args: &Args) -> Result<Exit, CommandError> {
    let mut open = Open::new(case)?;
    let (pack, action) = args.action.split_once('/').unwrap_or(("", &args.action));
    let found = open.packs.iter().find(|known| known.id() == pack);
    let Some((pack, known)) = found.and_then(|pack| Some((pack, pack.action(action)?))) else {
        return Err(CommandError::new(format!("no directive of this case has the action {:?}", args.action))
            .hint("write it as the report does, with the directive before it: ed-21-03/2.b.i.isolate"));
    };
    open.expect(known.each, args.instance.as_deref())?;
    let mut given = Given::read(args)?;
    if !args.skip {
        given.prove(&open, pack, known, args)?;
        let missing = gate::missing(pack, &open.state, known, args.instance.as_deref(), &given.shown);
        if !missing.is_empty() {
            return Ok(refuse(ui, &args.action, &missing));
        }
    }
    for bytes in &given.bytes {
        open.case.put_evidence(bytes)?;
    }
    let whose = args.instance.as_deref().unwrap_or_default();
    let step = short_digest(&[args.action.as_bytes(), whose.as_bytes(), &open.records.len().to_le_bytes()]);
    let body = Body::Step(Step {
        step: step.clone(),
        action: args.action.clone(),
        outcome: if args.skip { Outcome::Skipped } else { Outcome::Done },
        why: args.note.clone(),
        by: Some(args.by.clone()),
        inputs: given.shown.files.clone(),
    });
    let said = format!("{} {}", args.action, if args.skip { "is skipped" } else { "is done" });
    open.append(&step, args.instance.as_deref(), body)?;
    ui.status(format_args!("Recorded: {}.", escape(said)));
    Ok(Exit::Done)
}

fn refuse(ui: &mut Ui, action: &str, missing: &[String]) -> Exit {
    for line in missing {
        ui.text(&format!("{}\n", escape(line)));
    }
    ui.status(format_args!(
        "{} is not done, and nothing was recorded: {} things are missing.\n\nhint: `--skip --note WHY` records that it \
         was decided against",
        escape(action),
        missing.len()
    ));
    Exit::Act
}

/// What a person gives with his word.
struct Given {
    shown: Shown,
    /// Everything that goes into the case.
    bytes: Vec<Vec<u8>>,
}

impl Given {
    fn read(args: &Args) -> Result<Self, CommandError> {
        let read = |path: &Path| {
            open::read(path).map_err(|err| CommandError::because(format!("cannot read {}", path.display()), err))
        };
        let digest = |bytes: &[u8]| hex(&Sha256::digest(bytes));
        let mut given = Self { shown: Shown::default(), bytes: Vec::new() };
        for path in &args.file {
            let bytes = read(path)?;
            given.shown.files.push(digest(&bytes));
            given.bytes.push(bytes);
        }
        let explained = match &args.explained {
            Some(path) => String::from_utf8_lossy(&read(path)?).into_owned(),
            None => String::new(),
        };
        let mut unused: Option<Vec<String>> = None;
        for pair in args.compare.chunks_exact(2) {
            let (saved, now) = (read(&pair[0])?, read(&pair[1])?);
            let compared = configuration::compare(&saved, &now, &explained)
                .map_err(|why| CommandError::new(format!("the configurations cannot be compared: {why}")))?;
            // One file of explanations serves all pairs: only what fits none of them is left over.
            let left = unused.take().unwrap_or_else(|| compared.unused.clone());
            unused = Some(left.into_iter().filter(|line| compared.unused.contains(line)).collect());
            given.shown.files.push(digest(&now));
            given.shown.compared.push((digest(&saved), Compared { unused: Vec::new(), ..compared }));
            given.bytes.push(now);
        }
        if let (Some(unused), Some((_, last))) = (unused, given.shown.compared.last_mut()) {
            last.unused = unused;
        }
        if !explained.is_empty() {
            given.shown.files.push(digest(explained.as_bytes()));
            given.bytes.push(explained.into_bytes());
        }
        Ok(given)
    }

    /// Asks the witnesses of the update, where one is to be shown.
    fn prove(&mut self, open: &Open, pack: &Pack, action: &Action, args: &Args) -> Result<(), CommandError> {
        let (Some(instance), true) = (&args.instance, action.proof.contains(&Proof::Update)) else { return Ok(()) };
        let Some(version) = &args.version else { return Ok(()) };
        let since = match &args.since {
            Some(text) => clock::moment(text)?,
            None => self.begun(open, pack, action, instance)?,
        };
        let judged = prove::prove(pack, &open.records, instance, Claim { version, since });
        self.shown.update = judged.map(|judged| match judged.outcome {
            prove::Outcome::Proved => Ok(()),
            prove::Outcome::Refuted | prove::Outcome::Unproved => {
                let contradict = |word| judged.witnesses.iter().filter(move |said| said.word == word);
                let words: Vec<String> = contradict(prove::Word::Against)
                    .chain(contradict(prove::Word::Silent))
                    .map(|said| format!("{}: {}", said.witness, said.why))
                    .collect();
                Err(words.join("; "))
            }
        });
        Ok(())
    }

    /// When the latest action before this one was done.
    fn begun(
        &self,
        open: &Open,
        pack: &Pack,
        action: &Action,
        instance: &str,
    ) -> Result<jiff::Timestamp, CommandError> {
        let log = open.state.instances.get(instance).map(|known| &known.log);
        let before = action.after.iter().filter_map(|id| pack.action(id.get_ref()));
        let done = before.filter_map(|one| log?.done(&format!("{}/{}", pack.id(), one.id.get_ref())).last().copied());
        done.max().ok_or_else(|| {
            CommandError::new("nobody says when the installation began").hint("give --since, as the case's times are")
        })
    }
}
