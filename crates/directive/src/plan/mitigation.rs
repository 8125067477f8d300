//! Mitigation: is a workaround that was applied still an answer?
//!
//! An action that is done by a change is done while the latest proof of it holds, and no longer: a workaround that was
//! voided, has expired or was not asked for too long is owed again, and one that outlives the patch has to go.

use jiff::Timestamp;

use crate::mitigation::Mitigation;
use crate::record::Status;
use crate::state::Known;

/// When the action was last proved, if that still counts at `now`. Where several changes are in effect, one before
/// each of several proxies, the hole is as open as the worst of them; one that was approved with others and never came
/// into effect leaves it open.
pub(super) fn proved(known: &Known, action: &str, now: Timestamp) -> Option<Timestamp> {
    let is_open = |change: &Mitigation| change.is_applied() && change.fault(now).is_some();
    if of(known, action).any(is_open) || together(known, action).iter().any(|change| change.fault(now).is_some()) {
        return None;
    }
    let counts = of(known, action).filter(|change| change.fault(now).is_none());
    counts.filter_map(|change| change.proof.as_ref().map(|(at, _)| *at)).max()
}

/// The changes of the list that was approved last. A newer list says which proxies there are now.
fn together<'a>(known: &'a Known, action: &'a str) -> Vec<&'a Mitigation> {
    let latest = of(known, action).filter_map(|change| change.list.as_ref()).max();
    let is_of = |change: &&Mitigation| change.list.as_ref().map(|(_, list)| list) == latest.map(|(_, list)| list);
    of(known, action).filter(|_| latest.is_some()).filter(is_of).collect()
}

/// Whether a change for this action is in effect, or was cut off in the middle: somebody has to look at it.
pub(super) fn is_begun(known: &Known, action: &str) -> bool {
    of(known, action).any(|change| change.is_applied() || change.is_cut_off())
}

/// Whether a change for this action is in effect although the product itself is fixed.
pub(super) fn outlives(known: &Known, action: &str) -> bool {
    known.instance.version.status == Status::Fixed && of(known, action).any(Mitigation::is_applied)
}

/// Why the action is owed although something was done for it.
pub(super) fn why(known: &Known, action: &str, now: Timestamp) -> Option<String> {
    if outlives(known, action) {
        return Some("the version is fixed and the workaround still stands: `mitigate undo` takes it back".to_owned());
    }
    let applied = of(known, action).filter(|change| change.is_applied());
    let next = |change: &Mitigation| match change.has_expired(now) {
        true => "update, or plan it anew",
        false => "`mitigate prove` asks again",
    };
    let fault = applied.filter_map(|change| Some(format!("{}: {}", change.fault(now)?, next(change)))).next_back();
    let cut_off = || of(known, action).any(Mitigation::is_cut_off).then(|| CUT_OFF.to_owned());
    fault.or_else(cut_off).or_else(|| missing(&together(known, action)))
}

/// That a list is not worked off, although some of it is in effect.
fn missing(list: &[&Mitigation]) -> Option<String> {
    let missing = list.iter().filter(|change| !change.is_applied()).count();
    (0 < missing && missing < list.len()).then(|| {
        format!(
            "{missing} of the {} changes that were approved together are not in effect: `mitigate apply` goes on, and \
             a new list says which proxies there are now",
            list.len()
        )
    })
}

const CUT_OFF: &str = "a change was begun and neither ended nor undone: `mitigate undo` puts everything back";

fn of<'a>(known: &'a Known, action: &'a str) -> impl DoubleEndedIterator<Item = &'a Mitigation> {
    known.changes.values().filter(move |change| change.action.as_deref() == Some(action))
}
