//! Identify: is what answered the product, and which version does it claim?
//!
//! A pack's probes decide, and its Recog databases: one sign is enough to identify, all parts of
//! that sign must hold. Everything an instance says about its version can be faked by whoever
//! controls it, and is marked so.
//! Never calls an address the product because it answers at all. Source: incident facts on version
//! evidence; ED 21-03 action 1.

use std::net::SocketAddr;

use directive::probe::{Over, Place, Probe, Sign};
use directive::product::{Product, Told};
use directive::record::Witness;

use crate::Known;
use crate::ask::{Answer, Page, Trouble};
use crate::marks::Marks;
use crate::recog::Match;

/// What one address turned out to be.
#[derive(Debug)]
pub(crate) struct Reading {
    /// By the packs that recognise it, in their order; usually none or one.
    pub(crate) identities: Vec<Identity>,
    /// What could not be heard.
    pub(crate) troubles: Vec<Trouble>,
    /// What another address of the same instance would show too.
    pub(crate) marks: Marks,
}

/// One pack recognises an address as its product.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Which of the known products.
    pub(crate) known: usize,
    /// What it says about its version.
    pub(crate) witnesses: Vec<Witness>,
}

/// Condenses an answer. The pages are dropped here: they are large.
pub(crate) fn read(known: &[Known<'_>], target: SocketAddr, answer: Answer) -> Reading {
    let identities = known.iter().enumerate().filter_map(|(index, known)| {
        let told = identify(known, target, &answer)?;
        Some(Identity { known: index, witnesses: told.iter().map(|told| known.product.witness(told)).collect() })
    });
    Reading { identities: identities.collect(), marks: Marks::of(&answer), troubles: answer.troubles }
}

/// What an answer tells about the version, or `None` if it is not the product's.
fn identify(known: &Known<'_>, target: SocketAddr, answer: &Answer) -> Option<Vec<Told>> {
    let probes = &known.probes.probes;
    let signed = probes.iter().any(|probe| {
        let pages = answer.pages.iter().filter(|page| probe.over == Over::Http && page.path == probe.path);
        let banner = said(probe.over, answer);
        probe.identifies.iter().any(|sign| {
            pages.clone().any(|page| page_shows(sign, page)) || banner.is_some_and(|banner| banner_shows(sign, banner))
        })
    });
    let recognised =
        recognise(known, &|matches| format!("recog {matches} {target}"), &|matches| texts(matches, answer));
    if !signed && recognised.is_empty() {
        return None;
    }
    let mut told: Vec<Told> = probes.iter().filter_map(|probe| version(probe, target, answer)).collect();
    if told.is_empty() {
        told.extend(recognised.into_iter().flatten().take(1));
    }
    Some(told)
}

/// What was said in words: an SSH banner, or the answer to a handshake over UDP.
fn said(over: Over, answer: &Answer) -> Option<&str> {
    match over {
        Over::Http => None,
        Over::Ssh => answer.banner.as_deref(),
        _ => answer.spoken.as_ref().filter(|spoken| spoken.over == over).map(|spoken| spoken.text.as_str()),
    }
}

fn page_shows(sign: &Sign, page: &Page) -> bool {
    let header = |name: &String| page.header(name).any(|value| sign.matches.as_ref().is_none_or(|m| m.is_match(value)));
    let says_something = sign.status.is_some() || sign.header.is_some() || sign.body.is_some();
    says_something
        && sign.banner.is_none()
        && sign.status.is_none_or(|status| status == page.status)
        && sign.header.as_ref().is_none_or(header)
        && sign.body.as_ref().is_none_or(|pattern| pattern.is_match(&page.body))
}

fn banner_shows(sign: &Sign, banner: &str) -> bool {
    let only_banner = sign.status.is_none() && sign.header.is_none() && sign.body.is_none();
    only_banner && sign.banner.as_ref().is_some_and(|pattern| pattern.is_match(banner))
}

/// The first version that a probe's answer holds.
fn version(probe: &Probe, target: SocketAddr, answer: &Answer) -> Option<Told> {
    let over_http = probe.over == Over::Http;
    let source = match probe.over {
        Over::Http => format!("http {target} {}", probe.path),
        Over::Ssh => format!("ssh-banner {target}"),
        _ => format!("udp {target}"),
    };
    probe.version.iter().find_map(|sign| {
        let pages = answer.pages.iter().filter(|page| over_http && page.path == probe.path);
        let texts: Vec<&str> = match &sign.place {
            Place::Body => pages.map(|page| page.body.as_str()).collect(),
            Place::Header(name) => pages.flat_map(|page| page.header(name)).collect(),
            Place::Banner => said(probe.over, answer).into_iter().collect(),
        };
        texts.into_iter().find_map(|text| {
            let version = sign.pattern.fill(text, &sign.template)?;
            let groups = sign.pattern.captures(text)?;
            let comment = groups.name("comment").map(|group| group.as_str().to_owned());
            Some(Told { source: source.clone(), version, comment, package: None, exact: sign.exact, fakeable: true })
        })
    })
}

/// Every Recog match that names the product, with the version in it. `texts` gives the strings of a kind, `source`
/// what a witness calls them.
pub(crate) fn recognise(
    known: &Known<'_>,
    source: &dyn Fn(&str) -> String,
    texts: &dyn Fn(&str) -> Vec<String>,
) -> Vec<Option<Told>> {
    let mut databases: Vec<_> = known.recog.iter().collect();
    databases.sort_by(|a, b| b.preference.total_cmp(&a.preference));
    let mut found = Vec::new();
    for database in databases {
        for text in texts(&database.matches) {
            let Some(matched) = database.recognise(&text) else { continue };
            if names(&matched, known.product) {
                let version = matched.facts.get("service.version");
                found.push(version.map(|version| Told {
                    source: source(&database.matches),
                    version: version.clone(),
                    exact: true,
                    fakeable: true,
                    ..Told::default()
                }));
            }
        }
    }
    found
}

/// The strings of an answer that a Recog database is about.
fn texts(matches: &str, answer: &Answer) -> Vec<String> {
    let header =
        |name: &str| answer.pages.iter().flat_map(|page| page.header(name)).map(str::to_owned).collect::<Vec<_>>();
    match matches {
        "ssh.banner" => answer.banner.iter().cloned().collect(),
        "html_title" => answer.pages.iter().filter_map(|page| title(&page.body)).collect(),
        "http_header.server" => header("server"),
        "http_header.cookie" => header("set-cookie"),
        "http_header.wwwauth" => header("www-authenticate"),
        "x509.subject" => answer.certificate.iter().map(|certificate| certificate.subject.clone()).collect(),
        "x509.issuer" => answer.certificate.iter().map(|certificate| certificate.issuer.clone()).collect(),
        _ => Vec::new(),
    }
}

/// Whether a match names the product: by its name, or by vendor and product of one of its CPEs.
fn names(matched: &Match, product: &Product) -> bool {
    let named = ["service.product", "os.product", "hw.product"].iter();
    let by_name =
        named.filter_map(|fact| matched.facts.get(*fact)).any(|name| name.eq_ignore_ascii_case(&product.name));
    let cpe = ["service.cpe23", "os.cpe23", "hw.cpe23"].iter().filter_map(|fact| matched.facts.get(*fact));
    by_name || cpe.into_iter().any(|cpe| names_product(cpe, product))
}

/// Whether a CPE is of the product, whatever its version.
pub(crate) fn names_product(cpe: &str, product: &Product) -> bool {
    vendor_and_product(cpe)
        .is_some_and(|found| product.cpe.iter().filter_map(|cpe| vendor_and_product(cpe)).any(|wanted| wanted == found))
}

/// From `cpe:/a:openbsd:openssh:9.2p1` (as Recog writes) or `cpe:2.3:a:openbsd:openssh:...`.
fn vendor_and_product(cpe: &str) -> Option<(&str, &str)> {
    let mut parts = cpe.strip_prefix("cpe:/").or_else(|| cpe.strip_prefix("cpe:2.3:"))?.split(':');
    parts.next()?;
    Some((parts.next()?, parts.next()?))
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
    use directive::probe::Probes;

    use super::*;
    use crate::recog::Database;

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

    /// What an answer amounts to: versions, `yes` without one, `no`.
    #[track_caller]
    fn check(answer: Answer, expected: &str) {
        let product: Product =
            toml::from_str("name = \"Gate\"\nvendor = \"Example\"\ncpe = [\"cpe:2.3:a:example:gate:*\"]").unwrap();
        let probes: Probes = toml::from_str(GATE).unwrap();
        let recog = [Database::parse("title.xml", RECOG).unwrap()];
        let known = [Known { pack: "p", product: &product, probes: &probes, recog: &recog }];
        let reading = read(&known, "192.0.2.1:443".parse().unwrap(), answer);
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
