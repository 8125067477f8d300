//! Parts: which part of the package is the sheet of that name?
//!
//! Follows the package's relationships to the workbook, its sheets and the table of shared strings.
//! Source: ECMA-376 part 1, 12.3 and 18.2.20; part 2, 6.5.

use std::collections::{BTreeMap, BTreeSet};

use quick_xml::events::Event;

use super::Error;
use super::package::Package;
use super::sheet::Located;
use super::xml::{Phrase, Walk, local};

/// The sheets of a workbook.
pub(super) struct Book {
    /// Name and part, in the workbook's order.
    sheets: Vec<(String, String)>,
    /// The part with the strings that cells share.
    strings: Option<String>,
}

/// A relationship: the end of its type, and the part it leads to.
struct Relationship {
    id: String,
    kind: String,
    target: String,
}

impl Book {
    pub(super) fn read(package: &mut Package<'_>) -> Result<Self, Error> {
        let top = relationships(package, "")?;
        let workbook = top.into_iter().find(|relationship| relationship.kind == "officeDocument");
        let Some(workbook) = workbook.map(|relationship| relationship.target) else {
            return Err(Error::Unsound { what: "no part is the workbook".into() });
        };
        let related = relationships(package, &workbook)?;
        let xml = package.text(&workbook)?;
        let mut walk = Walk::new(&workbook, &xml);
        let mut sheets = Vec::new();
        while let Some(step) = walk.next()? {
            let (Event::Start(element) | Event::Empty(element)) = &step.event else {
                continue;
            };
            if step.depth != 2 || local(element.name().as_ref()) != "sheet" {
                continue;
            }
            let name = walk.attribute(element, "name")?.unwrap_or_default();
            let mut id = None;
            for attribute in element.attributes() {
                let attribute = attribute.map_err(|err| walk.shape(err.to_string()))?;
                // `r:id`, whatever prefix the relationships' namespace has.
                if attribute.key.as_ref().ends_with(":id") {
                    id = walk.attribute(element, attribute.key.as_ref())?;
                }
            }
            let part = related.iter().find(|relationship| Some(&relationship.id) == id.as_ref());
            let part = part.ok_or_else(|| walk.shape(format!("the sheet {name:?} has no part")))?;
            sheets.push((name, part.target.clone()));
        }
        let strings = related.into_iter().find(|relationship| relationship.kind == "sharedStrings");
        Ok(Self { sheets, strings: strings.map(|relationship| relationship.target) })
    }

    /// The part of a sheet.
    pub(super) fn sheet(&self, name: &str) -> Result<&str, Error> {
        let found = self.sheets.iter().find(|(known, _)| known == name);
        found.map(|(_, part)| part.as_str()).ok_or_else(|| Error::NoSheet {
            sheet: name.to_owned(),
            known: self.sheets.iter().map(|(name, _)| format!("{name:?}")).collect(),
        })
    }

    /// The shared strings that cells refer to.
    pub(super) fn shared(
        &self,
        package: &mut Package<'_>,
        located: &Located,
    ) -> Result<BTreeMap<usize, String>, Error> {
        let wanted: BTreeSet<usize> = located.shared().collect();
        let mut found = BTreeMap::new();
        let (Some(part), Some(last)) = (&self.strings, wanted.last()) else {
            return Ok(found);
        };
        let xml = package.text(part)?;
        let mut walk = Walk::new(part, &xml);
        let (mut number, mut phrase) = (0, Phrase::default());
        while let Some(step) = walk.next()? {
            match (&step.event, step.depth) {
                (Event::End(_) | Event::Empty(_), 1) => {
                    let text = phrase.end();
                    if wanted.contains(&number) {
                        found.insert(number, text);
                    }
                    number += 1;
                    if number > *last {
                        break;
                    }
                }
                (event, 2..) if wanted.contains(&number) => phrase.take(&walk, event)?,
                _ => {}
            }
        }
        Ok(found)
    }
}

/// Where a part leads; the package itself has no name.
fn relationships(package: &mut Package<'_>, part: &str) -> Result<Vec<Relationship>, Error> {
    let (folder, file) = part.rsplit_once('/').unwrap_or(("", part));
    let slash = if folder.is_empty() { "" } else { "/" };
    let name = format!("{folder}{slash}_rels/{file}.rels");
    let xml = package.text(&name)?;
    let mut walk = Walk::new(&name, &xml);
    let mut found = Vec::new();
    while let Some(step) = walk.next()? {
        let (Event::Start(element) | Event::Empty(element)) = &step.event else {
            continue;
        };
        if step.depth == 1 {
            let get = |name| walk.attribute(element, name).map(Option::unwrap_or_default);
            let (kind, target) = (get("Type")?, get("Target")?);
            let kind = kind.rsplit('/').next().unwrap_or_default().to_owned();
            found.push(Relationship { id: get("Id")?, kind, target: resolve(folder, &target) });
        }
    }
    Ok(found)
}

/// The part that a target names, seen from a folder.
fn resolve(folder: &str, target: &str) -> String {
    let from = if target.starts_with('/') { "" } else { folder };
    let mut steps = Vec::new();
    for step in from.split('/').chain(target.split('/')) {
        match step {
            "" | "." => {}
            ".." => {
                steps.pop();
            }
            step => steps.push(step),
        }
    }
    steps.join("/")
}
