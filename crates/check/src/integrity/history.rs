//! History: what did the last check of this instance see that this one does not?
//!
//! A check that finds nothing can be made to find nothing: by taking away what it looks at. Fewer files
//! that match, a folder that is gone, an installation that was exchanged: each is a finding although
//! every file that is left matches.
//! Source: facts on evasions, "changed matched-file count", "changed version without reboot event".

use std::collections::BTreeMap;

use directive::record::{Coverage, Finding, InstalledGeneration, Severity};

use super::sight::bare;

/// Compares two checks of one instance, the older first.
pub(super) fn compare(before: &Coverage, now: &Coverage, clause: Option<&str>) -> Vec<Finding> {
    let mut findings = folders(before, now, clause);
    findings.extend(generations(before, now, clause));
    let same_versions = versions(before) == versions(now);
    let matched = |coverage: &Coverage| coverage.vouched + coverage.consistent;
    if same_versions && matched(now) < matched(before) && findings.is_empty() {
        let why = format!(
            "{} files matched at the last check and {} do now, with the same version installed",
            matched(before),
            matched(now)
        );
        findings.push(bare("matched-count-fell", Severity::Medium, b"/", why, clause));
    }
    findings
}

fn folders(before: &Coverage, now: &Coverage, clause: Option<&str>) -> Vec<Finding> {
    let seen: BTreeMap<&[u8], u64> =
        now.by_folder.iter().map(|folder| (folder.folder.as_bytes(), folder.files + folder.unseen)).collect();
    let vanished = before.by_folder.iter().filter(|folder| folder.files > 0);
    let vanished = vanished.filter(|folder| seen.get(folder.folder.as_bytes()).is_none_or(|files| *files == 0));
    vanished
        .map(|folder| {
            let why = format!(
                "{} files were here at the last check, {} of them listed, and none is now",
                folder.files, folder.matched
            );
            let severity = if folder.matched > 0 { Severity::High } else { Severity::Medium };
            bare("folder-vanished", severity, folder.folder.as_bytes(), why, clause)
        })
        .collect()
}

fn versions(coverage: &Coverage) -> Vec<(&str, Option<&str>)> {
    coverage.generations.iter().map(|one| (one.name.as_str(), one.version.as_deref())).collect()
}

fn generations(before: &Coverage, now: &Coverage, clause: Option<&str>) -> Vec<Finding> {
    let version = |one: &InstalledGeneration| one.version.clone().unwrap_or_else(|| "unknown".into());
    let mut findings = Vec::new();
    for old in &before.generations {
        let why = match now.generations.iter().find(|new| new.name == old.name) {
            None => format!("version {} lay here at the last check, and no installation does now", version(old)),
            Some(new) if new.version != old.version => {
                format!("it was version {} at the last check, and is {} now", version(old), version(new))
            }
            Some(_) => continue,
        };
        let place = Some(format!("generation {}", old.name));
        let code = "generation-changed";
        // An update does this too, and the duty to update says whether one was ordered.
        findings.push(Finding { place, ..bare(code, Severity::Low, old.folder.as_bytes(), why, clause) });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use directive::record::FolderCoverage;

    /// `vouched; folder files matched, ...; generation version, ...`
    fn coverage(text: &str) -> Coverage {
        let mut parts = text.split(';').map(str::trim);
        let vouched = parts.next().unwrap().parse().unwrap();
        let items = |text: Option<&'static str>| {
            text.unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty())
        };
        let text: Vec<&'static str> = parts.map(|part| &*Box::leak(part.to_owned().into_boxed_str())).collect();
        let by_folder = items(text.first().copied())
            .map(|item| {
                let mut words = item.split(' ');
                let folder = words.next().unwrap().into();
                let mut number = || words.next().unwrap().parse().unwrap();
                FolderCoverage { folder, files: number(), matched: number(), ..FolderCoverage::default() }
            })
            .collect();
        let generations = items(text.get(1).copied())
            .map(|item| {
                let (name, version) = item.split_once(' ').unwrap();
                let version = Some(version.to_owned());
                InstalledGeneration { name: name.into(), folder: "/".into(), version, ..InstalledGeneration::default() }
            })
            .collect();
        Coverage { vouched, by_folder, generations, ..Coverage::default() }
    }

    #[track_caller]
    fn check(before: &str, now: &str, expected: &str) {
        let found = compare(&coverage(before), &coverage(now), None);
        let found: Vec<String> = found
            .iter()
            .map(|finding| format!("{:?} {} {}", finding.severity, finding.code, finding.path.as_ref().unwrap()))
            .collect();
        assert_eq!(found.join(", "), expected);
    }

    #[test]
    fn the_same_twice_is_nothing() {
        check("9; /home 9 9; current 9.1R10", "9; /home 9 9; current 9.1R10", "");
        check("9; /home 9 9", "12; /home 12 12", "");
    }

    #[test]
    fn fewer_matches_without_an_update_are_a_finding() {
        check("9; /home 9 9; current 9.1R10", "8; /home 9 8; current 9.1R10", "Medium matched-count-fell /");
    }

    #[test]
    fn a_folder_that_vanished_is_a_finding() {
        check("9; /home 9 9, /data 3 0", "9; /home 9 9", "Medium folder-vanished /data");
        check("9; /home 9 9", "0; /etc 1 0", "High folder-vanished /home");
    }

    #[test]
    fn an_installation_that_was_exchanged_is_told() {
        check("9; ; current a, rollback b", "9; ; current a, rollback c", "Low generation-changed /");
        check("9; ; current a, rollback b", "9; ; current a", "Low generation-changed /");
        check("9; ; current a", "8; ; current b", "Low generation-changed /");
    }
}
