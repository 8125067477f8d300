//! Tally: what did the walk leave behind, and how much of it is kept one by one?
//!
//! An intruder who adds ten million files must not fill our memory with findings: each kind of thing has its own
//! room, and what there is no room for is counted, and is a required gap. Memory: `docs/memory.md`.

use std::collections::{BTreeMap, HashSet};

use directive::record::{Coverage, Finding, FolderCoverage, Severity};
use directive::text::Text;
use evidence::{Meta, Obstacle, ObstacleKind};

use super::index::Standing;

/// Memory of findings that weigh: 100,000 files that nobody lists, with paths of usual length.
const WEIGHTY: usize = 64 << 20;

/// Memory of findings that healthy instances have too: as many as there are, they leave room for those that weigh.
const LIGHT: usize = 24 << 20;

/// Memory of obstacles, of the gaps that are made of them, and of links that wait.
const OBSTACLES: usize = 40 << 20;

/// Programs in no manifest that are named one by one. A build server has a hundred thousand.
pub(super) const PROGRAMS: usize = 1000;

/// What the walk left behind.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) findings: Vec<Finding>,
    pub(super) obstacles: Vec<Obstacle>,
    /// Findings, obstacles and links beyond those that are kept.
    pub(super) beyond: u64,
    /// Memory of the findings that weigh, of the others, and of obstacles and links.
    taken: [usize; 3],
    /// Links where a manifest lists a file; they are held against their targets afterwards.
    pub(super) links: Vec<Meta>,
    /// Programs and scripts that no manifest lists: the first by path, and how many there are.
    pub(super) programs: BTreeMap<Text, Finding>,
    pub(super) programs_met: u64,
    /// Files vouched for, by generation.
    pub(super) vouched: Vec<u64>,
    /// Files that belong to another version, by that version, for each generation.
    pub(super) strangers: BTreeMap<(usize, String), u64>,
    /// Seconds that files bear which are as shipped.
    pub(super) shipped: HashSet<i64>,
    pub(super) coverage: Coverage,
    pub(super) by_folder: BTreeMap<Vec<u8>, FolderCoverage>,
}

impl Tally {
    pub(super) fn finding(&mut self, finding: Finding) {
        let (kind, limit) = if finding.severity >= Severity::Medium { (0, WEIGHTY) } else { (1, LIGHT) };
        if self.fits(kind, finding.bytes(), limit) {
            self.findings.push(finding);
        }
    }

    pub(super) fn obstacle(&mut self, obstacle: Obstacle) {
        let bytes = size_of::<Obstacle>() + 2 * 16 + obstacle.path.as_bytes().len() + obstacle.message.len();
        // Special files of a folder become one gap, others one each.
        let times = if matches!(obstacle.kind, ObstacleKind::Special(_)) { 1 } else { 3 };
        if self.fits(2, times * bytes, OBSTACLES) {
            self.obstacles.push(obstacle);
        }
    }

    pub(super) fn link(&mut self, meta: &Meta) {
        let target = meta.target.as_ref().map_or(0, |target| target.as_bytes().len());
        if self.fits(2, size_of::<Meta>() + 2 * 16 + meta.path.as_bytes().len() + target, OBSTACLES) {
            self.links.push(meta.clone());
        }
    }

    pub(super) fn program(&mut self, finding: Finding) {
        self.programs_met += 1;
        self.programs.insert(finding.path.clone().unwrap_or_default(), finding);
        if self.programs.len() > PROGRAMS {
            self.programs.pop_last();
        }
    }

    /// Whether there is room for so much more; what there is no room for is counted.
    fn fits(&mut self, kind: usize, bytes: usize, limit: usize) -> bool {
        let taken = self.taken[kind].saturating_add(bytes);
        if taken > limit {
            self.beyond += 1;
            return false;
        }
        self.taken[kind] = taken;
        true
    }

    pub(super) fn folder(&mut self, path: &[u8]) -> &mut FolderCoverage {
        let top = top_folder(path);
        if !self.by_folder.contains_key(top) {
            let fresh = FolderCoverage { folder: Text::new(top), ..FolderCoverage::default() };
            self.by_folder.insert(top.to_vec(), fresh);
        }
        self.by_folder.entry(top.to_vec()).or_default()
    }

    /// Counts a file that stands as a manifest says.
    pub(super) fn matched(&mut self, path: &[u8], standing: &Standing) {
        match standing {
            Standing::Vouched(_) => self.coverage.vouched += 1,
            Standing::Consistent => self.coverage.consistent += 1,
            Standing::Disputed | Standing::Differs => return,
        }
        self.folder(path).matched += 1;
    }
}

/// `/usr` of `/usr/bin/ls`; `/` for a file in the root itself.
fn top_folder(path: &[u8]) -> &[u8] {
    match path.iter().skip(1).position(|byte| *byte == b'/') {
        Some(slash) => &path[..slash + 1],
        None => b"/",
    }
}

#[cfg(test)]
mod tests {
    use super::super::sight::bare;
    use super::*;

    #[test]
    fn findings_that_healthy_instances_have_leave_room_for_those_that_weigh() {
        let mut tally = Tally::default();
        let finding = |severity| bare("file-added", severity, b"/x", "x".repeat(1 << 20), None);
        (0..100).for_each(|_| tally.finding(finding(Severity::Info)));
        assert!(tally.findings.len() < 30 && tally.beyond > 70, "{}", tally.findings.len());
        tally.finding(finding(Severity::High));
        assert_eq!(tally.findings.last().map(|finding| finding.severity), Some(Severity::High));
        let kept = tally.findings.len();
        (0..100).for_each(|_| tally.finding(finding(Severity::High)));
        assert_eq!(tally.beyond + tally.findings.len() as u64, 201);
        assert!(tally.findings.len() - kept < 70);
    }
}
