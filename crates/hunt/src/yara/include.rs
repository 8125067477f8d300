//! Include: which files of rules belong together, and in which order?
//!
//! The engine would read an included file from the analyst's disk. Here `include` means another file of the
//! same set: both get one namespace, the included one first, and the line itself is blanked so that lines
//! keep their numbers.

use std::collections::{BTreeMap, BTreeSet};

use super::{Limits, RuleError};

/// Files that share a namespace, in the order in which they are compiled.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) files: Vec<(String, Vec<u8>)>,
}

pub(super) fn arrange(files: &BTreeMap<String, Vec<u8>>, limits: &Limits) -> (Vec<Group>, Vec<RuleError>) {
    let mut errors = Vec::new();
    let mut texts = BTreeMap::new();
    let mut includes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut bytes = 0;
    for (name, text) in files.iter().take(limits.files) {
        bytes += text.len() as u64;
        if bytes > limits.bytes {
            break;
        }
        let (text, wanted) = blank(text);
        for wanted in wanted {
            match find(files, name, &wanted) {
                Some(found) => includes.entry(name).or_default().push(found),
                None => {
                    let report = format!("error: {name} includes {wanted:?}, which is not among the files given");
                    errors.push(RuleError { file: name.clone(), report });
                }
            }
        }
        texts.insert(name.as_str(), text);
    }
    if texts.len() < files.len() {
        let report = format!("{} files of rules are beyond the limit and do not run", files.len() - texts.len());
        errors.push(RuleError { file: String::new(), report });
    }
    let included: BTreeSet<&str> = includes.values().flatten().copied().collect();
    let mut done = BTreeSet::new();
    let mut groups = Vec::new();
    // Whoever is included by nobody begins a group; what is left then are circles, each broken where it begins.
    let roots = texts.keys().filter(|name| !included.contains(*name)).chain(texts.keys());
    for root in roots.copied().collect::<Vec<_>>() {
        let mut order = Vec::new();
        visit(root, &includes, &mut done, &mut order);
        let files: Vec<_> = order.into_iter().filter_map(|name| Some((name.to_owned(), texts.remove(name)?))).collect();
        if !files.is_empty() {
            groups.push(Group { name: root.to_owned(), files });
        }
    }
    (groups, errors)
}

/// Included files first. Without recursion: a set can chain twenty thousand files.
fn visit<'a>(
    root: &'a str,
    includes: &BTreeMap<&'a str, Vec<&'a str>>,
    done: &mut BTreeSet<&'a str>,
    order: &mut Vec<&'a str>,
) {
    let mut stack = vec![(root, false)];
    while let Some((name, is_ready)) = stack.pop() {
        if is_ready {
            order.push(name);
        } else if done.insert(name) {
            stack.push((name, true));
            stack.extend(includes.get(name).into_iter().flatten().rev().map(|wanted| (*wanted, false)));
        }
    }
}

/// The name of a file beside `from`, or anywhere in the set if only one is called so.
fn find<'a>(files: &'a BTreeMap<String, Vec<u8>>, from: &str, wanted: &str) -> Option<&'a str> {
    let wanted = wanted.trim_start_matches("./");
    let beside = match from.rfind('/') {
        Some(slash) => format!("{}/{wanted}", &from[..slash]),
        None => wanted.to_owned(),
    };
    let exact = [beside.as_str(), wanted].into_iter().find_map(|name| files.get_key_value(name));
    if let Some((name, _)) = exact {
        return Some(name);
    }
    let base = wanted.rsplit('/').next().unwrap_or(wanted);
    let mut alike = files.keys().filter(|name| name.rsplit('/').next() == Some(base));
    alike.next().filter(|_| alike.next().is_none()).map(String::as_str)
}

/// The text with its `include` lines turned into comments, and what they name.
fn blank(text: &[u8]) -> (Vec<u8>, Vec<String>) {
    let mut out = Vec::with_capacity(text.len());
    let mut wanted = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let name = line.trim_ascii().strip_prefix(b"include").map(<[u8]>::trim_ascii_start);
        let name = name.and_then(|rest| rest.strip_prefix(b"\"")).and_then(|rest| {
            let end = rest.iter().position(|byte| *byte == b'"')?;
            std::str::from_utf8(&rest[..end]).ok()
        });
        match name {
            Some(name) => {
                wanted.push(name.to_owned());
                out.extend_from_slice(b"//");
                out.extend_from_slice(&line[2.min(line.len())..]);
            }
            None => out.extend_from_slice(line),
        }
    }
    (out, wanted)
}
