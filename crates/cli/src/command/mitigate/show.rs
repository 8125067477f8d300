//! `mitigate`, show: how does a person at three in the morning read a change and a proof?

use std::fmt::Write as _;

use ::directive::change::{Change, Kind, Written};
use ::directive::record::Proof;
use ::directive::text::escape;

/// What will be done, in the order in which it is done.
pub(in crate::command) fn change(written: &Written, width: usize) -> String {
    let change = written.change();
    let mut out = format!("{}\n\n", fill(&escape(&change.title), width, ""));
    for note in &change.notes {
        let _ = writeln!(out, "- {}", fill(&escape(note), width.saturating_sub(2), "  "));
    }
    let _ = writeln!(out, "\nOn {}, for {}:", escape(&change.target.host), escape(&change.from.instance));
    steps(&mut out, change, width);
    if let Some(prove) = &change.prove {
        let at = prove.at.iter().chain(&prove.closed).chain(&prove.open).map(escape).collect::<Vec<_>>().join(", ");
        let _ = writeln!(out, "Proved at {at}:");
        for blocked in &prove.blocked {
            let why = if blocked.why.is_empty() { String::new() } else { format!("  ({})", escape(&blocked.why)) };
            let _ = writeln!(out, "  refused  {}{why}", escape(&blocked.path));
        }
        prove.closed.iter().for_each(|at| out.push_str(&format!("  closed   {}\n", escape(at))));
        for required in &prove.required {
            let how = if required.look_alike { "not refused" } else { "must work" };
            let _ = writeln!(out, "  {how}  {}", escape(&required.path));
        }
        prove.open.iter().for_each(|at| out.push_str(&format!("  open     {}\n", escape(at))));
        prove
            .works
            .iter()
            .for_each(|works| out.push_str(&format!("  must work  {}\n", escape(works.command.join(" ")))));
    }
    if let Some(expires) = change.expires {
        let every = change.every.as_deref().map(|every| format!("; a proof counts for {every}")).unwrap_or_default();
        let _ = writeln!(out, "It expires on {}{every}.", expires.strftime("%Y-%m-%d %H:%M UTC"));
    }
    let _ = writeln!(out, "Digest: {}", written.sha256());
    out
}

fn steps(out: &mut String, change: &Change, width: usize) {
    let narrow = width.saturating_sub(5);
    for (number, step) in (1..).zip(&change.hands) {
        let _ = writeln!(out, "  {number}. {}", fill(&escape(&step.text), narrow, "     "));
        if !step.seen.is_empty() {
            let seen = format!("Seen by: {}", escape(&step.seen));
            let _ = writeln!(out, "     {}", fill(&seen, narrow, "     "));
        }
    }
    for keep in &change.keeps {
        let _ = writeln!(out, "  copy    {} into the case", escape(&keep.what));
    }
    for file in &change.files {
        let how = match (&file.before, file.after()) {
            (None, _) => "new file",
            (Some(_), None) => "remove",
            (Some(_), Some(_)) if file.quarantine.is_some() => "replace",
            (Some(_), Some(_)) => "change",
        };
        let _ = writeln!(out, "  {how}  {}", escape(&file.path));
        if let Some(digest) = &file.content_sha256 {
            let _ = writeln!(out, "            SHA-256 {}", escape(digest));
        }
        for line in file.difference.lines() {
            let _ = writeln!(out, "      {}", escape(line));
        }
    }
    for command in &change.checks {
        let _ = writeln!(out, "  check   {}", escape(command.command.join(" ")));
    }
    for command in &change.runs {
        let _ = writeln!(out, "  run     {}", escape(command.command.join(" ")));
    }
    if let Some(drain) = &change.drain {
        let _ = writeln!(out, "  drain   old processes have {} s, then they are ended", drain.seconds);
    }
    for command in &change.undo {
        let _ = writeln!(out, "  undo by {}", escape(command.command.join(" ")));
    }
}

/// How many requests that got through are shown; the record has a hundred.
const SHOWN: usize = 10;

/// What requests from outside met.
pub(super) fn proof(proof: &Proof, kind: Kind) -> String {
    let word = if proof.holds { "It holds" } else { "IT DOES NOT HOLD" };
    let lost = proof.lost.len();
    let (refused, asked) = (proof.refused, proof.asked);
    let (mut out, what) = match kind {
        Kind::Remove => (format!("{word}: {refused} of {asked} files are gone, or are the vendor's.\n"), "came back"),
        _ => {
            let works = (proof.required as usize).saturating_sub(lost);
            let of = proof.required;
            let line = format!("{word}: {refused} of {asked} requests refused, {works} of {of} functions work.\n");
            (line, "got through")
        }
    };
    let shown = proof.leaks.iter().take(SHOWN);
    shown.for_each(|leak| out.push_str(&format!("  {what}: {}\n", escape(leak))));
    if proof.leaks.len() > SHOWN {
        let more = proof.leaks.len() - SHOWN;
        let _ = writeln!(out, "  ... and {more} more, in the record of the proof: `portcullis case show --type proof`");
    }
    let what = if kind == Kind::Remove { "goes on" } else { "does not work" };
    proof.lost.iter().for_each(|lost| out.push_str(&format!("  {what}: {}\n", escape(lost))));
    proof.unasked.iter().for_each(|one| out.push_str(&format!("  note: {}\n", escape(one))));
    if let Some(until) = proof.until.filter(|_| proof.holds) {
        let _ = writeln!(out, "It counts until {}.", until.strftime("%Y-%m-%d %H:%M UTC"));
    }
    out
}

/// Breaks a text into lines of this width, the later ones indented.
pub(in crate::command) fn fill(text: &str, width: usize, indent: &str) -> String {
    let (mut out, mut column) = (String::new(), 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            out.push('\n');
            out.push_str(indent);
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}
