//! Files: what lies in the workspace, as text with a path from its root?
//!
//! Folders that are made by building or by running are left out, and so is all that begins with a
//! dot but the CI's own folder.

use std::fs;
use std::path::{Path, PathBuf};

/// A text file of the workspace.
#[derive(Debug)]
pub struct File {
    /// Path from the root of the workspace, with `/`.
    pub path: String,
    /// Its content.
    pub text: String,
}

impl File {
    /// The lines with their numbers, beginning with 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(n, line)| (n + 1, line))
    }

    /// Whether it is code of tests, benches or examples, and not of the product.
    #[must_use]
    pub fn is_beside_the_product(&self) -> bool {
        ["/tests/", "/benches/", "/examples/"].iter().any(|folder| self.path.contains(folder))
    }

    /// The product's part of a source file: what stands before its own tests.
    #[must_use]
    pub fn product(&self) -> &str {
        self.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default()
    }

    /// The crate that it belongs to, if it lies in one.
    #[must_use]
    pub fn krate(&self) -> Option<&str> {
        self.path.strip_prefix("crates/")?.split('/').next()
    }
}

/// The root of the workspace.
///
/// # Panics
///
/// If the workspace is not where it was when this crate was built.
#[must_use]
pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the workspace lies where it was built")
}

/// One file of the workspace, if it is there.
#[must_use]
pub fn file(path: &str) -> Option<File> {
    let text = fs::read_to_string(root().join(path)).ok()?;
    Some(File { path: path.to_owned(), text })
}

/// One file of the workspace that the rules cannot do without.
///
/// # Panics
///
/// If it is not there.
#[must_use]
#[track_caller]
pub fn required(path: &str) -> File {
    file(path).unwrap_or_else(|| panic!("{path}: the file is missing or is no text; the house's rules need it"))
}

/// All text files whose name ends with one of these, sorted by path.
///
/// # Panics
///
/// If a folder or a file cannot be read: a rule that saw half of the files would say nothing.
#[must_use]
pub fn ending(with: &[&str]) -> Vec<File> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the workspace can be read") {
            let entry = entry.expect("a folder of the workspace can be read");
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type().expect("the kind of a file can be read");
            if kind.is_dir() && !is_made(&name) {
                folders.push(entry.path());
            } else if kind.is_file() && with.iter().any(|ending| name.ends_with(ending)) {
                let text = fs::read_to_string(entry.path()).unwrap_or_else(|err| panic!("{name}: {err}"));
                let path = entry.path().strip_prefix(&root).expect("it lies below").to_string_lossy().into_owned();
                found.push(File { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Whether a folder is made by building or running, or belongs to another tool.
fn is_made(folder: &str) -> bool {
    (folder.starts_with('.') && folder != ".ci")
        || ["target", "corpus", "artifacts"].contains(&folder)
        || folder.starts_with("portcullis-")
}
