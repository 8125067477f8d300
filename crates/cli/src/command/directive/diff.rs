//! `directive diff`: what changed from one state of a directive to the next, and what does that reopen?

use std::path::Path;

use ::directive::difference::{Change, Duty, between, duties};
use ::directive::pack::Files;
use ::directive::text::escape;
use ::directive::verdict::Exit;

use crate::error::CommandError;
use crate::open;
use crate::ui::Ui;

/// Shows what changed, and says what that means for whoever worked from the older one.
pub(crate) fn run(ui: &mut Ui, before: &str, after: &str) -> Result<Exit, CommandError> {
    let changes = between(&files(before)?, &files(after)?);
    if ui.is_json() {
        let exit = if changes.is_empty() { Exit::Done } else { Exit::Act };
        let said = changes.iter().map(|change| (Some(place(change)), said(change)));
        let meant = duties(&changes).into_iter().map(|duty| (None, sentence(&duty)));
        return Ok(super::records(ui, said.chain(meant), exit));
    }
    for change in &changes {
        ui.text(&line(change));
    }
    if changes.is_empty() {
        ui.status(format_args!("Nothing changed."));
        return Ok(Exit::Done);
    }
    let duties = duties(&changes);
    if !duties.is_empty() {
        ui.text("\nWhat that means for work that was done:\n");
    }
    duties.iter().for_each(|duty| ui.text(&format!("  {}\n", sentence(duty))));
    ui.status(format_args!("{} changes.", changes.len()));
    Ok(Exit::Act)
}

/// Files as they are: whoever compares also wants to see a pack that has mistakes.
fn files(name: &str) -> Result<Files, CommandError> {
    let folder = if Path::new(name).is_dir() { name.into() } else { open::pack_folder(name)? };
    feed::folder::read(&folder, Default::default()).map_err(|err| CommandError::because("the pack cannot be read", err))
}

fn place(change: &Change) -> String {
    match change.place.as_str() {
        "" => escape(&change.file),
        place => format!("{}: {}", escape(&change.file), escape(place)),
    }
}

/// A change in one sentence.
fn said(change: &Change) -> String {
    match (&change.before, &change.after) {
        (None, Some(after)) => format!("it is new: {}", escape(after)),
        (Some(before), None) => format!("it is gone: {}", escape(before)),
        (before, after) => {
            let text = |value: &Option<String>| value.as_deref().map(escape).unwrap_or_default();
            format!("it was {} and is {}", text(before), text(after))
        }
    }
}

fn line(change: &Change) -> String {
    let place = place(change);
    let value = |value: &Option<String>| value.as_deref().map(escape);
    match (value(&change.before), value(&change.after)) {
        (None, Some(after)) => format!("+ {place}  {after}\n"),
        (Some(before), None) => format!("- {place}  {before}\n"),
        (before, after) => {
            format!("~ {place}\n    was  {}\n    is   {}\n", before.unwrap_or_default(), after.unwrap_or_default())
        }
    }
}

/// What a duty means, in one sentence.
pub(super) fn sentence(duty: &Duty) -> String {
    match duty {
        Duty::New(id) => format!("Action {} is owed anew.", escape(id)),
        Duty::Gone(id) => format!("Action {} is owed no more.", escape(id)),
        Duty::Replaces(id, other) => {
            format!(
                "Action {} takes the place of {}: what was done for that does not count for it.",
                escape(id),
                escape(other)
            )
        }
        Duty::OtherTime(id) => format!("Action {} is due at another time.", escape(id)),
        Duty::Other(id) => {
            format!("Action {} asks for something else: look whether what was done is enough.", escape(id))
        }
        Duty::Versions => "Versions are judged by other rules: `respond --again` judges them.".to_owned(),
        Duty::Checks => "Something else is looked for: `respond --again` checks again.".to_owned(),
        Duty::Form => "The report asks for other answers: `report lint` says which are missing.".to_owned(),
        Duty::Closed => "The directive is closed, or open again: `respond` says what is owed.".to_owned(),
        _ => "Something else changed.".to_owned(),
    }
}
