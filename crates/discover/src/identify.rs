//! Identify: is what answered the product, and which version does it claim?
//!
//! A pack's probes decide, and its Recog databases: one sign is enough to identify, all parts of
//! that sign must hold. What is not the product is named, where somebody knows it: a neighbour is told as what it is
//! and never counted as the product. Everything an instance says about its version can be faked by whoever
//! controls it, and is marked so.
//! Never calls an address the product because it answers at all. Source: incident facts on version
//! evidence; ED 21-03 action 1.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use directive::probe::{Neighbour, Over, Place, Probe, Probes};
use directive::product::{Product, Told};
use directive::record::{Confidence, Witness};

use crate::Known;
use crate::ask::{Answer, Trouble};
use crate::cpe::{formatted, is_same_product, with_version};
use crate::marks::Marks;
use crate::recog::{Database, Match};
use crate::signs::{identifies, pages, said};

/// Characters of a page that fingerprints see: the published ones are made for so many.
const BODY: usize = 4096;

/// What one address turned out to be.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// By the packs that recognise it, in their order; usually none or one.
    pub(crate) identities: Vec<Identity>,
    /// What else it answers as, each once.
    pub(crate) others: Vec<Other>,
    /// What could not be heard.
    pub(crate) troubles: Vec<Trouble>,
    /// What another address of the same instance would show too.
    pub(crate) marks: Marks,
}

/// One pack recognises an address as its product.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    /// Which of the known products.
    pub(crate) known: usize,
    /// What it says about its version.
    pub(crate) witnesses: Vec<Witness>,
    /// What that is called in CPE 2.3.
    pub(crate) cpe: Vec<String>,
}

/// A product that nobody looks for, by a sign of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Other {
    /// `Citrix NetScaler Gateway`.
    pub(crate) name: String,
    /// What shows it: `neighbour netscaler-root`, `recog http_header.server`.
    pub(crate) sign: String,
    /// Its name in CPE 2.3, where one is known.
    pub(crate) cpe: Option<String>,
}

