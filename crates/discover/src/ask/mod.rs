//! Ask: what does an address that accepted a connection have to say?
//!
//! One banner or a few pages, by harmless requests that any visitor could send and that name their
//! sender. Never logs in, never exploits, never trusts a certificate.
//! What goes wrong on the way is a [`Trouble`], and later a gap: the other side may be hostile.

mod certificate;
mod host_key;
mod http;
mod icon;
mod jarm;
mod listening;
mod ssh;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use directive::probe::{Over, Probe};
use directive::product::Product;
use hyper::Uri;
use hyper::header::HeaderValue;
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) use self::certificate::Certificate;
pub(crate) use self::icon::Icon;
use crate::fence::Fence;
use crate::limits::Limits;
use crate::recog::Database;
use crate::{identify, signs};

/// What all packs together want to know.
#[derive(Debug)]
pub(crate) struct Questions {
    /// Whether anybody asks for an SSH banner.
    pub(crate) ssh: bool,
    /// Whether anybody asks for a certificate, or for the way in which the server speaks TLS.
    pub(crate) tls: bool,
    /// Paths to ask for over HTTP, each once.
    pub(crate) paths: Vec<Uri>,
    /// For each path with a version, one that nobody has: whoever gives the same page there is no such server.
    pub(crate) controls: BTreeMap<String, Uri>,
    /// Paths whose answers tell a version and nothing else: to ask for where a product was recognised.
    pub(crate) versions: Vec<Uri>,
    /// Paths to ask for where no product was recognised, until a neighbour is.
    pub(crate) further: Vec<Uri>,
    /// Whether anybody asks for the icon.
    pub(crate) icon: bool,
    /// Whether anybody asks for the fingerprint of TLS, which takes ten connections more.
    pub(crate) jarm: bool,
    /// How products are recognised, and their neighbours.
    pub(crate) products: Vec<Probe>,
    /// Products with databases of fingerprints that may name them.
    pub(crate) databases: Vec<(Product, Vec<Database>)>,
    pub(crate) neighbours: Vec<Probe>,
    /// Who asks.
    pub(crate) user_agent: HeaderValue,
}

impl Questions {
    /// Asks for one page and nothing else.
    pub(crate) fn only(&self, path: Uri) -> Self {
        Self {
            ssh: false,
            tls: false,
            paths: vec![path],
            controls: BTreeMap::new(),
            versions: Vec::new(),
            further: Vec::new(),
            icon: false,
            jarm: false,
            products: Vec::new(),
            databases: Vec::new(),
            neighbours: Vec::new(),
            user_agent: self.user_agent.clone(),
        }
    }

    /// Whether nothing is asked inside of a connection but a banner.
    fn is_only_ssh(&self) -> bool {
        self.paths.is_empty() && self.further.is_empty() && !self.tls && !self.icon && !self.jarm
    }

    /// Whether the beginning of the page of that path says all that anybody wants to know. A neighbour shows itself
    /// there or not at all.
    fn is_beginning_enough(&self, path: &str) -> bool {
        self.products.iter().filter(|probe| probe.path == path).all(|probe| probe.beginning)
    }

    fn has_product(&self, answer: &Answer) -> bool {
        self.products.iter().any(|probe| signs::identifies(probe, answer))
            || self.databases.iter().any(|(product, databases)| identify::is_named(product, databases, answer))
    }

    fn has_neighbour(&self, answer: &Answer) -> bool {
        self.neighbours.iter().any(|probe| signs::identifies(probe, answer))
    }
}

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// An SSH identification without its `SSH-2.0-`.
    pub(crate) banner: Option<String>,
    /// The fingerprint of the SSH host key.
    pub(crate) host_key: Option<String>,
    /// Whether a made-up path gives the same page as one with a version.
    pub(crate) repeats_itself: bool,
    /// What the certificate says, where the port speaks TLS.
    pub(crate) certificate: Option<Certificate>,
    /// Pages, in the order in which they were asked for.
    pub(crate) pages: Vec<Page>,
    /// Icons that the pages name.
    pub(crate) icons: Vec<Icon>,
    /// How the server speaks TLS, in 62 digits.
    pub(crate) jarm: Option<String>,
    /// What was said over UDP.
    pub(crate) spoken: Option<Spoken>,
    /// What could not be heard.
    pub(crate) troubles: Vec<Trouble>,
}

/// The answer to a handshake over UDP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spoken {
    /// Which handshake it answers.
    pub(crate) over: Over,
    /// What it says, in words.
    pub(crate) text: String,
}

/// One HTTP answer.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// The path that a probe asked for; the same for what a redirection led to.
    pub(crate) path: String,
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// Decoded as UTF-8 with replacement, and cut at the limit.
    pub(crate) body: String,
}

impl Page {
    pub(crate) fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Why an answer was not, or not wholly, heard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("{what} is larger than {limit} bytes; the rest was not read")]
    TooLarge { what: String, limit: usize },
    #[error("{what} did not come within {within:?}")]
    Timeout { what: String, within: Duration },
    #[error("{what} is no such thing: {problem}")]
    Garbled { what: String, problem: String },
    #[error("{what} never came: {problem}")]
    Missing { what: String, problem: String },
    #[error("it speaks TLS, but no version and cipher that we do: {problem}")]
    NoCommonTls { problem: String },
    #[error("what it sent used up the steps of fingerprints, which may match or not: {which}")]
    Exhausted { which: String },
}

impl Trouble {
    /// The gap's code; each has a heading in `docs/findings.md`.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "answer-too-large",
            Self::Timeout { .. } => "answer-timeout",
            Self::Garbled { .. } => "answer-garbled",
            Self::Missing { .. } => "answer-missing",
            Self::NoCommonTls { .. } => "tls-not-shared",
            Self::Exhausted { .. } => "fingerprint-exhausted",
        }
    }
}

/// Asks everything over a connection that was just opened, and over more of them if need be.
pub(crate) async fn ask(
    fence: &Fence,
    limits: &Limits,
    questions: &Questions,
    target: SocketAddr,
    stream: TcpStream,
) -> Answer {
    let mut answer = Answer::default();
    let talk = converse(fence, limits, questions, target, stream, &mut answer);
    if timeout(limits.conversation, talk).await.is_err() {
        let what = "the end of the conversation".to_owned();
        answer.troubles.push(Trouble::Timeout { what, within: limits.conversation });
    }
    answer
}

async fn converse(
    fence: &Fence,
    limits: &Limits,
    questions: &Questions,
    target: SocketAddr,
    mut stream: TcpStream,
    answer: &mut Answer,
) {
    if questions.ssh {
        // Only where nothing else will be asked do we speak first: a web server would be confused.
        let heard = match ssh::listen(&mut stream, limits).await {
            ssh::Heard::Nothing if questions.is_only_ssh() => ssh::introduce(&mut stream, limits).await,
            heard => heard,
        };
        match heard {
            ssh::Heard::Banner(banner) => {
                answer.banner = Some(banner);
                answer.host_key = host_key::ask(fence, limits, target).await;
            }
            ssh::Heard::Trouble(trouble) => answer.troubles.push(trouble),
            // Whoever speaks first and is not SSH is not a web server either.
            ssh::Heard::Other => {}
            ssh::Heard::Nothing => http::ask(fence, limits, questions, target, stream, answer).await,
        }
    } else {
        http::ask(fence, limits, questions, target, stream, answer).await;
    }
}
