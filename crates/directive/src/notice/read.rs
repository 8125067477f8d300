//! Read: what does an advisory say of the product of a pack?
//!
//! The product is known by its CPE, or by its vendor and name as the pack has them. What may be it, and what is said of
//! it in words only, is told as undecided and never taken for "not affected". Source: CSAF 2.0, sections 3.1.2
//! (branches), 3.2.2.4 (relationships), 3.2.3.9 (status), 3.2.3.12 (remediations).

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Affected, Fixed, Notice};
use crate::advisory::{Advisory, Listed, Span, Versions, Vulnerability};
use crate::product::Product;
use crate::text;

/// Where a verified document came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// See [`Notice::provider`].
    pub provider: String,
    /// See [`Notice::url`].
    pub url: String,
    /// See [`Notice::listed`].
    pub listed: Option<Timestamp>,
    /// See [`Notice::sha256`].
    pub sha256: String,
    /// See [`Notice::signed_by`].
    pub signed_by: String,
    /// See [`Notice::signed`].
    pub signed: Timestamp,
}

/// How many ranges, fixes and doubts one advisory may bring. Real ones have less than a hundred on one product.
const MANY: usize = 1024;

/// How many characters of one of its texts a record keeps.
const LONGEST: usize = 300;

/// So much of a text of a document as a record keeps, harmless on a terminal.
fn escape(text: impl AsRef<str>) -> String {
    text::escape(text.as_ref().chars().take(LONGEST).collect::<String>())
}

const AFFECTED: [&str; 3] = ["known_affected", "first_affected", "last_affected"];
const FIXED: [&str; 3] = ["fixed", "first_fixed", "recommended"];
const OPEN: [&str; 1] = ["under_investigation"];

/// What an advisory says of a product; `None` if it is about others. `known` are the notices that the case holds: one
/// of an older version of this document is replaced even if the product is in it no more.
pub fn read(advisory: &Advisory, product: &Product, origin: Origin, known: &[&Notice]) -> Option<Notice> {
    let (document, tracking) = (&advisory.document, &advisory.document.tracking);
    let mut notice = Notice {
        provider: origin.provider,
        publisher: escape(&document.publisher.name),
        advisory: escape(&tracking.id),
        version: escape(&tracking.version),
        title: escape(&document.title),
        released: tracking.initial_release_date,
        updated: tracking.current_release_date,
        product: product.name.clone(),
        scheme: product.scheme,
        backported: !product.backports.is_empty(),
        cve: Vec::new(),
        affected: Vec::new(),
        fixed: Vec::new(),
        undecided: Vec::new(),
        url: origin.url,
        listed: origin.listed,
        sha256: origin.sha256,
        signed_by: origin.signed_by,
        signed: origin.signed,
    };
    let before = known.iter().copied().find(|one| one.is_same(&notice));
    let mut reader = Reader::new(advisory, product);
    if reader.ours.is_empty() && reader.doubtful.is_empty() && before.is_none() {
        return None;
    }
    if tracking.status == "draft" {
        reader.doubt("it is a draft, which starts no clock".to_owned());
    } else {
        advisory.vulnerabilities.iter().for_each(|one| reader.vulnerability(one, tracking.current_release_date));
    }
    let is_about =
        |one: &&Vulnerability| one.product_status.values().flatten().any(|id| reader.ours.contains_key(id.as_str()));
    notice.cve =
        advisory.vulnerabilities.iter().filter(is_about).filter_map(|one| one.cve.as_ref().map(escape)).collect();
    notice.cve.sort_unstable();
    notice.cve.dedup();
    (notice.affected, notice.fixed, notice.undecided) = (reader.affected, reader.fixed, reader.undecided);
    for fixed in &mut notice.fixed {
        // Whoever publishes again must not move the clock.
        let same = before.into_iter().flat_map(|before| &before.fixed).find(|old| old.version == fixed.version);
        fixed.released = same.map_or(fixed.released, |same| same.released.min(fixed.released));
    }
    Some(notice)
}

