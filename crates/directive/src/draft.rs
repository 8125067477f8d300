//! Draft: what of a new pack do an advisory and a catalogue of exploited vulnerabilities tell already?
//!
//! A draft is a pack that can be worked from, with what nobody knows yet left out and named: [`Draft::open`] says what
//! waits for a person. Deadlines, conditions and words of an order are never invented.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;

use crate::advisory::{Advisory, Listed, Remediation, Versions};
use crate::kev::Entry;
use crate::playbook::Order;

/// What a draft is made from.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The id of the directive, which is its folder's name too.
    pub id: &'a str,
    /// The IANA zone in which its days are counted.
    pub zone: &'a str,
    /// When the draft is made, where nothing tells when the order was issued.
    pub now: Timestamp,
    /// The vendor's advisory, and where it came from.
    pub advisory: Option<(&'a Advisory, &'a str)>,
    /// Entries of the catalogue, and where it came from.
    pub entries: &'a [(&'a Entry, &'a str)],
    /// What a playbook tells of the order, and where it came from.
    pub order: Option<(&'a Order, &'a str)>,
}

/// A new pack.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// Its files by their path in it.
    pub files: BTreeMap<String, String>,
    /// What waits for a person, one sentence each.
    pub open: Vec<String>,
}

/// Drafts a pack.
pub fn draft(known: &Known<'_>) -> Draft {
    let mut draft = Draft::default();
    let mut form = include_str!("../data/draft-report.toml").to_owned();
    let directive = match known.order {
        Some((order, _)) => {
            draft.open.extend(order.open.iter().cloned());
            order.directive.clone()
        }
        None => {
            form += include_str!("../data/draft-report-update.toml");
            draft.directive(known)
        }
    };
    let (product, versions) = draft.product(known);
    draft.files.insert("directive.toml".into(), directive);
    draft.files.insert("product.toml".into(), product);
    draft.files.insert("examples.toml".into(), versions);
    draft.files.insert("report.toml".into(), form);
    draft.files.insert("SOURCES.md".into(), sources(known));
    draft.say("report.toml is a form of our own: put the authority's in its place, if it has one");
    draft.say("fingerprints/probes.toml: nothing recognises the product from outside yet");
    draft
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.trim().to_owned()).to_string()
}

impl Draft {
    fn say(&mut self, what: impl Into<String>) {
        self.open.push(what.into());
    }

    fn directive(&mut self, known: &Known<'_>) -> String {
        let name = title(known);
        let (issuer, issued) = self.issuer(known);
        let mut out = String::new();
        // Writing into a `String` cannot fail.
        let _ = writeln!(
            out,
            "# A draft. `portcullis directive lint` says what is wrong with it, docs/packs.md what can stand in it.\n\n\
             id = {}\ntitle = {}\nzone = {}\n{issuer}\n\n[[document]]\nid = {}\nissued = \"{issued}\"\n\n\
             [[mark]]\nid = \"contact\"\nquestion = \"Who answers questions, by which address?\"\n",
            quoted(known.id),
            quoted(&format!("Act on {name}")),
            quoted(known.zone),
            quoted(known.id),
        );
        out += &action(
            "1",
            "Count all instances",
            "does = \"discover\"",
            "Enumerate every instance, also those that others run.",
        );
        let checked = "each = \"instance\"\ndoes = \"check\"";
        out += &action(
            "2",
            "Check the integrity of each instance",
            checked,
            "Hold its files against what the vendor shipped.",
        );
        out += &self.update(known);
        let isolate = "each = \"instance\"\nwhen = { ever = [\"mismatch\", \"compromised\"] }\n\
                       due = { within = \"0h\", of = \"verdict\" }";
        out += &action("4", "Isolate what does not match, keep its evidence, report it", isolate, "Keep the power on.");
        out += &self.workarounds(known);
        out += &action("6", "Report", "after = [\"1\"]", "Submit the form.");
        self.say("directive.toml: the order's own numbers, words, clauses and due times of each action");
        out
    }

