//! `mitigate`, import: does the instance's log tell that the vendor's file was imported?
//!
//! Requests from outside say whether the hole is shut; the log says whether it was shut by this file, and when. It is
//! read by a check, from evidence, and never by asking the instance. A log that says nothing proves nothing: it is a
//! gap. Source: ED 21-03 action 2.a.ii; the events stand in the pack's workaround.

use ::directive::change::{Change, Kind};
use ::directive::pack::Pack;
use ::directive::record::Gap;
use ::directive::state::State;
use ::directive::text::escape;

/// What is not seen of the import; nothing, if a log tells of it or nobody knows what it would say.
pub(super) fn unseen(change: &Change, packs: &[Pack], state: &State) -> Option<Gap> {
    if change.target.kind != Kind::VendorFile {
        return None;
    }
    let pack = packs.iter().find(|pack| pack.id() == change.from.pack.id)?;
    let file = pack.workaround(change.from.workaround.as_deref()?)?.vendor_file.as_ref()?;
    let known = state.instances.get(&change.from.instance);
    let timeline = known.map(|known| known.checked.timeline.as_slice()).unwrap_or_default();
    let is_import = |code: &str| file.events.iter().any(|event| event == code);
    // The file was imported after it was planned, or the plan was not what led to it.
    let is_told = timeline.iter().any(|one| one.time >= change.made && one.code.as_deref().is_some_and(is_import));
    if is_told || file.events.is_empty() {
        return None;
    }
    Some(Gap {
        code: "workaround-import-unseen".to_owned(),
        path: None,
        place: Some(escape(&change.from.instance)),
        why: format!(
            "no log that was checked since tells of the import ({}): check it with its logs, then prove again",
            file.events.join(" or ")
        ),
        required: false,
    })
}

#[cfg(test)]
mod tests {
    use ::directive::change::{Origin, Target};
    use ::directive::record::{Body, Conclusion, Moment, Record};
    use ::directive::verdict::Verdict;
    use jiff::Timestamp;

    use super::*;
    use crate::open;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn change(pack: &Pack) -> Change {
        let from =
            Origin { pack: pack.reference(), action: None, workaround: Some("2104".into()), instance: "vpn1".into() };
        let target = Target { host: "local".into(), kind: Kind::VendorFile, lock: None };
        Change::new("Import".into(), at("2021-04-21T12:00:00Z"), from, target)
    }

    fn checked(time: &str, code: &str) -> State {
        let moment = Moment {
            time: at(time),
            what: "settings-imported".into(),
            why: "an import".into(),
            path: None,
            line: None,
            clock: "zoned".into(),
            account: None,
            address: None,
            code: Some(code.into()),
            severity: None,
        };
        let conclusion = Conclusion {
            verdict: Verdict::NoEvidenceFound,
            reasons: Vec::new(),
            first_sign: None,
            first_sign_by: None,
            accounts: Vec::new(),
        };
        let bodies = [Body::Moment(moment), Body::Verdict(conclusion)];
        let stamp = |(n, body)| Record::stamp("check", n, at("2021-04-22T00:00:00Z"), Some("vpn1"), body);
        State::from_records(&bodies.into_iter().enumerate().map(stamp).collect::<Vec<_>>())
    }

    #[test]
    fn an_import_is_seen_by_its_event_after_the_plan_and_by_nothing_else() {
        let pack = open::pack("../../packs/ed-21-03").unwrap_or_else(|err| panic!("{err}"));
        let (change, packs) = (change(&pack), std::slice::from_ref(&pack));
        let is_unseen = |state: &State| unseen(&change, packs, state).is_some();
        assert!(is_unseen(&State::default()));
        assert!(!is_unseen(&checked("2021-04-21T13:00:00Z", "ADM24206")));
        assert!(is_unseen(&checked("2021-04-21T11:00:00Z", "ADM24206")), "an import of before");
        assert!(is_unseen(&checked("2021-04-21T13:00:00Z", "AUT24326")), "another event");
        let proxy = Change { target: Target { kind: Kind::Nginx, ..change.target.clone() }, ..change.clone() };
        assert!(unseen(&proxy, packs, &State::default()).is_none());
    }
}