/// What is read of one advisory.
struct Reader<'a> {
    /// Products that are ours, by their id.
    ours: BTreeMap<String, Listed>,
    /// Ids that may be ours, and why nobody can say.
    doubtful: BTreeMap<&'a str, String>,
    affected: Vec<Affected>,
    fixed: Vec<Fixed>,
    undecided: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(advisory: &'a Advisory, product: &Product) -> Self {
        let (mut ours, mut maybe) = (BTreeMap::new(), BTreeMap::new());
        for mut listed in advisory.products() {
            match belongs(&listed, product) {
                Some(true) => {
                    listed.version = listed.version.or_else(|| version_in(listed.cpe.as_deref()?));
                    ours.insert(listed.id.clone(), listed);
                }
                Some(false) => {
                    maybe.insert(listed.id.clone(), listed.full);
                }
                None => {}
            }
        }
        let mut doubtful = BTreeMap::new();
        for (id, part) in advisory.together() {
            if let Some(part) = ours.get(part) {
                doubtful.insert(id, format!("{} counts only together with another product", escape(&part.full)));
            }
        }
        let said = advisory.vulnerabilities.iter().flat_map(|one| one.product_status.values().flatten());
        for id in said {
            if let Some(full) = maybe.get(id) {
                let why = format!("{} may be the product: neither its CPE nor its vendor says so", escape(full));
                doubtful.insert(id, why);
            }
        }
        Self { ours, doubtful, affected: Vec::new(), fixed: Vec::new(), undecided: Vec::new() }
    }

    fn doubt(&mut self, why: String) {
        if self.undecided.len() < MANY && !self.undecided.contains(&why) {
            self.undecided.push(why);
        }
    }

    fn vulnerability(&mut self, of: &Vulnerability, updated: Timestamp) {
        let ids = |statuses: &[&str]| {
            let said = of.product_status.iter().filter(|(status, _)| statuses.contains(&status.as_str()));
            said.flat_map(|(_, ids)| ids).collect::<Vec<_>>()
        };
        let name = of.cve.as_ref().map_or_else(|| "a vulnerability without a number".to_owned(), escape);
        let (affected, fixed) = (ids(&AFFECTED), ids(&FIXED));
        for id in affected.iter().chain(&fixed).chain(&ids(&OPEN)) {
            if let Some(why) = self.doubtful.get(id.as_str()).cloned() {
                self.doubt(why);
            }
        }
        if ids(&OPEN).iter().any(|id| self.ours.contains_key(id.as_str())) {
            self.doubt(format!("the publisher still looks into {name}"));
        }
        let spans = self.spans(&affected, "affected");
        let fixes = self.fixes(&fixed);
        let ours: Vec<&String> = affected.iter().copied().filter(|id| self.ours.contains_key(id.as_str())).collect();
        let mut remedies = of.remediations.iter().filter(|one| one.category == "vendor_fix");
        let is_for = |ids: &[String]| ids.is_empty() || ids.iter().any(|id| ours.contains(&id));
        let remedy = remedies.find(|one| is_for(&one.product_ids));
        let released = remedy.and_then(|remedy| remedy.date).unwrap_or(updated);
        // Where no fixed version is listed, the first one behind what is affected is it.
        let ends = || spans.iter().filter_map(|span| span.before.clone()).collect();
        let fixes = if fixes.is_empty() && remedy.is_some() { ends() } else { fixes };
        if fixes.is_empty() && remedy.is_some() && !spans.is_empty() {
            self.doubt(format!("there is a fix for {name}, and no version of it that can be computed with"));
        }
        spans.into_iter().for_each(|span| self.is_affected(span, of.cve.as_ref().map(escape)));
        fixes.into_iter().for_each(|version| self.is_fixed(version, released));
    }

    /// The intervals of our products among some.
    fn spans(&mut self, ids: &[&String], what: &str) -> Vec<Span> {
        let mut found = Vec::new();
        for id in ids {
            let Some(listed) = self.ours.get(id.as_str()) else { continue };
            let spans = listed.version.as_ref().and_then(Versions::spans);
            match (spans, &listed.version) {
                (Some(spans), _) => found.extend(spans),
                (None, Some(Versions::One(text) | Versions::Range(text))) => {
                    self.doubt(format!("it calls {what} what has no form that can be computed with: {}", escape(text)));
                }
                (None, None) => {
                    self.doubt(format!("it names no version of {}, which it calls {what}", escape(&listed.full)))
                }
            }
        }
        found
    }

    /// The first version of each interval that is fixed.
    fn fixes(&mut self, ids: &[&String]) -> Vec<String> {
        let spans = self.spans(ids, "fixed");
        spans.into_iter().filter_map(|span| span.from).collect()
    }

    fn is_affected(&mut self, span: Span, cve: Option<String>) {
        let same =
            |one: &&mut Affected| (&one.from, &one.before, &one.through) == (&span.from, &span.before, &span.through);
        if let Some(one) = self.affected.iter_mut().find(same) {
            one.cve.extend(cve.filter(|cve| !one.cve.contains(cve)));
        } else if self.affected.len() < MANY {
            let Span { from, before, through } = span;
            self.affected.push(Affected { from, before, through, cve: cve.into_iter().collect() });
        } else {
            self.doubt(format!("it names more than {MANY} ranges of versions"));
        }
    }

    fn is_fixed(&mut self, version: String, released: Timestamp) {
        if let Some(one) = self.fixed.iter_mut().find(|one| one.version == version) {
            one.released = one.released.min(released);
        } else if self.fixed.len() < MANY {
            self.fixed.push(Fixed { version, released });
        } else {
            self.doubt(format!("it names more than {MANY} fixed versions"));
        }
    }
}

