//! Clock: by which advisories is an instance affected, and when does each want it closed?
//!
//! The pack is one source of the duty to update, each advisory of the case another, with a clock of its own: what was
//! done for an older one does not do for a newer one, and a newer one does not stop the clock of an older. The
//! catalogue of exploited vulnerabilities sets a day beside them. The earliest counts. Source: ED 21-03 action 3,
//! "every subsequent update and security advisory"; BOD 22-01, required action 2.

use jiff::Timestamp;

use crate::action::Does;
use crate::deadline::{Due, Event, Moments, Once};
use crate::pack::Pack;
use crate::product::{Current, Range, Told, is_affected_by};
use crate::record::{Exploited, Fixed, Status};
use crate::state::{Followed, Known, State};

use super::Case;

/// Why an instance is affected: by the pack, or by an advisory.
pub(super) struct Source<'a> {
    /// The advisory; absent: the pack.
    followed: Option<&'a Followed>,
    /// What was done until then is no answer to it. Within one second nobody learns of it and does it.
    since: Timestamp,
    /// When the first version was released that this source does not call affected.
    release: Option<(String, Timestamp)>,
    /// What the catalogue says of the vulnerabilities.
    exploited: Vec<&'a Exploited>,
}

/// What is still owed of one source.
pub(super) struct Open {
    pub(super) due: Option<Timestamp>,
    /// What starts the clock, in words; absent where the directive's own words say it.
    pub(super) why: Option<String>,
}

/// Why an instance is affected. Nothing, if it is not.
pub(super) fn sources<'a>(
    pack: &'a Pack,
    current: &Current,
    state: &'a State,
    known: &Known,
    now: Timestamp,
) -> Vec<Source<'a>> {
    if known.instance.version.status == Status::Fixed {
        return Vec::new();
    }
    let product = &pack.product;
    let recorded = known.recorded();
    let own = product.fixing_release(now);
    let mut found = Vec::new();
    if recorded.status != Status::Fixed {
        let release = own.map(|one| (one.version.clone(), one.released));
        // Ranges are of the product's own versions, whatever a package counts by.
        let hit = || recorded.witnesses.iter().filter(|one| one.status == Status::Affected);
        let holds = |range: &&Range| hit().any(|one| range.holds(product.scheme, &one.upstream));
        let cves = product.affected.iter().filter(holds).flat_map(|range| range.cve.iter().map(String::as_str));
        found.push(Source { followed: None, since: Timestamp::MIN, release, exploited: exploited(state, cves) });
    }
    for followed in state.following.notices(&product.name) {
        let notice = &followed.notice;
        let hit: Vec<_> = recorded.witnesses.iter().filter(|witness| is_affected_by(witness, notice)).collect();
        if hit.is_empty() {
            continue;
        }
        // The first fix of this advisory that nothing known today calls affected.
        let told = |version: &str| Told { version: version.to_owned(), exact: true, ..Told::default() };
        let is_good = |fixed: &&Fixed| current.witness(&told(&fixed.version)).status != Status::Affected;
        let fixes = notice.fixed.iter().filter(|fixed| fixed.released <= now).filter(is_good);
        let release = fixes.min_by_key(|fixed| fixed.released).map(|fixed| (fixed.version.clone(), fixed.released));
        let ranges: Vec<Range> = notice.ranges().collect();
        let is_hit = |range: &&Range| hit.iter().any(|one| range.holds(notice.scheme, &one.upstream));
        let cves = ranges.iter().filter(is_hit).flat_map(|range| range.cve.iter().map(String::as_str));
        // What the pack asks for closes it too: whoever did that did this.
        let asked = own.filter(|_| recorded.status == Status::Affected);
        let is_covered = asked.is_some_and(|asked| !ranges.iter().any(|one| one.holds(notice.scheme, &asked.version)));
        let since = if is_covered { Timestamp::MIN } else { followed.since };
        found.push(Source { followed: Some(followed), since, release, exploited: exploited(state, cves) });
    }
    found
}

