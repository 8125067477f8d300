//! Import: what do other tools know of our addresses?
//!
//! Serves ED 21-03 action 1: a count by one scanner from one place misses what others see. Results of nmap, masscan,
//! Shodan and Censys, tables, zone files and lists of certificates become claims of one form, each with its source.
//! What kind a file is, its content tells. A claim is what somebody else says: it counts an instance that we could
//! not ask, and never replaces what we saw ourselves. Never resolves a name, opens no file that a file names.
//! Source: nmap 7.93 `nmap.dtd`; masscan `-oJ`; Shodan "Banner Specification"; Censys "Host dataset"; RFC 1035
//! section 5; crt.sh `output=json`.

mod json;
mod nmap;
mod table;
mod weigh;
mod zone;

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;

pub(crate) use self::weigh::{Own, weigh};

/// Bounds of what is read from one file.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a file: the XML of a scan of a /16 with versions has 100 MB.
    pub bytes: u64,
    /// Claims of a file: a scan of every port of a /22 has no more.
    pub claims: usize,
    /// Bytes of one text: stops the title of a megabyte that a scanner kept.
    pub text: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 512 << 20, claims: 1_000_000, text: 4096 }
    }
}

/// Which tool wrote a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// `nmap -oX`.
    Nmap,
    /// `masscan -oJ`.
    Masscan,
    /// A table with a line of names: CSV, or with semicolons or tabs.
    Table,
    /// Shodan's export, JSON.
    Shodan,
    /// Censys' export of hosts, JSON.
    Censys,
    /// A zone file.
    Zone,
    /// Certificates of the transparency logs, as crt.sh gives them, JSON.
    Certificates,
}

impl Kind {
    /// What people call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nmap => "nmap",
            Self::Masscan => "masscan",
            Self::Table => "table",
            Self::Shodan => "Shodan",
            Self::Censys => "Censys",
            Self::Zone => "zone file",
            Self::Certificates => "certificates",
        }
    }
}

/// What a port was like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Port {
    /// Something listens.
    #[default]
    Open,
    /// It refused.
    Closed,
    /// Nothing came back, or somebody between said no.
    Filtered,
}

/// What a file says about one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The address.
    pub address: IpAddr,
    /// The TCP port; `None` where the file speaks of the address alone.
    pub port: Option<u16>,
    /// What the port was like.
    pub state: Port,
    /// When it was seen.
    pub at: Option<Timestamp>,
    /// Names of the host.
    pub names: Vec<String>,
    /// What the tool calls the product.
    pub product: Option<String>,
    /// The version that goes with it, as the tool writes it.
    pub version: Option<String>,
    /// CPE names, `cpe:/a:...` or `cpe:2.3:a:...`.
    pub cpe: Vec<String>,
    /// What the server said, by the kind of string as Recog calls it: `html_title`, `http_header.server`, `ssh.banner`.
    pub texts: Vec<(&'static str, String)>,
    /// SHA-256 of the public key of its certificate, in hex.
    pub certificate_key: Option<String>,
    /// Host names that its certificate is for.
    pub certificate_names: Vec<String>,
}