/// Condenses an answer. The pages are dropped here: they are large.
pub(crate) fn read(known: &[Known<'_>], target: SocketAddr, answer: Answer) -> Reading {
    let (troubles, marks) = (answer.troubles.clone(), Marks::of(&answer));
    let mut reading = Reading { troubles, marks, ..Reading::default() };
    for (index, known) in known.iter().enumerate() {
        let recognised =
            recognise(known, &|matches| format!("recog {matches} {target}"), &|matches| texts(matches, &answer));
        let signed = known.probes.probes.iter().any(|probe| identifies(probe, &answer));
        if signed || recognised.is_product {
            reading.identities.push(identity(index, known, target, &answer, &recognised));
        }
        for trouble in recognised.exhausted.into_iter().map(|which| Trouble::Exhausted { which }) {
            if !reading.troubles.contains(&trouble) {
                reading.troubles.push(trouble);
            }
        }
        // What a front end says of itself is no other product where the product was recognised.
        let seems = if reading.identities.is_empty() { recognised.others } else { Vec::new() };
        let neighbours = known.probes.neighbours.iter().filter_map(|neighbour| neighbour_in(neighbour, &answer));
        for other in neighbours.chain(seems) {
            if !reading.others.iter().any(|seen| seen.name == other.name) {
                reading.others.push(other);
            }
        }
    }
    reading.others.retain(|other| !known.iter().any(|known| is_product(other, known.product)));
    reading
}

fn identity(index: usize, known: &Known<'_>, target: SocketAddr, answer: &Answer, recognised: &Recognised) -> Identity {
    let mut told: Vec<Told> = known.probes.probes.iter().filter_map(|probe| version(probe, target, answer)).collect();
    if told.is_empty() {
        told.extend(recognised.told.first().cloned());
    }
    // A name whose version is "not applicable" says less than the probes do.
    let says_more = |cpe: &&String| cpe.split(':').nth(5) != Some("-");
    let mut cpe: Vec<String> = recognised.cpe.iter().filter(says_more).cloned().collect();
    if cpe.is_empty() {
        let exact = told.iter().find(|told| told.exact).map(|told| told.version.as_str());
        cpe.extend(known.product.cpe.first().and_then(|pattern| with_version(pattern, exact)));
    }
    Identity { known: index, witnesses: told.iter().map(|told| known.product.witness(told)).collect(), cpe }
}

/// Whether another product is one that is looked for, under this or another name.
fn is_product(other: &Other, product: &Product) -> bool {
    let same = |cpe: &String| product.cpe.iter().any(|own| is_same_product(own, cpe));
    other.name.eq_ignore_ascii_case(&product.name) || other.cpe.as_ref().is_some_and(same)
}

fn neighbour_in(neighbour: &Neighbour, answer: &Answer) -> Option<Other> {
    let probe = neighbour.probes.iter().find(|probe| identifies(probe, answer))?;
    let named = neighbour.name.starts_with(&neighbour.vendor);
    let name = if named { neighbour.name.clone() } else { format!("{} {}", neighbour.vendor, neighbour.name) };
    let cpe = neighbour.cpe.first().and_then(|cpe| formatted(cpe));
    Some(Other { name, sign: format!("neighbour {}", probe.id), cpe })
}

/// The first version that a probe's answer holds.
fn version(probe: &Probe, target: SocketAddr, answer: &Answer) -> Option<Told> {
    let source = match probe.over {
        Over::Http => format!("http {target} {}", probe.path),
        Over::Ssh => format!("ssh-banner {target}"),
        _ => format!("udp {target}"),
    };
    probe.version.iter().find_map(|sign| {
        let pages = pages(probe, answer);
        let texts: Vec<&str> = match &sign.place {
            Place::Body => pages.map(|page| page.body.as_str()).collect(),
            Place::Header(name) => pages.flat_map(|page| page.header(name)).collect(),
            Place::Banner => said(probe.over, answer).into_iter().collect(),
        };
        texts.into_iter().find_map(|text| {
            let version = sign.pattern.fill(text, &sign.template)?;
            let groups = sign.pattern.captures(text)?;
            let comment = groups.name("comment").map(|group| group.as_str().to_owned());
            let confidence = sign.confidence;
            let source = source.trim_end().to_owned();
            Some(Told { source, version, comment, package: None, exact: sign.exact, fakeable: true, confidence })
        })
    })
}

/// Whether a database names the product by what an answer holds so far.
pub(crate) fn is_named(product: &Product, recog: &[Database], answer: &Answer) -> bool {
    let probes = Probes::default();
    let known = Known { pack: "", product, probes: &probes, recog };
    recognise(&known, &str::to_owned, &|matches| texts(matches, answer)).is_product
}

/// What the databases of a pack say of the strings of an answer.
#[derive(Debug, Default)]
pub(crate) struct Recognised {
    /// Whether a match names the product.
    pub(crate) is_product: bool,
    /// The versions in those that do.
    pub(crate) told: Vec<Told>,
    /// Names in CPE 2.3 in those that do.
    pub(crate) cpe: Vec<String>,
    /// What the others name.
    others: Vec<Other>,
    /// Fingerprints that gave up: file and line.
    exhausted: Vec<String>,
}

/// Holds strings against the databases of a pack. `texts` gives the strings of a kind, `source` what a witness calls
/// them.
pub(crate) fn recognise(
    known: &Known<'_>,
    source: &dyn Fn(&str) -> String,
    texts: &dyn Fn(&str) -> Vec<String>,
) -> Recognised {
    let mut databases: Vec<_> = known.recog.iter().collect();
    databases.sort_by(|a, b| b.preference.total_cmp(&a.preference));
    let mut out = Recognised::default();
    for database in databases {
        for text in texts(&database.matches) {
            let recognition = database.recognise(&text);
            out.exhausted.extend(recognition.exhausted.iter().map(|line| format!("{}:{line}", database.file)));
            let Some(matched) = recognition.found else { continue };
            if names(&matched, known.product) {
                out.add(&matched, known.product, source(&database.matches));
            } else {
                out.others.extend(other(&matched, &database.matches));
            }
        }
    }
    out
}

impl Recognised {
    /// Adds a match that names the product.
    fn add(&mut self, matched: &Match, product: &Product, source: String) {
        self.is_product = true;
        let certainty = matched.facts.get("service.certainty").and_then(|text| text.parse::<f32>().ok());
        // Below even odds it is a hint; Recog's own default is higher.
        let confidence =
            if certainty.is_some_and(|certainty| certainty < 0.5) { Confidence::Low } else { Confidence::Medium };
        if let Some(version) = matched.facts.get("service.version") {
            let version = version.clone();
            self.told.push(Told { source, version, exact: true, fakeable: true, confidence, ..Told::default() });
        }
        let own = cpes(matched).filter(|cpe| product.cpe.iter().any(|own| is_same_product(own, cpe)));
        for cpe in own.filter_map(|cpe| formatted(cpe)) {
            if !self.cpe.contains(&cpe) {
                self.cpe.push(cpe);
            }
        }
    }
}

/// What a match names, if it names anything.
fn other(matched: &Match, kind: &str) -> Option<Other> {
    let fact = |name: &str| matched.facts.get(name);
    let kinds = ["service", "hw", "os"].into_iter();
    let (of, product) = kinds.filter_map(|of| Some((of, fact(&format!("{of}.product"))?))).next()?;
    let vendor = fact(&format!("{of}.vendor")).filter(|vendor| !product.starts_with(vendor.as_str()));
    let version = fact(&format!("{of}.version"));
    let words = [vendor, Some(product), version].into_iter().flatten().map(String::as_str).collect::<Vec<_>>();
    let cpe = cpes(matched).next().and_then(|cpe| formatted(cpe));
    Some(Other { name: words.join(" "), sign: format!("recog {kind}"), cpe })
}

fn cpes(matched: &Match) -> impl Iterator<Item = &String> {
    ["service.cpe23", "hw.cpe23", "os.cpe23"].into_iter().filter_map(|fact| matched.facts.get(fact))
}

/// The strings of an answer that a Recog database is about.
fn texts(matches: &str, answer: &Answer) -> Vec<String> {
    let pages = &answer.pages;
    if let Some(name) = matches.strip_prefix("http_header.") {
        let name = match name {
            "cookie" => "set-cookie",
            "wwwauth" => "www-authenticate",
            name => name,
        };
        // The same header comes with every page.
        let values = pages.iter().flat_map(|page| page.header(name)).map(|value| (value, ()));
        return values.collect::<BTreeMap<_, _>>().into_keys().map(str::to_owned).collect();
    }
    match matches {
        "ssh.banner" => answer.banner.iter().cloned().collect(),
        "html_title" => pages.iter().filter_map(|page| title(&page.body)).collect(),
        "html_body" => pages.iter().map(|page| page.body.chars().take(BODY).collect()).collect(),
        "x509.subject" => answer.certificate.iter().map(|certificate| certificate.subject.clone()).collect(),
        "x509.issuer" => answer.certificate.iter().map(|certificate| certificate.issuer.clone()).collect(),
        "favicon.md5" => answer.icons.iter().map(|icon| icon.md5.clone()).collect(),
        "favicon.mmh3" => answer.icons.iter().map(|icon| icon.mmh3.to_string()).collect(),
        "tls.jarm" => answer.jarm.iter().cloned().collect(),
        _ => Vec::new(),
    }
}

/// Whether a match names the product: by its name, or by vendor and product of one of its CPEs.
fn names(matched: &Match, product: &Product) -> bool {
    let named = ["service.product", "os.product", "hw.product"].iter();
    let by_name =
        named.filter_map(|fact| matched.facts.get(*fact)).any(|name| name.eq_ignore_ascii_case(&product.name));
    by_name || cpes(matched).any(|cpe| names_product(cpe, product))
}

/// Whether a CPE is of the product, whatever its version.
pub(crate) fn names_product(cpe: &str, product: &Product) -> bool {
    product.cpe.iter().any(|own| is_same_product(own, cpe))
}

/// The first 1,024 characters of a page's title, white space folded.
fn title(body: &str) -> Option<String> {
    let lower = body.to_ascii_lowercase();
    let tag = lower.find("<title")?;
    let start = tag + lower[tag..].find('>')? + 1;
    let end = lower[start..].find("</title").map_or(body.len(), |end| start + end);
    let folded = body[start..end].split_whitespace().collect::<Vec<_>>().join(" ");
    Some(folded.chars().take(1024).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::{Icon, Page};

    const GATE: &str = r#"
        [[probe]]
        id = "page"
        over = "http"
        path = "/"
        identifies = [{ status = 200, body = "<title>Gate" }, { header = "server", matches = "^gate" }, {}]
        version = [{ in = "body", pattern = 'v(\d+)\.(\d+)', template = "{1}R{2}", exact = false }]
        [[probe]]
        id = "banner"
        over = "ssh"
        identifies = [{ banner = "^Gate" }]
        version = [{ in = "banner", pattern = '^Gate_(?<version>\S+)(?: (?<comment>.+))?$' }]
    "#;

    const RECOG: &str = r#"<fingerprints matches="html_title"><fingerprint pattern="^Portal (\S+)$">
        <description>d</description><param pos="1" name="service.version"/>
        <param pos="0" name="service.cpe23" value="cpe:/a:example:gate:{service.version}"/>
        </fingerprint></fingerprints>"#;

    const ICONS: &str = r#"<fingerprints matches="favicon.mmh3"><fingerprint pattern="^-?7$">
        <description>d</description>
        <param pos="0" name="hw.vendor" value="Other"/><param pos="0" name="hw.product" value="Tower"/>
        <param pos="0" name="hw.cpe23" value="cpe:/h:other:tower:-"/></fingerprint></fingerprints>"#;

    const NEIGHBOURS: &str = r#"
        [[neighbour]]
        name = "Wall"
        vendor = "Other"
        cpe = ["cpe:2.3:a:other:wall:*:*:*:*:*:*:*:*"]
        probe = [{ id = "wall", over = "pages", identifies = [{ header = "server", matches = "^Wall" }] }]
    "#;

    /// What an answer amounts to under a pack.
    fn reading(answer: Answer) -> Reading {
        let product: Product =
            toml::from_str("name = \"Gate\"\nvendor = \"Example\"\ncpe = [\"cpe:2.3:a:example:gate:*\"]").unwrap();
        let mut probes: Probes = toml::from_str(GATE).unwrap();
        probes.neighbours = toml::from_str::<directive::probe::Neighbours>(NEIGHBOURS).unwrap().neighbours;
        let recog = [Database::parse("title.xml", RECOG).unwrap(), Database::parse("icon.xml", ICONS).unwrap()];
        let known = [Known { pack: "p", product: &product, probes: &probes, recog: &recog }];
        read(&known, "192.0.2.1:443".parse().unwrap(), answer)
    }

    /// Versions, `yes` without one, `no`.
    #[track_caller]
    fn check(answer: Answer, expected: &str) {
        let reading = reading(answer);
        let witness = |w: &Witness| format!("{} from {}{}", w.value, w.source, if w.exact { "" } else { ", inexact" });
        let shown = match reading.identities.first() {
            None => "no".to_owned(),
            Some(identity) if identity.witnesses.is_empty() => "yes".to_owned(),
            Some(identity) => identity.witnesses.iter().map(witness).collect::<Vec<_>>().join("; "),
        };
        assert_eq!(shown, expected);
    }

    fn page(status: u16, header: (&str, &str), body: &str) -> Answer {
        let headers = vec![(header.0.to_owned(), header.1.to_owned())];
        Answer { pages: vec![Page { path: "/".into(), status, headers, body: body.into() }], ..Answer::default() }
    }

    fn banner(text: &str) -> Answer {
        Answer { banner: Some(text.into()), ..Answer::default() }
    }

    #[test]
    fn all_parts_of_a_sign_must_hold() {
        check(page(200, ("a", "b"), "<title>Gate</title>"), "yes");
        check(page(404, ("a", "b"), "<title>Gate</title>"), "no");
    }

    #[test]
    fn any_sign_is_enough_and_an_empty_one_is_none() {
        check(page(404, ("server", "gate/1"), ""), "yes");
        check(page(404, ("server", "nginx"), ""), "no");
    }

    #[test]
    fn the_version_of_a_page_fills_the_template() {
        check(page(404, ("server", "gate"), "v9.1.10"), "9R1 from http 192.0.2.1:443 /, inexact");
    }

    #[test]
    fn a_banner_gives_version_and_comment() {
        check(banner("Gate_9.2p1 Debian-2"), "9.2p1 Debian-2 from ssh-banner 192.0.2.1:443");
        check(banner("Window_1"), "no");
    }

    #[test]
    fn control_characters_in_a_banner_are_escaped() {
        check(banner("Gate_9\u{1b}[2J x\u{7}"), "9\\x1b[2J x\\x07 from ssh-banner 192.0.2.1:443");
    }

    #[test]
    fn a_recog_match_identifies_by_its_cpe_name() {
        check(
            page(200, ("a", "b"), "<TITLE lang=x>\n Portal\n 7.1 </TITLE>"),
            "7.1 from recog html_title 192.0.2.1:443",
        );
        check(page(200, ("a", "b"), "<title>Portal</title>"), "no");
    }

    #[test]
    fn an_identity_has_a_name_in_cpe() {
        let cpe = |answer| reading(answer).identities.remove(0).cpe;
        let with = |version: &str| vec![format!("cpe:2.3:a:example:gate:{version}:*:*:*:*:*:*:*")];
        assert_eq!(cpe(page(200, ("a", "b"), "<title>Portal 7.1</title>")), with("7.1"));
        assert_eq!(cpe(banner("Gate_9.2p1 Debian-2")), with("9.2p1"));
        // A version of which only the beginning is known is none.
        assert_eq!(cpe(page(200, ("server", "gate"), "v9.1")), with("*"));
    }

    #[test]
    fn a_neighbour_is_told_and_never_counted() {
        let found = reading(page(200, ("server", "Wall/2"), "<title>Wall</title>"));
        assert!(found.identities.is_empty());
        let cpe = Some("cpe:2.3:a:other:wall:*:*:*:*:*:*:*:*".to_owned());
        assert_eq!(found.others, [Other { name: "Other Wall".into(), sign: "neighbour wall".into(), cpe }]);
        // In front of the product it is told beside it.
        let both = reading(page(200, ("server", "Wall/2"), "<title>Gate</title>"));
        assert_eq!((both.identities.len(), both.others.len()), (1, 1));
    }

    #[test]
    fn what_a_fingerprint_names_and_nobody_looks_for_is_told() {
        let icons = vec![Icon { md5: String::new(), mmh3: 7 }];
        let found = reading(Answer { icons, ..Answer::default() });
        assert!(found.identities.is_empty());
        let cpe = Some("cpe:2.3:h:other:tower:-:*:*:*:*:*:*:*".to_owned());
        assert_eq!(found.others, [Other { name: "Other Tower".into(), sign: "recog favicon.mmh3".into(), cpe }]);
    }

    #[test]
    fn a_title_without_end_is_cut() {
        assert_eq!(title(&format!("<title>{}", "é".repeat(5000))).map(|t| t.chars().count()), Some(1024));
        assert_eq!(title("<title"), None);
    }

    proptest::proptest! {
        #[test]
        fn looking_for_a_title_never_panics(body in "(<title|</title|>|é|[ -~]{0,3}){0,12}") {
            let _ = title(&body);
        }
    }
}