impl Case<'_> {
    /// Whether the vendor released what closes the source of the duty: for a condition, one of them; for an end, all.
    pub(super) fn is_released(&self, all: bool) -> bool {
        let sources = self.sources;
        match (sources.is_empty(), all) {
            (true, _) => self.current.fixing_release(self.now).is_some(),
            (false, true) => sources.iter().all(|source| source.release.is_some()),
            (false, false) => sources.iter().any(|source| source.release.is_some()),
        }
    }

    /// Since when the duty stands anew, because an advisory called affected what was fixed; `None` if none did.
    pub(super) fn reopened(&self) -> Option<Timestamp> {
        if !self.is_about_affected() {
            return None;
        }
        self.sources.iter().map(|source| source.since).filter(|since| *since > Timestamp::MIN).max()
    }

    /// Whether the action is owed because a version is affected. A workaround is none: it shuts the holes that it was
    /// written for.
    fn is_about_affected(&self) -> bool {
        self.action.when.version.contains(&Status::Affected) && self.action.does != Does::Mitigate
    }

    /// What is owed of each source, the most urgent first; nothing, if the action is not about affected versions, or
    /// all of them are done.
    pub(super) fn open(&self, done: &[Timestamp]) -> Vec<Open> {
        if !self.is_about_affected() {
            return Vec::new();
        }
        let mut open: Vec<Open> = self.sources.iter().filter_map(|source| self.owed_of(source, done)).collect();
        open.sort_by_key(|one| (one.due.is_none(), one.due));
        open
    }

    fn owed_of(&self, source: &Source<'_>, done: &[Timestamp]) -> Option<Open> {
        let due = &self.action.due;
        let done: Vec<Timestamp> = done.iter().copied().filter(|at| *at > source.since).collect();
        let wants_release = self.action.when.release == Some(true);
        if due.is_discharged(&done) || (wants_release && source.release.is_none()) {
            return None;
        }
        let release = source.release.as_ref().map(|(_, at)| *at);
        let own = match source.followed {
            None => due.next(&Moments { release, ..self.moments() }, self.pack.calendar(), &done),
            // What the directive counts from its own issue was over before the advisory came.
            Some(_) if counts_from_issue(due) => None,
            Some(followed) => {
                let known = self.moments().known.map(|known| known.max(followed.since));
                due.next(&Moments { release, known, ..self.moments() }, self.pack.calendar(), &done)
            }
        };
        // The catalogue asks for the hole to be closed, and for nothing else that is owed while a version is affected.
        let closes = wants_release || matches!(due, Due::Once(Once::Within { of: Event::Release, .. }));
        let listed = source.exploited.iter().filter(|_| closes && self.action.does == Does::Person);
        let asked = listed.filter_map(|entry| Some((self.end_of(entry.due?)?, *entry))).min_by_key(|(at, _)| *at);
        let named = source.followed.map(|followed| {
            let (notice, fix) = (&followed.notice, source.release.as_ref());
            let fix = fix.map_or("no fix is released yet".to_owned(), |(version, at)| {
                format!("{version} fixes it since {}", at.strftime("%Y-%m-%d %H:%M UTC"))
            });
            let due = own.map(|due| format!(", due {}", due.strftime("%Y-%m-%d %H:%M UTC"))).unwrap_or_default();
            format!("{} calls the version affected: {fix}{due}", notice.name())
        });
        let listed = asked.map(|(_, entry)| {
            let (due, added) = (entry.due.map(|due| due.to_string()).unwrap_or_default(), entry.added);
            let early = if entry.due.is_some_and(|due| due < added) { ", before it was listed" } else { "" };
            format!("the catalogue of exploited vulnerabilities wants {} closed by {due}{early}", entry.cve)
        });
        let why: Vec<String> = named.into_iter().chain(listed).collect();
        let due = own.into_iter().chain(asked.map(|(at, _)| at)).min();
        Some(Open { due, why: (!why.is_empty()).then(|| why.join("; ")) })
    }

    /// The last second of a day, where the pack counts its days.
    fn end_of(&self, day: jiff::civil::Date) -> Option<Timestamp> {
        let end = day.at(23, 59, 59, 0);
        Some(end.to_zoned_datetime(self.pack.zone.clone()).ok()?.timestamp())
    }
}

/// Whether a time is fixed by the directive's own documents or the case, and by nothing that an advisory starts.
fn counts_from_issue(due: &Due) -> bool {
    match due {
        Due::Once(Once::By(..)) => true,
        Due::Once(Once::Within { of, .. }) => matches!(of, Event::Issued | Event::Opened),
        Due::Untimed | Due::Every { .. } => false,
    }
}

fn exploited<'a, 'c>(state: &'a State, cves: impl Iterator<Item = &'c str>) -> Vec<&'a Exploited> {
    let mut found: Vec<&Exploited> = cves.filter_map(|cve| state.following.exploitation(cve)).collect();
    found.dedup();
    found
}
