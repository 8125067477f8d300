//! Met: what a source hands over, as text that can be compared.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use directive::text::Text;
use evidence::{Entry, Meta, Obstacle, ObstacleKind, Options, Source, SourceSpec, Visitor, Wants};

#[derive(Default)]
pub(crate) struct Met {
    pub(crate) entries: Mutex<BTreeMap<Text, Vec<String>>>,
    pub(crate) obstacles: Mutex<Vec<Obstacle>>,
    md5: bool,
}

impl Visitor for Met {
    fn wants(&self, meta: &Meta) -> Wants {
        // Not of all: a second passage has to pick them out.
        if self.md5 && meta.path.as_bytes().len().is_multiple_of(2) { Wants::MD5 } else { Wants::SHA256 }
    }

    fn entry(&self, entry: Entry) {
        let meta = &entry.meta;
        let what = match (&entry.digests, &meta.target) {
            (Some(digests), _) => {
                let md5 = digests.md5.filter(|_| self.wants(meta).md5).map(|md5| directive::record::hex(&md5));
                format!("{} {} {}", meta.size, directive::record::hex(&digests.sha256), md5.unwrap_or_default())
            }
            (None, Some(target)) => format!("-> {target}"),
            (None, None) => String::new(),
        };
        // A link has its own mode and time in some forms only.
        let (mode, mtime) = if meta.target.is_some() { (0, 0) } else { (meta.mode, meta.mtime.seconds) };
        let line = format!("{} {mode:o} {}:{} @{mtime} {what}", meta.kind.as_str(), meta.uid, meta.gid);
        self.entries.lock().unwrap().entry(meta.path.clone()).or_default().push(line);
    }

    fn obstacle(&self, obstacle: Obstacle) {
        self.obstacles.lock().unwrap().push(obstacle);
    }
}

impl Met {
    /// Entries, one a line, then obstacles by path and kind.
    pub(crate) fn shown(&self) -> String {
        let mut entries = Vec::new();
        for (path, lines) in &mut *self.entries.lock().unwrap() {
            lines.sort();
            entries.extend(lines.iter().map(|line| format!("{} {line}", path.escaped())));
        }
        let mut obstacles: Vec<String> = self
            .obstacles
            .lock()
            .unwrap()
            .iter()
            .map(|obstacle| format!("! {} {:?}", obstacle.path.escaped(), obstacle.kind))
            .collect();
        obstacles.sort();
        entries.extend(obstacles);
        entries.join("\n")
    }

    /// What comes twice must have been told.
    fn check_twice(&self) {
        let obstacles = self.obstacles.lock().unwrap();
        for (path, lines) in &*self.entries.lock().unwrap() {
            let told = obstacles.iter().any(|told| told.path == *path && told.kind == ObstacleKind::Twice);
            assert!(lines.len() == 1 || told, "{path} came twice and nobody says so");
        }
    }
}

pub(crate) fn open(path: &Path) -> Result<Box<dyn Source>, evidence::Error> {
    path.to_str().unwrap().parse::<SourceSpec>().unwrap().open(&Options::default())
}

pub(crate) fn walk(source: &dyn Source, md5: bool) -> Met {
    let met = Met { md5, ..Met::default() };
    source.walk(NonZeroUsize::new(3).unwrap(), &met).unwrap();
    met.check_twice();
    met
}

/// What a source at a path hands over, with MD5 of some files.
pub(crate) fn shown(path: &Path) -> String {
    walk(open(path).unwrap().as_ref(), true).shown()
}

/// Runs a program that must succeed.
#[track_caller]
pub(crate) fn run(command: &str, folder: &Path) {
    let output = Command::new("sh").arg("-c").arg(command).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A tree with something of everything. Times have whole seconds, which every form can hold.
pub(crate) fn tree(root: &Path) {
    run(
        "mkdir -p home/bin etc/deep/er 'with space' empty && \
         echo vendor > home/bin/web && chmod 4755 home/bin/web && ln home/bin/web home/bin/web-again && \
         ln -s /home/bin/web etc/web && ln -s ../home/bin etc/bin && \
         seq 1 200000 > etc/large && : > etc/nothing && echo x > 'with space/a b' && \
         printf 'name' > \"$(printf 'etc/\\377\\n')\" && \
         truncate -s 3M etc/sparse && printf end >> etc/sparse && \
         printf mid | dd of=etc/sparse bs=1 seek=1000000 conv=notrunc status=none && \
         echo deep > etc/deep/er/file && chmod 640 etc/deep/er/file && \
         find . -exec touch -h -d '2021-04-20 12:00:00 UTC' {} +",
        root,
    );
    let long = "n".repeat(180);
    std::fs::write(root.join("etc/deep").join(&long), "long").unwrap();
    run("find . -exec touch -h -d '2021-04-20 12:00:00 UTC' {} +", root);
}