    /// Who orders it, and since when.
    fn issuer(&mut self, known: &Known<'_>) -> (String, Timestamp) {
        let added = known.entries.iter().filter_map(|(entry, _)| midnight(entry.date_added, known.zone)).min();
        let published = known.advisory.map(|(advisory, _)| advisory.document.tracking.initial_release_date);
        let issued = added.or(published).unwrap_or(known.now);
        let issuer = match (known.entries, known.advisory) {
            ([_, ..], _) => {
                "issuer = { name = \"Cybersecurity and Infrastructure Security Agency (CISA)\" }".to_owned()
            }
            (_, Some((advisory, _))) => {
                self.say("directive.toml: the advisory binds nobody; name the authority if one orders it");
                format!("issuer = {{ name = {}, binding = false }}", quoted(&advisory.document.publisher.name))
            }
            _ => {
                self.say("directive.toml: who orders it");
                "issuer = { name = \"nobody yet\", binding = false }".to_owned()
            }
        };
        (issuer, issued)
    }

    /// The update, by the due date that the catalogue sets.
    fn update(&mut self, known: &Known<'_>) -> String {
        let mut rest = "each = \"instance\"\nwhen = { version = [\"affected\"] }".to_owned();
        let first = known.entries.iter().min_by_key(|(entry, _)| entry.due_date);
        match first {
            Some((entry, _)) => {
                let (due, zone) = (entry.due_date, known.zone);
                let _ = write!(rest, "\ndue = {{ by = \"{due}T23:59:59[{zone}]\", text = \"KEV: due date {due}\" }}");
                if entry.is_due_before_added() {
                    self.say(format!(
                        "directive.toml, action 3: {} was due on {due}, before it was added on {}: \
                         the date is that of an older order",
                        entry.cve, entry.date_added
                    ));
                }
            }
            None => self.say("directive.toml, action 3: by when"),
        }
        let asked = first.map(|(entry, _)| entry.required_action.as_str()).filter(|words| !words.is_empty());
        let fixes = remediations(known, &["vendor_fix"]);
        let words = asked.map(str::to_owned).or_else(|| fixes.first().map(|fix| fix.details.clone()));
        action("3", "Update to a version that is not affected", &rest, &words.unwrap_or_default())
    }

    /// Workarounds of the advisory, each an action that does instead of the update for a time.
    fn workarounds(&mut self, known: &Known<'_>) -> String {
        let mut out = String::new();
        for (at, remedy) in remediations(known, &["workaround", "mitigation"]).iter().enumerate() {
            let id = format!("5.{}", at + 1);
            let rest = "each = \"instance\"\nwhen = { version = [\"affected\"] }\noptional = true";
            out += &action(&id, "Apply the vendor's workaround", rest, &remedy.details);
            self.say(format!("directive.toml, action {id}: whether the workaround counts, and until when"));
        }
        out
    }

    fn product(&mut self, known: &Known<'_>) -> (String, String) {
        let listed = known.advisory.map(|(advisory, _)| advisory.products()).unwrap_or_default();
        let entry = known.entries.first().map(|(entry, _)| *entry);
        let first = |of: fn(&Listed) -> Option<&String>| listed.iter().find_map(of).cloned();
        let name = first(|one| one.product.as_ref()).or_else(|| entry.map(|entry| entry.product.clone()));
        let vendor = first(|one| one.vendor.as_ref()).or_else(|| entry.map(|entry| entry.vendor_project.clone()));
        if name.is_none() {
            self.say("product.toml: what the product is called, and who makes it");
        }
        let mut cpe: Vec<String> = listed.iter().filter_map(|one| one.cpe.as_ref()).map(|cpe| quoted(cpe)).collect();
        cpe.dedup();
        let mut out = format!(
            "name = {}\nvendor = {}\ncpe = [{}]\nscheme = \"segments\"\n",
            quoted(&name.unwrap_or_else(|| "nobody yet".into())),
            quoted(&vendor.unwrap_or_else(|| "nobody yet".into())),
            cpe.join(", ")
        );
        let versions = self.ranges(known, &listed, &mut out);
        self.say("product.toml: how versions are counted (`scheme`), and where one can be read on disk ([[witness]])");
        self.say("product.toml, [integrity]: which folders hold nothing but what the vendor ships");
        (out, versions)
    }

