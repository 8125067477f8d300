//! Address: what may be asked, and what may not?
//!
//! Metadata and feeds name addresses, and whoever changes them would like us to ask other hosts, our own among them.
//! Only the origin of the metadata and those that the operator names are asked; without TLS only this host itself.
//! Source: CSAF 2.0, sections 7.1.2 (filename), 7.1.3 (TLS).

use std::fmt;

use ureq::http::Uri;

/// The longest address that is read, in bytes.
const LONGEST: usize = 2048;

/// The address of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    origin: String,
    path: String,
}

/// Why a text is no address that is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct NoAddress {
    why: &'static str,
}

impl Address {
    /// Reads `https://host/path`; `http` for this host itself alone.
    ///
    /// # Errors
    ///
    /// [`NoAddress`] says why it is not asked.
    pub fn parse(text: &str) -> Result<Self, NoAddress> {
        let no = |why| Err(NoAddress { why });
        if text.len() > LONGEST {
            return no("it is longer than any address");
        }
        let Ok(uri) = text.parse::<Uri>() else { return no("it is no address") };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return no("it is no whole address with a host");
        };
        if authority.as_str().contains('@') {
            return no("it carries a login");
        }
        let host = authority.host().to_ascii_lowercase();
        let port = match (authority.port_u16(), scheme) {
            (port, "https") => port.unwrap_or(443),
            (port, "http") if is_this_host(&host) => port.unwrap_or(80),
            (_, "http") => return no("without TLS anybody on the way can change what comes"),
            _ => return no("it is neither https nor http"),
        };
        if uri.query().is_some() {
            return no("it has a query, and a file has none");
        }
        let path = uri.path().trim_start_matches('/');
        if !path.split('/').all(is_piece) {
            return no("its path does not name one file");
        }
        Ok(Self { origin: format!("{scheme}://{host}:{port}"), path: path.to_owned() })
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The path, without a slash before it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The name of the file.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// What lies below a folder, by a relative path.
    ///
    /// # Errors
    ///
    /// [`NoAddress`] if it leads elsewhere.
    pub fn below(folder: &str, relative: &str) -> Result<Self, NoAddress> {
        let is_inside = relative.split('/').all(is_piece) && !relative.contains([':', '?', '#']);
        if !is_inside {
            return Err(NoAddress { why: "it does not name a file in its folder" });
        }
        Self::parse(&format!("{}/{relative}", folder.trim_end_matches('/')))
    }

    /// The file of the same name with more behind it.
    pub(crate) fn with(&self, ending: &str) -> Self {
        Self { origin: self.origin.clone(), path: format!("{}{ending}", self.path) }
    }

    /// The path from the folder of another file; `None` if it is not below it.
    pub(crate) fn below_folder_of(&self, other: &Self) -> Option<&str> {
        let folder = other.path.strip_suffix(other.name())?;
        self.path.strip_prefix(folder).filter(|_| self.origin == other.origin)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.origin.strip_suffix(":443").filter(|origin| origin.starts_with("https:"));
        write!(f, "{}/{}", origin.unwrap_or(&self.origin), self.path)
    }
}

fn is_this_host(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// One piece of a path, which leads nowhere else, whoever decodes it and how often.
fn is_piece(piece: &str) -> bool {
    let lower = piece.to_ascii_lowercase();
    let hides = ["%2e", "%2f", "%5c", "%25", "%00"].iter().any(|code| lower.contains(code));
    !piece.is_empty() && piece != "." && piece != ".." && !hides && !piece.contains('\\')
}

/// Which origins are asked.
#[derive(Debug, Clone)]
pub struct Fence {
    origins: Vec<String>,
}

impl Fence {
    /// The origin of the metadata, and others that the operator names.
    pub fn new(metadata: &Address, named: &[Address]) -> Self {
        Self { origins: std::iter::once(metadata).chain(named).map(|one| one.origin.clone()).collect() }
    }

    /// Whether an address may be asked.
    pub fn allows(&self, at: &Address) -> bool {
        self.origins.contains(&at.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_leads_elsewhere_is_none() {
        for text in [
            "http://example.com/provider-metadata.json",
            "https://me:secret@example.com/a.json",
            "https://example.com/a/../b.json",
            "https://example.com/a/%2e%2E/b.json",
            "https://example.com/a//b.json",
            "https://example.com/",
            "https://example.com/a.json?next=1",
            "file:///etc/passwd",
            "/white/a.json",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
        let folder = "https://example.com/white/2021";
        for text in ["../a.json", "/a.json", "a//b.json", "https://other.example/a.json", "", "a.json?b", "..\\a.json"]
        {
            assert!(Address::below(folder, text).is_err(), "{text}");
        }
        assert_eq!(Address::below(folder, "2021/a.json").unwrap().path(), "white/2021/2021/a.json");
    }

    #[test]
    fn another_port_is_another_origin() {
        let at = |text: &str| Address::parse(text).unwrap();
        let fence = Fence::new(&at("https://Example.com/a.json"), &[at("https://files.example:8443/x")]);
        assert!(
            fence.allows(&at("https://example.com:443/b.json")) && fence.allows(&at("https://files.example:8443/y"))
        );
        assert!(!fence.allows(&at("https://example.com:8443/b.json")) && !fence.allows(&at("http://127.0.0.1/b.json")));
        assert_eq!(at("https://example.com/a.json").to_string(), "https://example.com/a.json");
    }
}
