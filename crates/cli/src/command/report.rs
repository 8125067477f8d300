//! `report`: what do we tell the authority?

use std::path::{Path, PathBuf};

use ::case::Case;
use ::directive::pack::Pack;
use ::directive::text::escape;
use ::directive::verdict::Exit;
use ::report::{Report, workbook};
use clap::{Subcommand, ValueEnum};

use crate::error::CommandError;
use crate::open;
use crate::ui::Ui;
pub(super) use filing::filing;
use work::Work;

mod attest;
mod filing;
mod receipt;
mod submit;
mod work;

/// Put a case in words
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,

    /// Folder of the case
    #[arg(long, global = true, value_name = "DIR", default_value = open::DEFAULT_CASE)]
    case: PathBuf,

    /// Folder or id of the directive's pack, if the case has several
    #[arg(long, global = true, value_name = "P")]
    pack: Option<String>,

    /// As of which time; default: now, in the case's own clock. The same case and time give the same
    /// bytes
    #[arg(long, global = true, value_name = "TIME")]
    at: Option<String>,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Write the report
    Render {
        /// In which form
        #[arg(long, value_enum, default_value_t = Form::Text)]
        to: Form,

        /// Into which file; default: stdout. A workbook and a PDF need one
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,

        /// The authority's own workbook, empty: the answers go into its cells and nothing else in it
        /// changes. Without it, a workbook of our own
        #[arg(long, value_name = "OFFICIAL.xlsx")]
        form: Option<PathBuf>,

        /// A further font for a PDF (TrueType or OpenType), for scripts that the built-in ones lack
        #[arg(long = "font", value_name = "FILE")]
        fonts: Vec<PathBuf>,

        /// Under which address the organisation publishes, for CSAF; default: a name made of the organisation's own
        #[arg(long, value_name = "URI")]
        namespace: Option<String>,
    },
    /// Say which answers of the authority's form are missing, and which of its rules do not hold
    ///
    /// Says too whether an officer has attested the report, and what has changed since. Exits 0 if the form is
    /// complete and what was attested still holds, 1 if not.
    Lint,
    Attest(attest::Args),
    Submit(submit::Args),
    Receipt(receipt::Args),
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum Form {
    Text,
    Html,
    /// Pages of A4, tagged for screen readers
    Pdf,
    /// All that the report knows, in the form of docs/report.schema.json
    Json,
    Xlsx,
    Csv,
    /// The timeline, as JSON lines that Timesketch imports
    Timeline,
    /// The same as a table
    TimelineCsv,
    /// Accounts that must be reset
    Accounts,
    /// What was seen, with the published indicators that it matches: a bundle of STIX 2.1
    Stix,
    /// Which instances are open to what: a document of CSAF 2.0 in the profile VEX
    Csaf,
    /// Instances with a mismatch, for whoever takes incidents, as JSON
    Incident,
    /// The same for a person
    IncidentText,
}

pub(crate) fn run(ui: &mut Ui, args: &Args) -> Result<Exit, CommandError> {
    if let What::Render { to, output, form, fonts, namespace } = &args.what {
        check(*to, output.as_deref(), form.as_deref(), fonts)?;
        if namespace.is_some() && !matches!(to, Form::Csaf) {
            return Err(CommandError::new("only a CSAF document has a namespace").hint("say `--to csaf` with it"));
        }
    }
    match &args.what {
        What::Attest(what) => return attest::run(ui, args, what),
        What::Submit(what) => return submit::run(ui, args, what),
        What::Receipt(what) => return receipt::run(ui, args, what),
        What::Render { .. } | What::Lint => {}
    }
    let work = Work::open(Case::open_read_only(&args.case)?, args)?;
    let (pack, report) = (&work.pack, work.report(work.at));
    match &args.what {
        What::Render { to: Form::Xlsx, output: Some(output), form, .. } => {
            workbook(ui, pack, &report, output, form.as_deref())?;
            Ok(Exit::Done)
        }
        What::Render { to: Form::Pdf, output: Some(output), fonts, .. } => {
            pages(ui, &work, &report, output, fonts)?;
            Ok(Exit::Done)
        }
        What::Render { to, output, namespace, .. } => {
            let text = render(ui, *to, &work, &report, namespace.as_deref())?;
            match output {
                Some(path) => super::write_file(path, text.as_bytes())?,
                None => ui.text(&text),
            }
            Ok(Exit::Done)
        }
        _ => lint(ui, &work, &report),
    }
}

