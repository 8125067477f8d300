//! Signs: does an answer show what a probe says that it shows?
//!
//! All parts of one sign must hold; one sign suffices. Never guesses: a part that was not heard does not hold.

use directive::probe::{Over, Probe, Sign};

use crate::ask::{Answer, Page};

/// Whether one of the probe's signs holds.
pub(crate) fn identifies(probe: &Probe, answer: &Answer) -> bool {
    probe.identifies.iter().any(|sign| shows(sign, probe, answer))
}

/// The pages that a probe is about.
pub(crate) fn pages<'a>(probe: &'a Probe, answer: &'a Answer) -> impl Iterator<Item = &'a Page> {
    answer.pages.iter().filter(|page| match probe.over {
        Over::Http => page.path == probe.path,
        Over::Pages => true,
        _ => false,
    })
}

/// What was said in words: an SSH banner, or the answer to a handshake over UDP.
pub(crate) fn said(over: Over, answer: &Answer) -> Option<&str> {
    match over {
        Over::Http | Over::Pages | Over::Tls => None,
        Over::Ssh => answer.banner.as_deref(),
        _ => answer.spoken.as_ref().filter(|spoken| spoken.over == over).map(|spoken| spoken.text.as_str()),
    }
}

fn shows(sign: &Sign, probe: &Probe, answer: &Answer) -> bool {
    let Sign { banner, certificate, icon, jarm, .. } = sign;
    let of_page = !sign.is_of_a_page() || pages(probe, answer).any(|page| page_shows(sign, page));
    let names = answer.certificate.iter().flat_map(|certificate| [&certificate.subject, &certificate.issuer]);
    !sign.is_empty()
        && of_page
        && banner.as_ref().is_none_or(|pattern| said(probe.over, answer).is_some_and(|said| pattern.is_match(said)))
        && certificate.as_ref().is_none_or(|pattern| names.clone().any(|name| pattern.is_match(name)))
        && icon.as_ref().is_none_or(|pattern| answer.icons.iter().any(|icon| pattern.is_match(&icon.md5)))
        && jarm.as_ref().is_none_or(|pattern| answer.jarm.iter().any(|jarm| pattern.is_match(jarm)))
}

fn page_shows(sign: &Sign, page: &Page) -> bool {
    let header = |name: &String| page.header(name).any(|value| sign.matches.as_ref().is_none_or(|m| m.is_match(value)));
    sign.status.is_none_or(|status| status == page.status)
        && sign.header.as_ref().is_none_or(header)
        && sign.body.as_ref().is_none_or(|pattern| pattern.is_match(&page.body))
}

#[cfg(test)]
mod tests {
    use directive::probe::Probes;

    use super::*;
    use crate::ask::{Certificate, Icon};

    /// Whether an answer with everything in it shows a sign.
    #[track_caller]
    fn check(over: &str, sign: &str, expected: bool) {
        let text = format!("[[probe]]\nid = \"a\"\n{over}\nidentifies = [{sign}]");
        let probes: Probes = toml::from_str(&text).unwrap();
        let page = |path: &str, status, header: (&str, &str)| Page {
            path: path.into(),
            status,
            headers: vec![(header.0.into(), header.1.into())],
            body: "<title>Gate</title>".into(),
        };
        let answer = Answer {
            banner: Some("Gate_1".into()),
            certificate: Some(Certificate {
                subject: "CN=gate,O=Example".into(),
                issuer: "CN=Maker".into(),
                key: "00".into(),
                names: Default::default(),
            }),
            pages: vec![page("/", 302, ("location", "/gate")), page("/other", 200, ("server", "Gate"))],
            icons: vec![Icon { md5: "900150983cd24fb0d6963f7d28e17f72".into(), mmh3: 7 }],
            jarm: Some("2ad2ad".into()),
            ..Answer::default()
        };
        assert_eq!(identifies(&probes.probes[0], &answer), expected, "{sign}");
    }

    #[test]
    fn a_page_shows_signs_of_its_own_path_only() {
        let root = "over = \"http\"\npath = \"/\"";
        check(root, "{ header = \"location\", matches = \"^/gate\" }", true);
        check(root, "{ header = \"server\" }", false);
        check(root, "{ status = 200, body = \"Gate\" }", false);
        check("over = \"pages\"", "{ header = \"server\" }", true);
        check("over = \"pages\"", "{ status = 200, header = \"location\" }", false);
    }

    #[test]
    fn a_certificate_shows_subject_and_issuer() {
        check("over = \"tls\"", "{ certificate = \"O=Example\" }", true);
        check("over = \"tls\"", "{ certificate = \"^CN=Maker$\" }", true);
        check("over = \"tls\"", "{ certificate = \"O=Other\" }", false);
        check("over = \"tls\"", "{ header = \"server\" }", false);
    }

    #[test]
    fn all_parts_must_hold_wherever_they_come_from() {
        check("over = \"pages\"", "{ header = \"server\", certificate = \"O=Example\", jarm = \"^2ad\" }", true);
        check("over = \"pages\"", "{ header = \"server\", certificate = \"O=Example\", jarm = \"^29d\" }", false);
        check("over = \"tls\"", "{ icon = \"^9001\" }", true);
        check("over = \"ssh\"", "{ banner = \"^Gate\" }", true);
        check("over = \"ssh\"", "{}", false);
    }
}
