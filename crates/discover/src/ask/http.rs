//! HTTP: which pages does the server give to a visitor?
//!
//! Inside TLS, or in the clear where the port does not speak TLS. A redirection is followed once,
//! and only to the same address and port. Compression is not asked for, so that no bomb can come.
//! Source: RFC 9110 section 15.4 (redirection), RFC 9112.

use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, HOST, LOCATION, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::certificate::Certificate;
use super::tls::{Handshake, shake};
use super::{Answer, Icon, Page, Questions, Trouble, icon, jarm};
use crate::fence::Fence;
use crate::limits::Limits;

/// Asks for every path, in order. A server that is slow or garbled once is not asked again.
pub(super) async fn ask(
    fence: &Fence,
    limits: &Limits,
    questions: &Questions,
    target: SocketAddr,
    stream: TcpStream,
    answer: &mut Answer,
) {
    if questions.is_only_ssh() {
        return;
    }
    let mut visitor = Visitor { fence, limits, questions, target, answer, inside_tls: None, line: None };
    if let Err(trouble) = visitor.visit_all(stream).await {
        visitor.answer.troubles.push(trouble);
    }
    visitor.line = None;
    if questions.jarm && visitor.inside_tls == Some(true) {
        match jarm::ask(fence, limits, target).await {
            Some(jarm) => answer.jarm = Some(jarm),
            None => answer.troubles.push(missing("the fingerprint of its TLS", "it did not answer a hello in time")),
        }
    }
}

struct Visitor<'a> {
    fence: &'a Fence,
    limits: &'a Limits,
    questions: &'a Questions,
    target: SocketAddr,
    /// Filled as we go, so that nothing is lost when time runs out.
    answer: &'a mut Answer,
    /// Whether the port speaks TLS, once that is known.
    inside_tls: Option<bool>,
    line: Option<Line>,
}

/// A connection that can take a request. Dropping it closes the connection.
struct Line {
    sender: SendRequest<Empty<Bytes>>,
    /// Drives the connection; aborted when dropped.
    _driver: JoinSet<()>,
    used: bool,
}

/// What came for one request.
struct Exchanged {
    page: Page,
    /// The body as it came.
    bytes: Vec<u8>,
    /// Whether there was more of it.
    cut: bool,
}

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

