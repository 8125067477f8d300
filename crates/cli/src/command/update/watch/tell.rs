//! Tell: what does a person read of a look, and a script?

use ::directive::plan::Owed;
use ::directive::record::{Affected, Body, DutyCount, Exploited, Gap, Notice, Record};
use ::directive::text::escape;
use ::directive::verdict::Exit;
use jiff::Timestamp;

use super::is_advisory;
use crate::ui::Ui;

/// What a look brought.
pub(super) struct Told<'a> {
    pub(super) records: &'a [Record],
    pub(super) gaps: &'a [Gap],
    pub(super) duties: &'a [Owed],
    pub(super) at: Timestamp,
}

/// Tells it, and decides the exit code.
pub(super) fn tell(ui: &mut Ui, told: &Told<'_>) -> Exit {
    let exit = match (told.duties.is_empty(), told.gaps.iter().any(|gap| gap.required)) {
        (false, _) => Exit::Act,
        (true, true) => Exit::Inconclusive,
        (true, false) => Exit::Done,
    };
    let mut all: Vec<Record> = told.records.to_vec();
    let gaps = told.gaps.iter().cloned().map(|gap| (None, Body::Gap(gap)));
    let duties = told.duties.iter().map(|owed| (owed.instance.as_deref(), Body::Duty(owed.duty.clone())));
    let stamp = |(n, (instance, body))| Record::stamp("update-watch", n, told.at, instance, body);
    all.extend(gaps.chain(duties).enumerate().map(stamp));
    for record in &all {
        match &record.body {
            _ if ui.is_json() => ui.record(record),
            body if is_advisory(body) => ui.text(&line(body)),
            Body::Duty(duty) => {
                let due = duty.due.map_or("without a time".to_owned(), |due| format!("by {due:.0}"));
                let whose = record.instance.as_deref().map(|name| format!(" {}", escape(name))).unwrap_or_default();
                let (action, title, why) = (escape(&duty.action), escape(&duty.title), escape(&duty.why));
                ui.text(&format!("owed {due}:{whose} {action} {title}\n  {why}\n"));
            }
            _ => ui.record(record),
        }
    }
    if ui.is_json() {
        let late = told.duties.iter().filter(|owed| owed.duty.late).count() as u64;
        let duties = DutyCount { open: told.duties.len() as u64, late };
        ui.record(&crate::command::summary(&all, duties, exit, told.at));
    }
    exit
}

fn line(body: &Body) -> String {
    match body {
        Body::Advisory(notice) => advisory(notice),
        Body::Exploited(entry) => exploited(entry),
        _ => String::new(),
    }
}

fn advisory(notice: &Notice) -> String {
    let list = |parts: Vec<String>| {
        if parts.is_empty() { "none that can be computed with".to_owned() } else { parts.join(", ") }
    };
    let affected = list(notice.affected.iter().map(range).collect());
    let fixed =
        list(notice.fixed.iter().map(|one| format!("{} since {:.0}", escape(&one.version), one.released)).collect());
    format!(
        "advisory {}, version {}: {}\n  affected: {affected}\n  fixed: {fixed}\n  signed by {}\n",
        escape(notice.name()),
        escape(&notice.version),
        escape(&notice.title),
        escape(&notice.signed_by)
    )
}

fn range(range: &Affected) -> String {
    let part =
        |word: &str, version: &Option<String>| version.as_ref().map(|version| format!("{word} {}", escape(version)));
    if range.from == range.through && range.from.is_some() {
        return range.from.iter().map(escape).collect();
    }
    let parts = [part("from", &range.from), part("before", &range.before), part("through", &range.through)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "every version".to_owned() } else { parts.join(" ") }
}

fn exploited(entry: &Exploited) -> String {
    let due = entry.due.map_or("not listed any more".to_owned(), |due| format!("to be closed by {due}"));
    format!("exploited {}: {due}, {}\n", escape(&entry.cve), escape(&entry.name))
}
