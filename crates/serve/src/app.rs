//! App: which request gets which answer?
//!
//! Who asks is settled before a byte of the body is read; what one may ask is bounded (`limits.rs`). Whatever goes
//! wrong inside is told to the operator of the server and not to whoever asked.

use std::io::Read as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use attest::{RECEIPT, Receipt, SecretKey};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt as _, Limited};
use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::door::{Accepted, Door, bad};
use crate::limits::{Counter, Limits};
use crate::protocol::{ABOUT, ATTESTATION_HEADER, About, Listed, Problem, REPORTS, Signed, Taken};
use crate::store::{Kept, Outcome, Store};

/// The time now, as the authority counts it.
pub(crate) type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// Where the operator of the server is told what happened, one line each.
pub(crate) type Log = Box<dyn Fn(&str) + Send + Sync>;

/// What all requests share.
pub(crate) struct App {
    pub(crate) authority: String,
    pub(crate) door: Door,
    pub(crate) store: Mutex<Store>,
    pub(crate) key: SecretKey,
    pub(crate) clock: Clock,
    pub(crate) log: Log,
    pub(crate) limits: Limits,
    /// Reports that may still be read at once.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) by_organisation: Mutex<Counter<String>>,
    pub(crate) failures: Mutex<Counter<IpAddr>>,
}

type Answer = Result<Response, Box<Problem>>;

/// From where a request comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The routes.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route(ABOUT, get(about))
        .route(REPORTS, get(list).post(take))
        .fallback(|| async { *nowhere(StatusCode::NOT_FOUND, "there is nothing here") })
        .method_not_allowed_fallback(|| async {
            *nowhere(StatusCode::METHOD_NOT_ALLOWED, "this is not asked in that way")
        })
        .with_state(app)
}

fn nowhere(status: StatusCode, title: &str) -> Box<Problem> {
    Problem::new(status, "nowhere", title, "See docs/authority.openapi.json for what is where.")
}

async fn about(State(app): State<Arc<App>>) -> Json<About> {
    Json(About {
        authority: app.authority.clone(),
        exercise: app.door.exercise,
        directives: app.door.packs.keys().cloned().collect(),
        most_bytes: app.limits.body,
        most_unpacked: app.limits.unpacked,
    })
}

async fn list(State(app): State<Arc<App>>, Extension(peer): Extension<Peer>, headers: HeaderMap) -> Response {
    let answer = app.organisation(peer, &headers).and_then(|organisation| {
        let reports = app.store()?.reports(&organisation).map_err(|err| app.inside(&err))?;
        Ok(Json(Listed { reports }).into_response())
    });
    answer.unwrap_or_else(|problem| problem.into_response())
}

async fn take(State(app): State<Arc<App>>, Extension(peer): Extension<Peer>, request: Request<Body>) -> Response {
    let (head, mut body) = request.into_parts();
    match take_in(app, peer, &head, &mut body).await {
        Ok(answer) => answer,
        Err(problem) => {
            // Whoever closes a connection with bytes unread resets it, and the sender loses the answer that says why.
            let _ = tokio::time::timeout(LINGER, pass_over(&mut body)).await;
            problem.into_response()
        }
    }
}

/// How long a sender whose report is refused may go on sending.
const LINGER: Duration = Duration::from_secs(1);

/// How many bytes of it are read and forgotten.
const PASSED_OVER: usize = 4 << 20;

async fn pass_over(body: &mut Body) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > PASSED_OVER {
            return;
        }
    }
}

async fn take_in(app: Arc<App>, peer: Peer, head: &Parts, body: &mut Body) -> Answer {
    let organisation = app.organisation(peer, &head.headers)?;
    let signed = attestation(&head.headers)?;
    let is_packed = is_packed(&head.headers)?;
    if length(&head.headers).is_some_and(|length| length > app.limits.body) {
        return Err(Problem::large(app.limits.body, "as they are sent"));
    }
    let _room = Arc::clone(&app.room).try_acquire_owned().map_err(|_| Problem::busy())?;
    let most = usize::try_from(app.limits.body).unwrap_or(usize::MAX);
    let whole = tokio::time::timeout(app.limits.body_time, Limited::new(body, most).collect());
    let sent = whole.await.map_err(|_| Problem::slow(app.limits.body_time.as_secs()))?;
    // Either it is longer than it may be, or the connection broke: then nobody reads the answer.
    let sent = sent.map_err(|_| Problem::large(app.limits.body, "as they are sent"))?.to_bytes();
    let inside = Arc::clone(&app);
    // Reading and judging takes seconds for the largest reports: not on a thread that serves the others.
    let done = tokio::task::spawn_blocking(move || inside.keep(&organisation, &signed, &sent, is_packed)).await;
    done.unwrap_or_else(|_| Err(Problem::inside()))
}