impl Visitor<'_> {
    async fn visit_all(&mut self, stream: TcpStream) -> Result<(), Trouble> {
        self.open(Some(stream)).await?;
        if self.answer.banner.is_some() {
            return Ok(());
        }
        for path in &self.questions.paths {
            self.visit(path).await?;
        }
        if self.questions.has_product(self.answer) {
            for path in &self.questions.versions {
                self.visit(path).await?;
            }
        } else {
            for path in &self.questions.further {
                if self.questions.has_neighbour(self.answer) {
                    break;
                }
                self.visit(path).await?;
            }
        }
        if self.questions.icon { self.see_icon().await } else { Ok(()) }
    }

    /// Asks for the icon that a page names, or for the one that every visitor asks for.
    async fn see_icon(&mut self) -> Result<(), Trouble> {
        let named = self.answer.pages.iter().find_map(|page| icon::named_by(&page.body));
        let named = named.and_then(|href| self.same_server(&absolute(href)));
        for path in [named, Some(Uri::from_static("/favicon.ico"))].into_iter().flatten() {
            let Exchanged { page, bytes, cut } = self.exchange(&path, &format!("the icon {path}")).await?;
            if page.status == 200 && !bytes.is_empty() && !cut {
                self.answer.icons.push(Icon::of(&bytes));
                break;
            }
        }
        Ok(())
    }

    /// Asks for one path, follows one redirection, and keeps what comes.
    async fn visit(&mut self, path: &Uri) -> Result<(), Trouble> {
        let name = path.to_string();
        let next = self.fetch(path, &name).await?;
        if let Some(next) = next {
            self.fetch(&next, &name).await?;
        }
        Ok(())
    }

    /// Asks for one path; gives where the answer redirects to, if that is the same server.
    async fn fetch(&mut self, path: &Uri, name: &str) -> Result<Option<Uri>, Trouble> {
        let what = format!("the answer for {name}");
        let Exchanged { mut page, cut, .. } = self.exchange(path, &what).await?;
        name.clone_into(&mut page.path);
        if cut && !self.questions.is_beginning_enough(name) {
            self.answer.troubles.push(Trouble::TooLarge { what, limit: self.limits.body_bytes });
        }
        let moved = matches!(page.status, 301 | 302 | 303 | 307 | 308);
        let next = page.header(LOCATION.as_str()).next().filter(|_| moved).and_then(|to| self.same_server(to));
        self.answer.pages.push(page);
        Ok(next)
    }

    /// Asks for a path and reads what comes, within its time.
    async fn exchange(&mut self, path: &Uri, what: &str) -> Result<Exchanged, Trouble> {
        let within = self.limits.answer;
        let exchange = async {
            let response = self.request(path, what).await?;
            self.read(response, what).await
        };
        match timeout(within, exchange).await {
            Ok(done) => done,
            Err(_) => Err(Trouble::Timeout { what: what.to_owned(), within }),
        }
    }

    /// Sends a request; on a kept connection that turns out to be closed, once more on a new one.
    async fn request(&mut self, path: &Uri, what: &str) -> Result<Response<Incoming>, Trouble> {
        loop {
            // Waits until the connection has taken notice of the last answer; an error means closed.
            let ready = match &mut self.line {
                Some(line) => line.sender.ready().await.is_ok(),
                None => false,
            };
            if !ready {
                self.open(None).await?;
            }
            let request = self.compose(path);
            let Some(line) = &mut self.line else {
                return Err(missing(what, "no connection"));
            };
            let kept = std::mem::replace(&mut line.used, true);
            match line.sender.send_request(request).await {
                Ok(response) => return Ok(response),
                // Closed without a word, cut off or reset: the server had done with this connection.
                Err(err) if kept && !err.is_parse() => self.line = None,
                Err(err) => return Err(self.explain(what, &err)),
            }
        }
    }

    fn compose(&self, path: &Uri) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = path.clone();
        let headers = request.headers_mut();
        // An address and a port are always a valid header value.
        if let Ok(host) = self.target.to_string().try_into() {
            headers.insert(HOST, host);
        }
        headers.insert(USER_AGENT, self.questions.user_agent.clone());
        headers.insert(ACCEPT, hyper::header::HeaderValue::from_static("*/*"));
        request
    }

    /// Reads the page up to the limit, and says whether it was cut.
    async fn read(&mut self, response: Response<Incoming>, what: &str) -> Result<Exchanged, Trouble> {
        let (head, mut body) = response.into_parts();
        let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = head.headers.iter().map(|(key, value)| (key.as_str().to_owned(), text(value))).collect();
        let mut bytes = Vec::new();
        let limit = self.limits.body_bytes;
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
                // Sent more or less than announced: what came is still an answer.
                Err(_) if !bytes.is_empty() => break,
                Err(err) => return Err(self.explain(what, &err)),
            }
            if bytes.len() > limit {
                break;
            }
        }
        let cut = bytes.len() > limit;
        bytes.truncate(limit);
        if cut || !body.is_end_stream() {
            self.line = None;
        }
        let body = String::from_utf8_lossy(&bytes).into_owned();
        let page = Page { path: String::new(), status: head.status.as_u16(), headers, body };
        Ok(Exchanged { page, bytes, cut })
    }

    /// Where a redirection leads, if it stays with this address and port.
    fn same_server(&self, to: &str) -> Option<Uri> {
        let uri: Uri = to.parse().ok()?;
        if let Some(authority) = uri.authority() {
            let scheme = uri.scheme_str()?;
            let default = if scheme == "https" { 443 } else { 80 };
            let ip = authority.host().trim_matches(['[', ']']).parse().ok()?;
            let same = SocketAddr::new(ip, authority.port_u16().unwrap_or(default)) == self.target;
            if !same || (scheme == "https") != self.inside_tls? {
                return None;
            }
        }
        let path = uri.path_and_query()?.as_str();
        if path.starts_with('/') { path.parse().ok() } else { None }
    }

    /// Opens a connection that can take requests, on `stream` if there is one already.
    async fn open(&mut self, stream: Option<TcpStream>) -> Result<(), Trouble> {
        self.line = None;
        let mut stream = match stream {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        if self.inside_tls != Some(false) {
            match shake(self.limits, self.target, stream).await {
                Handshake::Done(inside) => {
                    self.inside_tls = Some(true);
                    let shown = inside.get_ref().1.peer_certificates().and_then(<[_]>::first);
                    self.answer.certificate = shown.and_then(|der| Certificate::read(der));
                    return self.begin(inside).await;
                }
                Handshake::Trouble(trouble) => return Err(trouble),
                Handshake::Ssh(banner) => {
                    self.answer.banner = Some(banner);
                    return Ok(());
                }
                Handshake::NotTls if self.inside_tls == Some(true) => {
                    return Err(missing("a second TLS handshake", "it worked the first time"));
                }
                Handshake::NotTls => {
                    self.inside_tls = Some(false);
                    stream = self.connect().await?;
                }
            }
        }
        self.begin(Box::new(stream)).await
    }

    async fn connect(&self) -> Result<TcpStream, Trouble> {
        // It has taken one connection before, so that silence is loss.
        let (patience, tries) = (self.limits.connect, self.limits.persistence);
        self.fence
            .connect_again(self.target, patience, tries)
            .await
            .map_err(|err| missing("another connection", &err.to_string()))
    }

    async fn begin(&mut self, wire: Box<dyn Wire>) -> Result<(), Trouble> {
        let mut builder = http1::Builder::new();
        builder.max_headers(self.limits.headers).max_buf_size(self.limits.head_bytes);
        let (sender, connection) =
            builder.handshake(TokioIo::new(wire)).await.map_err(|err| self.explain("a connection", &err))?;
        let mut driver = JoinSet::new();
        // How a connection ends is told to whoever waits for an answer.
        driver.spawn(async move { drop(connection.await) });
        self.line = Some(Line { sender, _driver: driver, used: false });
        Ok(())
    }

    fn explain(&self, what: &str, err: &hyper::Error) -> Trouble {
        let what = what.to_owned();
        if err.is_parse_too_large() {
            return Trouble::TooLarge { what: format!("the head of {what}"), limit: self.limits.head_bytes };
        }
        let problem = std::error::Error::source(err).map_or_else(|| err.to_string(), |cause| format!("{err}: {cause}"));
        if err.is_parse() { Trouble::Garbled { what, problem } } else { Trouble::Missing { what, problem } }
    }
}

/// The address of an icon from the server's root: pages stand in many folders, icons nearly always below the root.
fn absolute(href: &str) -> String {
    let is_whole = href.contains("://") || href.starts_with('/');
    if is_whole { href.to_owned() } else { format!("/{}", href.trim_start_matches("./")) }
}

fn missing(what: &str, problem: &str) -> Trouble {
    Trouble::Missing { what: what.to_owned(), problem: problem.to_owned() }
}
