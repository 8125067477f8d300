//! Tests: a crafted file system whose root holds more folders than are kept.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use image::filesystem::{Content, Error, FileSystem, Id, Listed, Node};

use super::Disk;
use crate::limits::Limits;
use crate::meta::Meta;
use crate::source::{Entry, Hides, Obstacle, ObstacleKind, Source as _, Visitor, Wants};

/// A root with so many empty folders.
struct Broad(u64);

impl FileSystem for Broad {
    fn kind(&self) -> &'static str {
        "crafted"
    }

    fn label(&self) -> Option<Vec<u8>> {
        None
    }

    fn uuid(&self) -> Option<String> {
        None
    }

    fn root(&self) -> Id {
        0
    }

    fn node(&self, _: Id) -> Result<Node, Error> {
        Ok(Node { mode: 0o040_755, links: 2, ..Node::default() })
    }

    fn list(&self, folder: Id, each: &mut dyn FnMut(Listed) -> bool) -> Result<(), Error> {
        let mut ids = (1..=self.0).filter(|_| folder == 0);
        // `all` stops where nobody wants more.
        ids.all(|id| each(Listed { name: id.to_string().into_bytes(), id }));
        Ok(())
    }

    fn link_target(&self, _: Id) -> Result<Vec<u8>, Error> {
        Err(Error::Damaged("no link".into()))
    }

    fn open<'a>(&'a self, _: Id) -> Result<Box<dyn Content + 'a>, Error> {
        Err(Error::Damaged("no file".into()))
    }
}

#[derive(Default)]
struct Told {
    folders: Mutex<usize>,
    obstacles: Mutex<Vec<Obstacle>>,
}

impl Visitor for Told {
    fn wants(&self, _: &Meta) -> Wants {
        Wants::SHA256
    }

    fn entry(&self, _: Entry) {
        *self.folders.lock().unwrap() += 1;
    }

    fn obstacle(&self, obstacle: Obstacle) {
        self.obstacles.lock().unwrap().push(obstacle);
    }
}

/// Folders that were seen, and what was said of the others.
fn walk(folders: u64, limits: Limits) -> (usize, Vec<Obstacle>) {
    let told = Told::default();
    let disk = Disk::of_filesystem("crafted", Arc::new(Broad(folders)), limits);
    disk.walk(NonZeroUsize::new(2).unwrap(), &told).unwrap();
    (told.folders.into_inner().unwrap(), told.obstacles.into_inner().unwrap())
}

#[test]
fn folders_beyond_those_that_may_wait_are_told_and_never_silent() {
    let mut limits = Limits::default();
    assert_eq!(walk(40, limits).0, 40);
    limits.waiting_folders = 10;
    let (seen, obstacles) = walk(40, limits);
    assert_eq!((seen, obstacles.len()), (10, 30));
    assert!(obstacles.iter().all(|one| one.kind == ObstacleKind::TooMany && one.hides == Hides::Tree));
}

#[test]
fn entries_of_one_folder_beyond_the_limit_are_told() {
    let limits = Limits { folder_entries: 7, ..Limits::default() };
    let (seen, obstacles) = walk(40, limits);
    assert_eq!((seen, obstacles.len(), obstacles[0].kind), (7, 1, ObstacleKind::TooMany));
    assert_eq!(walk(7, limits).1.len(), 0, "exactly as many as are kept");
}