impl App {
    /// The organisation whose token came with a request.
    fn organisation(&self, Peer(address): Peer, headers: &HeaderMap) -> Result<String, Box<Problem>> {
        let now = Instant::now();
        if let Some(seconds) = lock(&self.failures).is_over(&address, now) {
            return Err(Problem::often(seconds));
        }
        let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = token.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim);
        let found = match token {
            Some(token) => self.store()?.organisation(token).map_err(|err| self.inside(&err))?,
            None => None,
        };
        let Some(organisation) = found else {
            lock(&self.failures).add(address, now);
            return Err(Problem::token());
        };
        let mut counter = lock(&self.by_organisation);
        if let Some(seconds) = counter.is_over(&organisation, now) {
            return Err(Problem::often(seconds));
        }
        counter.add(organisation.clone(), now);
        Ok(organisation)
    }

    /// Judges a report and keeps it.
    fn keep(&self, organisation: &str, signed: &Signed, sent: &[u8], is_packed: bool) -> Answer {
        let unpacked;
        let report = if is_packed {
            unpacked = unpack(sent, self.limits.unpacked)?;
            &unpacked[..]
        } else {
            sent
        };
        let officers = self.store()?.officers(organisation).map_err(|err| self.inside(&err))?;
        let accepted = self.door.judge(organisation, &officers, signed, report)?;
        let repacked;
        let packed = if is_packed {
            sent
        } else {
            repacked = pack(report).map_err(|err| self.inside(&err))?;
            &repacked[..]
        };
        let now = (self.clock)();
        let kept = Kept { attestation: signed, packed };
        let outcome = self
            .store()?
            .take(&accepted.attestation, &kept, |version, last| self.receipt(&accepted, version, last, now));
        let (status, receipt) = match outcome.map_err(|err| self.inside(&err))? {
            Outcome::New(receipt) => (StatusCode::CREATED, receipt),
            Outcome::Known(receipt) => (StatusCode::OK, receipt),
            Outcome::NotNext { latest } => return Err(not_next(latest)),
        };
        (self.log)(&format!(
            "{}: {}, {}, SHA-256 {}",
            if status == StatusCode::CREATED { "taken" } else { "known" },
            organisation,
            accepted.attestation.pack.id,
            accepted.attestation.report_sha256
        ));
        Ok((status, Json(Taken { receipt, key: self.key.public().to_string() })).into_response())
    }

    fn receipt(
        &self,
        accepted: &Accepted,
        version: u32,
        last: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(Receipt, Signed), attest::KeyError> {
        let attestation = &accepted.attestation;
        let receipt = Receipt {
            authority: self.authority.clone(),
            organisation: attestation.organisation.clone(),
            directive: attestation.pack.id.clone(),
            version,
            report_sha256: attestation.report_sha256.clone(),
            replaces: attestation.replaces.clone(),
            exercise: attestation.exercise,
            officer: attestation.officer.clone(),
            role: attestation.role.clone(),
            officer_key: accepted.officer_key.fingerprint(),
            received: now,
            due: self.door.due(&attestation.pack.id, last, now),
        };
        let statement = receipt.text();
        let signature = self.key.sign(RECEIPT, &statement)?;
        Ok((receipt, Signed { statement, signature }))
    }

    fn store(&self) -> Result<MutexGuard<'_, Store>, Box<Problem>> {
        Ok(lock(&self.store))
    }

    /// Tells the operator of the server what went wrong, and whoever asked that something did.
    fn inside(&self, err: &dyn std::error::Error) -> Box<Problem> {
        (self.log)(&format!("error: {}", directive::text::chain(err)));
        Problem::inside()
    }
}

/// A thread that stumbled left nothing half done: what is behind the locks is whole after each call.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn not_next(latest: Option<String>) -> Box<Problem> {
    let detail = match &latest {
        Some(latest) => format!(
            "Your latest report here has SHA-256 {latest}. A new one must say that it replaces that one; \
             `portcullis report receipt --from` brings its receipt into the case, then attest anew."
        ),
        None => "Nothing was taken from you under this directive yet: a first report replaces none.".to_owned(),
    };
    let mut problem = *Problem::new(StatusCode::CONFLICT, "replaces", "another report is the latest", detail);
    problem.latest = latest;
    Box::new(problem)
}

fn attestation(headers: &HeaderMap) -> Result<Signed, Box<Problem>> {
    let wrong = |detail: &str| bad("attestation", "the attestation is missing or cannot be read", detail);
    let value = headers.get(ATTESTATION_HEADER).ok_or_else(|| {
        wrong("Send the officer's statement and signature as JSON in base64 in the header Portcullis-Attestation.")
    })?;
    let bytes = BASE64_STANDARD.decode(value.as_bytes()).map_err(|_| wrong("The header is not base64."))?;
    serde_json::from_slice(&bytes).map_err(|_| wrong("The header holds no statement with a signature."))
}

fn is_packed(headers: &HeaderMap) -> Result<bool, Box<Problem>> {
    let unknown = |what: &str| {
        Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "form-of-body",
            "the body has a form that is not taken",
            format!("{what}: send application/json, plain or with `Content-Encoding: gzip`."),
        )
    };
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().unwrap_or_default().trim() != "application/json" {
        return Err(unknown("The content type is another"));
    }
    match headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes()) {
        None | Some(b"identity") => Ok(false),
        Some(b"gzip") => Ok(true),
        Some(_) => Err(unknown("The encoding is another")),
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn unpack(sent: &[u8], most: u64) -> Result<Vec<u8>, Box<Problem>> {
    let mut report = Vec::new();
    let read = MultiGzDecoder::new(sent).take(most.saturating_add(1)).read_to_end(&mut report);
    read.map_err(|_| bad("report", "the report cannot be read", "It is said to be packed with gzip, and is not."))?;
    if report.len() as u64 > most { Err(Problem::large(most, "after unpacking")) } else { Ok(report) }
}

fn pack(report: &[u8]) -> Result<Vec<u8>, std::io::Error> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(report)?;
    packer.finish()
}
