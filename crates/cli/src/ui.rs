//! Ui: the only module that prints.
//!
//! Records and reports go to stdout, everything else to stderr. Colour repeats what a word already
//! says. Text from an instance is escaped. A reader that goes away is no error: the work goes on and
//! the exit code tells.

use std::error::Error as _;
use std::fmt;
use std::io::{self, IsTerminal as _, Write};
use std::num::NonZeroUsize;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::{ArgAction, ValueEnum};
use directive::record::{Body, Conclusion, Record, Severity};
use directive::text::{Text, escape};

use crate::error::CommandError;

/// What every command understands.
#[derive(clap::Args, Debug)]
pub(crate) struct Global {
    /// Print one JSON object a line on stdout; the last is the summary
    #[arg(long, global = true)]
    json: bool,

    /// Say nothing on stderr but errors
    #[arg(short, long, global = true)]
    quiet: bool,

    /// Say more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,

    /// When to use colour; NO_COLOR is obeyed
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    color: Color,

    /// Threads for reading evidence; default: one for each processor
    #[arg(long, global = true, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum Color {
    Auto,
    Always,
    Never,
}

impl Global {
    /// Threads for reading evidence.
    pub(crate) fn threads(&self) -> NonZeroUsize {
        let processors = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.threads.unwrap_or(processors)
    }
}

/// Prints.
pub(crate) struct Ui {
    json: bool,
    quiet: bool,
    verbose: bool,
    out: AutoStream<io::Stdout>,
    err: AutoStream<io::Stderr>,
}

impl Ui {
    pub(crate) fn new(global: &Global) -> Self {
        let choice = match global.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        Self {
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose > 0,
            out: AutoStream::new(io::stdout(), choice),
            err: AutoStream::new(io::stderr(), choice),
        }
    }

    /// Whether records are printed as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a person watches, so that a bar makes sense.
    pub(crate) fn is_watched(&self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }

    /// Columns of the terminal; 80 in a pipe.
    pub(crate) fn width(&self) -> usize {
        terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0)).clamp(40, 110)
    }

    /// A record: a JSON line, or one line for a person where there is something to say.
    pub(crate) fn record(&mut self, record: &Record) {
        if self.json {
            // A record can always be serialised; a reader that went away is no error.
            if let Ok(line) = serde_json::to_string(record) {
                let _ = writeln!(self.out, "{line}");
            }
        } else if let Some(line) = self.line(record) {
            let _ = writeln!(self.out, "{line}");
        }
    }

    /// Text for stdout: a report, a listing.
    pub(crate) fn text(&mut self, text: &str) {
        let _ = write!(self.out, "{text}");
        let _ = self.out.flush();
    }

    /// One line for a person on stderr.
    pub(crate) fn status(&mut self, line: fmt::Arguments<'_>) {
        if !self.quiet {
            let _ = writeln!(self.err, "{line}");
        }
    }

    /// What failed, why, and what to try.
    pub(crate) fn error(&mut self, err: &CommandError) {
        let (label, hint) = (style(AnsiColor::Red), style(AnsiColor::Cyan));
        let _ = writeln!(self.err, "{label}error{label:#}: {}", lines(&err.to_string()));
        let mut cause = err.source();
        while let Some(err) = cause {
            let shown = err.to_string();
            // Mistakes in a file bring their own layout, with carets that must stay in place.
            if shown.contains('\n') {
                let _ = writeln!(self.err, "{}", lines(&shown));
            } else {
                let _ = writeln!(self.err, "  caused by: {}", lines(&shown));
            }
            cause = err.source();
        }
        if let Some(text) = err.hinted() {
            let _ = writeln!(self.err, "\n{hint}hint{hint:#}: {}", lines(text));
        }
    }

    /// What a record says to a person, if it says anything in a stream of findings.
    fn line(&self, record: &Record) -> Option<String> {
        match &record.body {
            // What is expected on many healthy instances would hide what is not; it is counted at the end.
            Body::Finding(finding) if finding.severity > Severity::Info || self.verbose => {
                let style = severity_style(finding.severity);
                let severity = format!("{:?}", finding.severity).to_lowercase();
                let place = match (&finding.path, &finding.place) {
                    (Some(path), _) => path.escaped(),
                    (None, place) => escape(place.as_deref().unwrap_or_default()),
                };
                Some(format!("{style}{severity:<8}{style:#} {} {place}: {}", finding.code, escape(&finding.why)))
            }
            Body::Gap(gap) if gap.required || self.verbose => {
                let place = gap.path.as_ref().map(Text::escaped).or_else(|| gap.place.as_ref().map(escape));
                let place = place.map(|place| format!(" {place}")).unwrap_or_default();
                let needed = if gap.required { "required gap" } else { "gap" };
                Some(format!("{needed} {}{place}: {}", gap.code, escape(&gap.why)))
            }
            Body::Instance(instance) if !instance.version.witnesses.is_empty() => {
                let version = instance.version.value.as_deref().unwrap_or("version unknown");
                let status = format!("{:?}", instance.version.status).to_lowercase();
                let product = instance.product.as_deref().unwrap_or("unknown product");
                let at = instance.addresses.join(", ");
                let at = if at.is_empty() { String::new() } else { format!(" at {at}") };
                Some(format!(
                    "instance {}{}: {} {} ({status})",
                    escape(&instance.name),
                    escape(&at),
                    escape(product),
                    escape(version)
                ))
            }
            Body::Ledger(ledger) => Some(lines(&ledger.to_string())),
            Body::Merge(merge) => {
                let (at, why) = (merge.addresses.join(", "), merge.reasons.join("; "));
                Some(format!("one instance at {}: {}", escape(&at), escape(&why)))
            }
            Body::Account(account) => {
                let kinds: Vec<&str> = account.kinds.iter().map(|kind| kind.as_str()).collect();
                let last = account.last.map(|last| format!(", last {last:.0}")).unwrap_or_default();
                let from = account.addresses.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
                let from = if from.is_empty() { from } else { format!(" from {from}") };
                Some(format!(
                    "reset {} ({}): {} logins{last}{}; {}",
                    escape(account.name()),
                    kinds.join(", "),
                    account.logins,
                    escape(from),
                    escape(&account.why)
                ))
            }
            Body::Verdict(conclusion) => Some(verdict(record, conclusion)),
            _ => None,
        }
    }
}

/// A verdict with its reasons, one a line.
fn verdict(record: &Record, conclusion: &Conclusion) -> String {
    let whose = record.instance.as_deref().map(|name| format!("{}: ", escape(name))).unwrap_or_default();
    let mut lines = vec![format!("verdict {whose}{}", conclusion.verdict)];
    lines.extend(conclusion.reasons.iter().map(|reason| format!("  {}", escape(reason))));
    if let Some(first) = conclusion.first_sign {
        let by = conclusion.first_sign_by.as_deref().map(|by| format!(": {}", escape(by))).unwrap_or_default();
        lines.push(format!("  First sign {first:.0}, {} before this check{by}.", report::dwell(first, record.at)));
    }
    lines.join("\n")
}

fn style(color: AnsiColor) -> Style {
    Style::new().bold().fg_color(Some(color.into()))
}

fn severity_style(severity: Severity) -> Style {
    match severity {
        Severity::Critical | Severity::High => style(AnsiColor::Red),
        Severity::Medium => style(AnsiColor::Yellow),
        Severity::Info | Severity::Low => Style::new(),
    }
}

/// Escapes every line of a text that may name something from an instance.
fn lines(text: &str) -> String {
    text.split('\n').map(escape).collect::<Vec<_>>().join("\n")
}