    /// Ranges and releases into product.toml; single versions into the examples.
    fn ranges(&mut self, known: &Known<'_>, listed: &[Listed], out: &mut String) -> String {
        let mut examples =
            "# What the advisory says of single versions: `portcullis directive test` holds the pack against it.\n"
                .to_owned();
        let Some((advisory, _)) = known.advisory else {
            self.say("product.toml: which versions are affected, and which release fixes them");
            return examples;
        };
        let cves: Vec<_> = advisory.cves().into_iter().map(quoted).collect();
        let said = |statuses: &[&str]| {
            let ids = advisory.with_status(statuses);
            listed.iter().filter(|one| ids.contains(&one.id.as_str())).collect::<Vec<_>>()
        };
        for one in said(&["known_affected", "first_affected", "last_affected"]) {
            match one.version.as_ref().map(|versions| (versions, versions.bounds())) {
                Some((_, Some(bounds))) => {
                    let _ = write!(out, "\n[[affected]]\n");
                    let _ = bounds.from.iter().try_for_each(|from| writeln!(out, "from = {}", quoted(from)));
                    let _ = bounds.before.iter().try_for_each(|before| writeln!(out, "before = {}", quoted(before)));
                    let _ = writeln!(out, "cve = [{}]", cves.join(", "));
                }
                Some((Versions::One(version), _)) => example(&mut examples, version, "affected"),
                Some((Versions::Range(range), None)) => {
                    self.say(format!("product.toml: the range {range:?} of the advisory has no half-open form"));
                }
                None => self.say(format!("product.toml: the advisory names no version of {:?}", one.full)),
            }
        }
        for one in said(&["fixed", "first_fixed", "recommended"]) {
            if let Some(Versions::One(version)) = &one.version {
                let fix = remediations(known, &["vendor_fix"]).into_iter().find_map(|fix| fix.date);
                let released = fix.unwrap_or(advisory.document.tracking.initial_release_date);
                let _ = write!(out, "\n[[release]]\nversion = {}\nreleased = \"{released}\"\n", quoted(version));
                example(&mut examples, version, "fixed");
            }
        }
        if !out.contains("[[affected]]") {
            self.say(
                "product.toml: which versions are affected; the advisory gives no range that can be computed with",
            );
        }
        examples
    }
}

fn example(examples: &mut String, version: &str, status: &str) {
    let _ = write!(examples, "\n[[version]]\nvalue = {}\nstatus = \"{status}\"\n", quoted(version));
}

fn action(id: &str, title: &str, rest: &str, text: &str) -> String {
    let text = if text.trim().is_empty() { String::new() } else { format!("text = {}\n", quoted(text)) };
    format!("[[action]]\nid = {}\ntitle = {}\nclause = \"draft\"\n{text}{rest}\n\n", quoted(id), quoted(title))
}

/// Remedies of some categories, each once.
fn remediations<'a>(known: &Known<'a>, categories: &[&str]) -> Vec<&'a Remediation> {
    let vulnerabilities = known.advisory.into_iter().flat_map(|(advisory, _)| &advisory.vulnerabilities);
    let all = vulnerabilities.flat_map(|vulnerability| &vulnerability.remediations);
    let mut found: Vec<&Remediation> = Vec::new();
    for remedy in all.filter(|remedy| categories.contains(&remedy.category.as_str())) {
        if found.iter().all(|other| other.details != remedy.details) {
            found.push(remedy);
        }
    }
    found
}

fn title(known: &Known<'_>) -> String {
    let advisory = known.advisory.map(|(advisory, _)| advisory.document.title.clone());
    let entry = known.entries.first().map(|(entry, _)| entry.vulnerability_name.clone());
    entry.or(advisory).unwrap_or_else(|| "a product".to_owned())
}

fn midnight(day: jiff::civil::Date, zone: &str) -> Option<Timestamp> {
    Some(day.in_tz(zone).ok()?.timestamp())
}

fn sources(known: &Known<'_>) -> String {
    let mut out = "# Sources of this pack\n\n| entry | source | licence |\n|---|---|---|\n".to_owned();
    if let Some((advisory, from)) = known.advisory {
        let tracking = &advisory.document.tracking;
        let what =
            format!("{} {}, version {} ({from})", advisory.document.publisher.name, tracking.id, tracking.version);
        let _ = writeln!(
            out,
            "| `product.toml`: versions, releases; `directive.toml`: remedies | {} | facts |",
            cell(&what)
        );
    }
    if let Some((order, from)) = known.order {
        let what = format!("playbook {} ({from})", order.playbook);
        let _ = writeln!(out, "| `directive.toml` | {} | facts |", cell(&what));
    }
    for (entry, from) in known.entries {
        let what = format!("KEV, {}, added {} ({from})", entry.cve, entry.date_added);
        let _ = writeln!(out, "| `directive.toml`: action 3 and its due date | {} | CC0-1.0 |", cell(&what));
    }
    out
}

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}