/// Whether a listed product is the pack's; `Some(false)`: it may be.
fn belongs(listed: &Listed, product: &Product) -> Option<bool> {
    let cpe = listed.cpe.as_deref().and_then(attributes);
    let by_cpe = cpe.as_ref().is_some_and(|[vendor, name, _]| {
        let ours = product.cpe.iter().filter_map(|cpe| attributes(cpe));
        ours.into_iter().any(|[own_vendor, own_name, _]| own_vendor == *vendor && own_name == *name)
    });
    let is_name = |text: &Option<String>, own: &str| text.as_deref().is_some_and(|text| plain(text) == plain(own));
    let (by_vendor, by_name) = (is_name(&listed.vendor, &product.vendor), is_name(&listed.product, &product.name));
    if by_cpe || (by_vendor && by_name) {
        return Some(true);
    }
    // A CPE that names another product decides; without one, the name alone is a hint.
    let is_hinted = by_name || (listed.product.is_none() && plain(&listed.full).starts_with(&plain(&product.name)));
    (is_hinted && cpe.is_none()).then_some(false)
}

/// Letters and digits only: vendors write their own names in many ways.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Vendor, product and version of a CPE, of 2.2 and of 2.3.
fn attributes(cpe: &str) -> Option<[String; 3]> {
    let rest = cpe.strip_prefix("cpe:2.3:").or_else(|| cpe.strip_prefix("cpe:/"))?;
    let mut parts = vec![String::new()];
    let mut signs = rest.chars();
    while let Some(sign) = signs.next() {
        match sign {
            ':' => parts.push(String::new()),
            '\\' => parts.iter_mut().next_back()?.extend(signs.next()),
            _ => parts.iter_mut().next_back()?.extend(sign.to_lowercase()),
        }
    }
    let mut parts = parts.into_iter().skip(1);
    Some([parts.next()?, parts.next()?, parts.next().unwrap_or_default()])
}

fn version_in(cpe: &str) -> Option<Versions> {
    let [_, _, version] = attributes(cpe)?;
    (!matches!(version.as_str(), "" | "*" | "-")).then_some(Versions::One(version))
}
