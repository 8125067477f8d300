//! Marks: what does an answer show that two instances do not share by chance?
//!
//! Keys, names and cookies of one address, kept when its pages are dropped. Whoever controls an instance can copy all
//! of them but a private key; `merge.rs` weighs what two addresses have in common.
//! Source: RFC 5280 section 4.1 (public key), section 4.2.1.6 (names); RFC 6265 section 4.1 (names of cookies).

use std::collections::BTreeSet;

use crate::ask::Answer;

/// Cookies that are looked at; a server sends a handful.
const MOST: usize = 20;

/// Headers in which a node of a cluster names itself, in lower case.
const NODE_HEADERS: [&str; 4] = ["x-served-by", "x-backend-server", "x-feserver", "x-node"];

/// What one address shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// SHA-256 of the certificate's public key, in hex: whoever shows it has the private one.
    pub(crate) certificate_key: Option<String>,
    /// Host names that the certificate is for, in lower case.
    pub(crate) names: BTreeSet<String>,
    /// The SSH host key's fingerprint.
    pub(crate) host_key: Option<String>,
    /// Names of cookies, without the values, which are of one session.
    pub(crate) cookies: BTreeSet<String>,
    /// What a node of a cluster calls itself.
    pub(crate) nodes: BTreeSet<String>,
    /// What was said over UDP.
    pub(crate) spoken: Option<String>,
    /// It gives the same page for a path that does not exist.
    pub(crate) repeats_itself: bool,
}

impl Marks {
    /// Reads them off an answer.
    pub(crate) fn of(answer: &Answer) -> Self {
        let certificate = answer.certificate.as_ref();
        let cookies = answer.pages.iter().flat_map(|page| page.header("set-cookie")).take(MOST);
        let cookies = cookies.filter_map(|cookie| cookie.split('=').next().map(|name| name.trim().to_owned()));
        let nodes = NODE_HEADERS.iter().flat_map(|name| answer.pages.iter().flat_map(|page| page.header(name)));
        Self {
            certificate_key: certificate.map(|certificate| certificate.key.clone()),
            names: certificate.map(|certificate| certificate.names.clone()).unwrap_or_default(),
            host_key: answer.host_key.clone(),
            cookies: cookies.filter(|name| !name.is_empty()).collect(),
            nodes: nodes.take(MOST).map(|node| node.chars().take(253).collect()).collect(),
            spoken: answer.spoken.as_ref().map(|spoken| spoken.text.clone()),
            repeats_itself: answer.repeats_itself,
        }
    }

    /// The names that stand for one host: a wildcard stands for many, a word without a dot for whatever was shipped.
    pub(crate) fn particular(&self) -> BTreeSet<&str> {
        self.names.iter().map(String::as_str).filter(|name| name.contains('.') && !name.contains('*')).collect()
    }
}