/// Refuses what cannot be meant, before the case is read.
fn check(to: Form, output: Option<&Path>, form: Option<&Path>, fonts: &[PathBuf]) -> Result<(), CommandError> {
    match (to, output, form) {
        (Form::Xlsx, None, _) => {
            Err(CommandError::new("a workbook does not go to a terminal").hint("name a file: `-o report.xlsx`"))
        }
        (Form::Pdf, None, _) => {
            Err(CommandError::new("a PDF does not go to a terminal").hint("name a file: `-o report.pdf`"))
        }
        (to, ..) if !matches!(to, Form::Pdf) && !fonts.is_empty() => {
            Err(CommandError::new("only a PDF has fonts").hint("say `--to pdf` with --font"))
        }
        (to, _, Some(_)) if !matches!(to, Form::Xlsx) => {
            Err(CommandError::new("only a workbook has a form to fill").hint("say `--to xlsx` with --form"))
        }
        (_, Some(output), Some(form)) if output == form => Err(CommandError::new("the form would be overwritten")
            .hint("keep the authority's file as it is, and write to another")),
        _ => Ok(()),
    }
}

fn render(ui: &Ui, to: Form, work: &Work, report: &Report, namespace: Option<&str>) -> Result<String, CommandError> {
    let pack = &work.pack;
    let no_table = |err| CommandError::because("the table cannot be made", err);
    let timelines = report.instances.iter().map(|one| (one.instance.name.as_str(), one.timeline.as_slice()));
    let accounts = report.instances.iter().map(|one| (one.instance.name.as_str(), one.accounts.as_slice()));
    match to {
        Form::Text => Ok(::report::text::render(report, &work.filing()?, ui.width())),
        Form::Html => ::report::html::render(report, &work.filing()?)
            .map_err(|err| CommandError::because("the page cannot be made", err)),
        Form::Json => ::report::json(report).map_err(|err| CommandError::because("the JSON cannot be made", err)),
        Form::Csv => ::report::csv::render(report, &pack.form).map_err(no_table),
        Form::Timeline => {
            ::report::traces::jsonl(timelines).map_err(|err| CommandError::because("the timeline cannot be made", err))
        }
        Form::TimelineCsv => ::report::traces::csv(timelines).map_err(no_table),
        Form::Accounts => ::report::traces::accounts(accounts).map_err(no_table),
        Form::Stix => ::report::stix::render(report, pack)
            .map_err(|err| CommandError::because("the STIX bundle cannot be made", err)),
        Form::Csaf => ::report::csaf::render(report, pack, namespace)
            .map_err(|err| CommandError::because("the CSAF document cannot be made", err)),
        Form::Incident | Form::IncidentText => incident(ui, to, report),
        // `check` demands a file for it.
        Form::Xlsx | Form::Pdf => Err(CommandError::new("a workbook is no text, nor is a PDF")),
    }
}

/// Sets the report on pages.
fn pages(ui: &mut Ui, work: &Work, report: &Report, output: &Path, fonts: &[PathBuf]) -> Result<(), CommandError> {
    let read = |path: &PathBuf| {
        open::read(path).map_err(|err| CommandError::because(format!("cannot read the font {path:?}"), err))
    };
    let options = pdf::Options { fonts: fonts.iter().map(read).collect::<Result<_, _>>()? };
    let failed = |err| CommandError::because("the pages cannot be set", err);
    let made = pdf::render(report, &work.filing()?, &options).map_err(failed)?;
    super::write_file(output, &made.bytes)?;
    let plural = if made.pages == 1 { "" } else { "s" };
    ui.status(format_args!("{} page{plural}.", made.pages));
    if !made.missing.is_empty() {
        let letters: Vec<_> = made.missing.iter().take(12).map(|letter| escape(letter.to_string())).collect();
        let count = made.missing.len();
        ui.status(format_args!("{count} letters are in no font and written as numbers: {}", letters.join(" ")));
        ui.status(format_args!("\nhint: `--font FILE` adds a font that has them"));
    }
    if !made.archival {
        ui.status(format_args!("The file is an ordinary PDF: a text in it is such as PDF/A forbids."));
    }
    Ok(())
}