impl Claim {
    /// Says nothing yet.
    pub(crate) fn of(address: IpAddr) -> Self {
        Self {
            address: address.to_canonical(),
            port: None,
            state: Port::Open,
            at: None,
            names: Vec::new(),
            product: None,
            version: None,
            cpe: Vec::new(),
            texts: Vec::new(),
            certificate_key: None,
            certificate_names: Vec::new(),
        }
    }
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Its name, for witnesses and gaps.
    pub file: String,
    /// Which tool wrote it.
    pub kind: Kind,
    /// What it says about addresses, in its order.
    pub claims: Vec<Claim>,
    /// Names of hosts without an address: names are not resolved.
    pub names: Vec<String>,
    /// Entries that were not understood.
    pub strange: u64,
    /// Entries beyond the limit.
    pub beyond: u64,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is larger than the limit.
    #[error("{file} has {size} bytes, more than {limit}")]
    TooLarge {
        /// The file.
        file: String,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// It is none of the known kinds.
    #[error("{file} is no result of a known tool: {why}")]
    Unknown {
        /// The file.
        file: String,
        /// What was looked for.
        why: String,
    },
    /// It breaks off or is damaged, and nothing was read before that.
    #[error("{file}, {place}: {problem}")]
    Broken {
        /// The file.
        file: String,
        /// Where.
        place: String,
        /// What is wrong.
        problem: String,
    },
}

/// Which column of a table holds what: `address`, `port`, `name`, `product`, `version`.
pub type Columns = BTreeMap<String, String>;

impl Import {
    /// Reads a file. `columns` says what the columns of a table are called, where their names do not.
    ///
    /// # Errors
    ///
    /// [`Error`] if nothing of it can be used. What is damaged further in is counted, and what stands before is used.
    pub fn read(file: &str, bytes: &[u8], columns: &Columns, limits: &Limits) -> Result<Self, Error> {
        if bytes.len() as u64 > limits.bytes {
            return Err(Error::TooLarge { file: file.to_owned(), size: bytes.len() as u64, limit: limits.bytes });
        }
        let mut out = Collector { limits, claims: Vec::new(), names: Vec::new(), strange: 0, beyond: 0 };
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let begins = bytes.trim_ascii_start();
        let read = match begins.first() {
            Some(b'<') => nmap::read(begins, &mut out).map(|()| Kind::Nmap),
            Some(b'[' | b'{') => json::read(begins, &mut out),
            _ if zone::is_zone(bytes) => zone::read(bytes, &mut out).map(|()| Kind::Zone),
            _ => table::read(bytes, columns, &mut out).map(|()| Kind::Table),
        };
        let has_some = !(out.claims.is_empty() && out.names.is_empty());
        let kind = match read {
            Ok(kind) => kind,
            Err(Wrong { kind: Some(kind), .. }) if has_some => {
                out.strange += 1;
                kind
            }
            Err(Wrong { kind: None, problem, .. }) => {
                return Err(Error::Unknown { file: file.to_owned(), why: problem });
            }
            Err(Wrong { place, problem, .. }) => return Err(Error::Broken { file: file.to_owned(), place, problem }),
        };
        let Collector { claims, mut names, strange, beyond, .. } = out;
        names.sort();
        names.dedup();
        Ok(Self { file: file.to_owned(), kind, claims, names, strange, beyond })
    }
}

/// Why reading stopped.
struct Wrong {
    /// `None`: it is no such file at all.
    kind: Option<Kind>,
    place: String,
    problem: String,
}

impl Wrong {
    fn other(problem: impl Into<String>) -> Self {
        Self { kind: None, place: String::new(), problem: problem.into() }
    }

    fn at(kind: Kind, place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { kind: Some(kind), place: place.into(), problem: problem.into() }
    }
}

/// Takes claims, within bounds.
struct Collector<'l> {
    limits: &'l Limits,
    claims: Vec<Claim>,
    names: Vec<String>,
    strange: u64,
    beyond: u64,
}

impl Collector<'_> {
    fn claim(&mut self, mut claim: Claim) {
        if self.claims.len() >= self.limits.claims {
            self.beyond += 1;
            return;
        }
        let limit = self.limits.text;
        claim.names.iter_mut().for_each(|name| cut(name, limit));
        claim.texts.iter_mut().for_each(|(_, text)| cut(text, limit));
        claim.cpe.iter_mut().for_each(|cpe| cut(cpe, limit));
        claim.product.iter_mut().chain(&mut claim.version).for_each(|text| cut(text, limit));
        self.claims.push(claim);
    }

    fn name(&mut self, name: &str) {
        if self.names.len() >= self.limits.claims {
            self.beyond += 1;
        } else if let Some(name) = host_name(name) {
            self.names.push(name);
        }
    }
}

fn cut(text: &mut String, limit: usize) {
    let end = text.floor_char_boundary(limit);
    text.truncate(end);
}

/// A name as it is compared: small letters, without the dot at its end; `None` for what is none.
fn host_name(name: &str) -> Option<String> {
    let name = name.trim().trim_end_matches('.').to_ascii_lowercase();
    let is_name = !name.is_empty() && name.len() <= 253 && !name.contains(['@', ' ', '/']) && name.contains('.');
    is_name.then_some(name)
}

#[cfg(test)]
mod tests;
