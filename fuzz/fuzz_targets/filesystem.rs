//! Filesystem: does any volume make a reader panic, run for ever or take all memory?
//!
//! The bytes are opened as a volume and walked within bounds. Run: `cargo +nightly fuzz run filesystem`.

#![no_main]

use std::collections::HashSet;
use std::sync::Arc;

use image::Memory;
use image::filesystem::{self, FileSystem};
use libfuzzer_sys::fuzz_target;

/// Nodes, and bytes of content, that are looked at in one run.
const MOST_NODES: usize = 300;
const MOST_BYTES: usize = 4 << 20;

fuzz_target!(|data: &[u8]| {
    let Ok(Some(fs)) = filesystem::open(Arc::new(Memory(data.to_vec()))) else { return };
    let _ = (fs.label(), fs.uuid(), fs.remarks());
    let (mut seen, mut folders, mut nodes, mut bytes) = (HashSet::new(), vec![fs.root()], 0, 0);
    let _ = fs.node(fs.root());
    while let Some(folder) = folders.pop() {
        if !seen.insert(folder) || nodes >= MOST_NODES {
            continue;
        }
        let mut ids = Vec::new();
        let _ = fs.list(folder, &mut |entry| {
            ids.push(entry.id);
            ids.len() < MOST_NODES
        });
        nodes += ids.len();
        for id in ids {
            fs.place(id);
            let Ok(node) = fs.node(id) else { continue };
            match node.mode & 0o170_000 {
                0o040_000 => folders.push(id),
                0o120_000 => drop(fs.link_target(id)),
                _ => bytes += read(&*fs, id, node.size, MOST_BYTES.saturating_sub(bytes)),
            }
        }
    }
});

/// Reads a file and holds it against its size.
fn read(fs: &dyn FileSystem, id: u64, size: u64, most: usize) -> usize {
    let Ok(mut content) = fs.open(id) else { return 0 };
    let (mut total, mut buffer) = (0, vec![0; 10_000]);
    while total < most {
        match content.read(&mut buffer) {
            Ok(0) => {
                assert_eq!(total as u64, size, "content is as long as the node says");
                break;
            }
            Ok(count) => total += count,
            Err(_) => break,
        }
        assert!(total as u64 <= size, "content is no longer than the node says");
    }
    total
}