/// Fills the authority's workbook, or makes one of our own.
fn workbook(ui: &mut Ui, pack: &Pack, report: &Report, output: &Path, form: Option<&Path>) -> Result<(), CommandError> {
    let made = match form {
        Some(path) => fill(ui, pack, report, path)?,
        None => workbook::own(report, &pack.form).map_err(|err| CommandError::because("there is no workbook", err))?,
    };
    super::write_file(output, &made.bytes)?;
    for cut in &made.cut {
        ui.status(format_args!("Cut, because a cell holds no more than 32,767 characters: {}", escape(cut)));
    }
    if !made.empty.is_empty() {
        let (count, plural) = (made.empty.len(), if made.empty.len() == 1 { " stays" } else { "s stay" });
        ui.status(format_args!("{count} answer{plural} empty: nobody knows them, or nobody has to."));
        ui.status(format_args!("\nhint: `portcullis report lint` says which of them the form demands"));
    }
    Ok(())
}

fn fill(ui: &mut Ui, pack: &Pack, report: &Report, path: &Path) -> Result<workbook::Made, CommandError> {
    let Some(map) = &pack.form.workbook else {
        let what = format!("the pack {} does not say where answers go in a workbook", pack.id());
        return Err(CommandError::new(what).hint("leave out --form for a workbook of our own"));
    };
    let form = open::read(path).map_err(|err| {
        CommandError::because(format!("cannot read the form {path:?}"), err)
            .hint(format!("it is the file that the authority publishes as {}", map.file.get_ref()))
    })?;
    let made = workbook::fill(&form, report, map, &workbook::Limits::default()).map_err(|err| {
        let hint = match &err {
            workbook::Error::Occupied { .. } => {
                "give the form as the authority publishes it; an answer of a person goes into the case with `case mark`"
            }
            workbook::Error::NoRoom { .. } => "leave out --form for a workbook of our own, and ask the authority",
            workbook::Error::NoSheet { .. } | workbook::Error::OtherVersion { .. } => {
                "the pack needs the cells of this version: [workbook] in its report.toml"
            }
            _ => "get the form from the authority again, or leave out --form for a workbook of our own",
        };
        CommandError::because(format!("the form {path:?} cannot be filled"), err).hint(hint)
    })?;
    if report.exercise {
        ui.status(format_args!("EXERCISE: the authority's form has no place to say so. Do not submit it."));
    }
    if !workbook::is_published(&form, map) {
        ui.status(format_args!(
            "The form is not the file that the pack knows, but its labels are where they should be: look at the result."
        ));
    }
    Ok(made)
}

/// What of the report is an incident.
fn incident(ui: &Ui, to: Form, report: &Report) -> Result<String, CommandError> {
    let none = |err| CommandError::because("the submission cannot be made", err);
    let incident = ::report::incident::Incident::of(report).map_err(none)?;
    if matches!(to, Form::Incident) { incident.json().map_err(none) } else { Ok(incident.text(ui.width())) }
}

fn lint(ui: &mut Ui, work: &Work, report: &Report) -> Result<Exit, CommandError> {
    for missing in &report.form.missing {
        ui.text(&format!("missing: {}\n", escape(missing)));
    }
    for broken in &report.form.broken {
        let whose = broken.instance.as_deref().map(|name| format!("{}: ", escape(name))).unwrap_or_default();
        ui.text(&format!("rule {}: {whose}{}\n", broken.rule, escape(&broken.text)));
    }
    let holds = attest::lint(ui, work)?;
    if !report.form.missing.is_empty() || !report.form.broken.is_empty() {
        return Ok(Exit::Act);
    }
    ui.status(format_args!("The form is complete and its rules hold."));
    Ok(if holds { Exit::Done } else { Exit::Act })
}
