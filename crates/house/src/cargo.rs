//! Cargo: which crates are there, and what does each of them depend on?
//!
//! What `cargo metadata` says, offline, for this machine's platform. Only the parts that a rule asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;

/// What cargo knows.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// Crates: those of the workspace, or with [`everything`] all that are built.
    pub packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Option<Resolve>,
}

/// A crate, ours or not.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence as an SPDX expression; older crates write `/` for `OR`.
    pub license: Option<String>,
    /// Where it comes from; nothing for a crate of the workspace.
    pub source: Option<String>,
    /// What its manifest names.
    pub dependencies: Vec<Dependency>,
    id: String,
}

/// What a manifest names.
#[derive(Debug, Deserialize)]
pub struct Dependency {
    /// The crate's name.
    pub name: String,
    /// Nothing for an ordinary dependency, else `dev` or `build`.
    pub kind: Option<String>,
    /// The folder, if it is a crate of the workspace.
    pub path: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Debug, Deserialize)]
struct Kind {
    kind: Option<String>,
}

impl Metadata {
    /// The crates of the workspace.
    pub fn ours(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// All crates that go into this crate of ours, itself included: ordinary dependencies and what
    /// they depend on. Each comes with the way to it, `check > jiff > serde`.
    ///
    /// # Panics
    ///
    /// If the metadata was read without dependencies, or does not hold the crate.
    #[must_use]
    pub fn below<'a>(&'a self, name: &str) -> BTreeMap<&'a str, String> {
        let names: BTreeMap<&str, &str> = self.packages.iter().map(|p| (p.id.as_str(), p.name.as_str())).collect();
        let nodes = &self.resolve.as_ref().expect("read by `everything`").nodes;
        let edges: BTreeMap<&str, &[Edge]> = nodes.iter().map(|node| (node.id.as_str(), &node.deps[..])).collect();
        let start = self.ours().find(|package| package.name == name).expect("a crate of the workspace");
        let mut ways = BTreeMap::from([(start.name.as_str(), name.to_owned())]);
        let mut seen = BTreeSet::from([start.id.as_str()]);
        let mut ahead = vec![(start.id.as_str(), name.to_owned())];
        while let Some((id, way)) = ahead.pop() {
            for edge in edges[id].iter().filter(|edge| edge.dep_kinds.iter().any(|kind| kind.kind.is_none())) {
                if seen.insert(&edge.pkg) {
                    let way = format!("{way} > {}", names[edge.pkg.as_str()]);
                    ways.insert(names[edge.pkg.as_str()], way.clone());
                    ahead.push((&edge.pkg, way));
                }
            }
        }
        ways
    }
}

/// The crates of the workspace and what their manifests name.
#[must_use]
pub fn workspace() -> Metadata {
    metadata(&["--no-deps"])
}

/// All crates that are built for this platform, with who depends on whom.
///
/// # Panics
///
/// If cargo does not say what platform this is.
#[must_use]
pub fn everything() -> Metadata {
    let version = run(&["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("cargo names its host");
    metadata(&["--filter-platform", host])
}

fn metadata(more: &[&str]) -> Metadata {
    let mut arguments = vec!["metadata", "--format-version", "1", "--offline", "--locked"];
    arguments.extend(more);
    serde_json::from_str(&run(&arguments)).expect("cargo's metadata has the form of its version 1")
}

fn run(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(crate::files::root()).output();
    let output = output.unwrap_or_else(|err| panic!("cannot run {}: {err}", env!("CARGO")));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "cargo {}: {said}\nIf crates are missing on this machine, `cargo fetch --locked` brings them.",
        arguments.join(" ")
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
