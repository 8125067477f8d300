//! Prove: is everything that must be refused refused, and does everything that must work still work?
//!
//! Nothing here asks the proxy what it has loaded: requests from outside are answered, or they are not. A refusal is
//! known by the text that the rule gives it, or by being, byte for byte, what the proxy itself says to a request that
//! is none; a 403 or 404 of the product is a request that got through. Connections count too: one that was kept alive,
//! and one whose request was half sent before the rule was there, must not reach the product after it.
//! Source: ED 21-03 action 2.a.ii; facts on reloads of proxies.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use directive::change::{Change, Prove};
use directive::record::Proof;
use directive::scope::Scope;
use directive::text::escape;
use jiff::{Span, Timestamp};

use crate::ask::{Answer, Door, Line, PATIENCE, read};
use crate::disguise::{self, Disguise, Form};
use crate::fence::{ConnectError, Fence};
use crate::hands::{Hands, Here};

/// The most requests of one proof. Five paths in every disguise need about half of it.
pub const MOST_REQUESTS: usize = 2000;

/// How many are asked at a time.
const TOGETHER: usize = 8;

/// How many leaks are named.
const NAMED: usize = 100;

/// How many connections of each kind are held while a change is applied.
const HELD: usize = 8;

/// Why a proof could not be made. A proof that does not hold is none of these.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The scope does not allow an address.
    #[error("{0} is outside the declared scope: nothing was sent")]
    Outside(SocketAddr),
    /// There are too many requests.
    #[error("the proof needs {0} requests, and {MOST_REQUESTS} are the most: split the workaround")]
    TooMany(usize),
    /// The change says nothing that could be proved.
    #[error("the change says nothing that could be proved")]
    Nothing,
    /// Nobody answers.
    #[error("nobody answers at {at}")]
    Silent {
        /// Where.
        at: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// Asks for one change, inside one scope.
pub struct Prover<'a> {
    change: &'a Change,
    prove: &'a Prove,
    sha256: String,
    /// Whether a person has approved the change: programs that it names are run only then.
    is_approved: bool,
    fence: Fence<'a>,
    doors: Vec<Door>,
    control: Vec<Answer>,
    /// What each door says to a request without any header, for those that name a path in one.
    plain: Vec<Answer>,
}

/// Connections that were opened before the change was applied.
pub struct Held<'a> {
    prover: &'a Prover<'a>,
    kept: Vec<(usize, Line, Disguise)>,
    half: Vec<(usize, Line, Vec<u8>, Disguise)>,
}

/// What came of some requests.
#[derive(Debug, Default)]
struct Tally {
    asked: u64,
    refused: u64,
    leaks: Vec<String>,
    unasked: Vec<String>,
    /// Headers that changed nothing: taken out on the way, as far as can be seen from outside.
    without_effect: u64,
}

impl<'a> Prover<'a> {
    /// Finds out whom to ask, and what a proxy says there to a request that is none.
    ///
    /// # Errors
    ///
    /// [`Error`] if an address is outside the scope, nobody answers, or there is nothing to prove.
    pub fn new(change: &'a Change, sha256: &str, scope: &'a Scope, is_approved: bool) -> Result<Self, Error> {
        let prove = change.prove.as_ref().ok_or(Error::Nothing)?;
        // `change::check` refuses what is no address.
        let targets = |list: &[String]| -> Vec<SocketAddr> { list.iter().filter_map(|at| at.parse().ok()).collect() };
        let all = [targets(&prove.at), targets(&prove.open), targets(&prove.closed)].concat();
        if all.is_empty() && prove.works.is_empty() {
            return Err(Error::Nothing);
        }
        if let Some(outside) = all.iter().find(|at| !scope.allows(**at)) {
            return Err(Error::Outside(*outside));
        }
        // Each request may need a second connection, to find out whether a door speaks TLS among others.
        let fence = Fence::new(scope, PATIENCE, 2 * MOST_REQUESTS as u64);
        let contact = scope.contact.as_deref().map(|contact| format!("; {}", ascii(contact))).unwrap_or_default();
        let agent = format!("Portcullis ({} proves a workaround{contact})", ascii(&scope.organisation));
        let mut prover = Self {
            change,
            prove,
            sha256: sha256.to_owned(),
            is_approved,
            fence,
            doors: Vec::new(),
            control: Vec::new(),
            plain: Vec::new(),
        };
        for at in targets(&prove.at) {
            let door = Door::find(&prover.fence, at, prove.name.as_deref(), &agent).map_err(|err| match err {
                ConnectError::Outside(at) => Error::Outside(at),
                ConnectError::Io(source) => Error::Silent { at, source },
                ConnectError::Spent => Error::TooMany(MOST_REQUESTS),
            })?;
            prover.control.push(prover.control(&door).unwrap_or_default());
            let plain = Disguise { name: "plain", target: disguise::NOBODY.into(), form: Form::Method("GET") };
            prover.plain.push(door.ask(&prover.fence, &plain).ok().flatten().unwrap_or_default());
            prover.doors.push(door);
        }
        let requests = prover.doors.len() * prover.disguises().len();
        if requests > MOST_REQUESTS { Err(Error::TooMany(requests)) } else { Ok(prover) }
    }

    /// What the proxy says to a method that no method can be.
    fn control(&self, door: &Door) -> Result<Answer, ConnectError> {
        let mut line = door.open(&self.fence, false)?;
        let request = format!("G\x01T / HTTP/1.1\r\nHost: {}\r\nUser-Agent: {}\r\n\r\n", door.host, door.agent);
        let _ = line.write_all(request.as_bytes()).and_then(|()| line.flush());
        Ok(read(&mut line, true))
    }

    fn disguises(&self) -> Vec<Disguise> {
        let host = self.prove.name.clone().or_else(|| self.prove.at.first().cloned()).unwrap_or_default();
        let paths = self.prove.blocked.iter();
        let mut all: Vec<Disguise> =
            paths.flat_map(|blocked| disguise::of(&blocked.path, &host, &self.prove.headers)).collect();
        // Paths that begin alike share some spellings.
        let mut seen = std::collections::BTreeSet::new();
        all.retain(|one| seen.insert(format!("{:?}{:?}", one.target, one.form)));
        all
    }

    /// Asks everything. `held` are connections of before; without them some are opened now.
    pub fn prove(&self, held: Option<Held<'_>>, now: Timestamp) -> Proof {
        let mut tally = self.ask_all();
        let held = held.or_else(|| (!self.doors.is_empty()).then(|| self.hold()));
        if let Some(held) = held {
            held.finish(&mut tally);
        }
        self.listen(&mut tally);
        let lost = self.lost();
        let required = self.prove.required.len() * self.doors.len() + self.prove.works.len() + self.prove.open.len();
        tally.leaks.sort();
        if !self.is_approved && !self.prove.works.is_empty() {
            tally.unasked.push("its programs were not run: nobody has approved this change".to_owned());
        }
        if tally.without_effect > 0 {
            let count = tally.without_effect;
            tally.unasked.push(format!("{count} requests with a header were answered as if it was not there"));
        }
        let holds = tally.refused == tally.asked && lost.is_empty();
        tally.leaks.truncate(NAMED);
        Proof {
            change: self.sha256.clone(),
            action: action(self.change),
            holds,
            places: [&self.prove.at[..], &self.prove.closed[..], &self.prove.open[..]].concat(),
            asked: tally.asked,
            refused: tally.refused,
            leaks: tally.leaks,
            required: required as u64,
            lost,
            unasked: tally.unasked,
            until: until(self.change, now),
        }
    }

    /// What does not work of what must: nothing, if all is well.
    pub fn lost(&self) -> Vec<String> {
        let mut lost = Vec::new();
        for door in &self.doors {
            for required in &self.prove.required {
                let disguise =
                    Disguise { name: "required", target: required.path.clone().into(), form: Form::Method("GET") };
                let answer = door.ask(&self.fence, &disguise);
                let status = answer.as_ref().ok().and_then(Option::as_ref).and_then(|answer| answer.status);
                let is_refused = match &answer {
                    Ok(Some(answer)) => self.is_refused(answer, &disguise, None),
                    _ => false,
                };
                let is_fine = match status {
                    None => false,
                    Some(_) if is_refused => false,
                    Some(_) if required.look_alike => true,
                    Some(status) if required.status.is_empty() => status < 400,
                    Some(status) => required.status.contains(&status),
                };
                if !is_fine {
                    let came = status.map_or("no answer".to_owned(), |status| format!("status {status}"));
                    let how = if is_refused { ", refused by the rule" } else { "" };
                    lost.push(format!("{} at {}: {came}{how}", escape(&required.path), door.at));
                }
            }
        }
        for at in self.prove.open.iter().filter_map(|at| at.parse().ok()) {
            if let Err(err) = self.fence.connect(at) {
                lost.push(format!("{at} must stay open: {err}"));
            }
        }
        for works in self.prove.works.iter().filter(|_| self.is_approved) {
            let words: Vec<&str> = works.command.iter().map(String::as_str).collect();
            if let Err(err) = Here.must(&words) {
                lost.push(err.to_string());
            }
        }
        lost
    }

    /// Ports where nobody may be heard any more.
    fn listen(&self, tally: &mut Tally) {
        for at in self.prove.closed.iter().filter_map(|at| at.parse::<SocketAddr>().ok()) {
            tally.asked += 1;
            match self.fence.connect(at) {
                Ok(_) => tally.leaks.push(format!("{at} still takes connections")),
                Err(_) => tally.refused += 1,
            }
        }
    }

    fn ask_all(&self) -> Tally {
        let disguises = self.disguises();
        let jobs: Vec<(usize, &Disguise)> =
            (0..self.doors.len()).flat_map(|door| disguises.iter().map(move |one| (door, one))).collect();
        let (next, tally) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
        std::thread::scope(|scope| {
            for _ in 0..TOGETHER.min(jobs.len()) {
                scope.spawn(|| {
                    while let Some((door, disguise)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let answer = self.doors[*door].ask(&self.fence, disguise);
                        let mut tally = tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        self.count(&mut tally, *door, disguise, answer, "");
                    }
                });
            }
        });
        tally.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn count(
        &self,
        tally: &mut Tally,
        door: usize,
        disguise: &Disguise,
        answer: Result<Option<Answer>, ConnectError>,
        how: &str,
    ) {
        let at = self.doors[door].at;
        let answer = match answer {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                let line = format!("HTTP/2 at {at}: it is not spoken there");
                if !tally.unasked.contains(&line) {
                    tally.unasked.push(line);
                }
                return;
            }
            // Nobody was asked, so that nothing is proved: it counts as a leak.
            Err(err) => {
                tally.asked += 1;
                tally.leaks.push(format!("{} ({}{how}) at {at}: {err}", show(disguise), disguise.name));
                return;
            }
        };
        tally.asked += 1;
        if self.is_refused(&answer, disguise, self.control.get(door)) {
            tally.refused += 1;
            return;
        }
        if matches!(disguise.form, Form::Header(_)) && self.plain.get(door).is_some_and(|plain| plain.is_like(&answer))
        {
            tally.refused += 1;
            tally.without_effect += 1;
            return;
        }
        let came = match (answer.status, answer.silent) {
            (Some(status), _) => format!("status {status}"),
            (None, true) => "no answer in time".to_owned(),
            (None, false) => "no answer".to_owned(),
        };
        tally.leaks.push(format!("{} ({}{how}) at {at}: {came}", show(disguise), disguise.name));
    }

    /// Whether an answer says that the product was not reached.
    fn is_refused(&self, answer: &Answer, disguise: &Disguise, control: Option<&Answer>) -> bool {
        let Some(status) = answer.status else {
            // Closed without a word: a proxy that reached a product would have said what became of it.
            return control.is_some() && !answer.silent;
        };
        let Some(marker) = &self.prove.marker else {
            return (400..500).contains(&status) && status != 401;
        };
        // An answer to HEAD, and one of HTTP/2 that was cut, has no body: its length tells.
        let by_length =
            disguise.form == Form::Method("HEAD") && status == 403 && answer.length == Some(marker.len() + 1);
        let own = control.is_some_and(|control| {
            status == 400 && control.status == Some(400) && control.body == answer.body && !control.body.is_empty()
        });
        // HTTP/2 and HTTP/1.0 have their own words for the same: no product is behind an answer to broken syntax.
        let broken =
            disguise.form == Form::Two && status == 400 && control.is_some_and(|control| own_page(control, answer));
        answer.holds(marker) || by_length || own || broken
    }

    /// Opens connections now: kept alive after a harmless request, and with half a request sent.
    pub fn hold(&'a self) -> Held<'a> {
        let mut held = Held { prover: self, kept: Vec::new(), half: Vec::new() };
        let harmless = self.prove.required.first().map_or("/", |required| &required.path);
        let harmless = Disguise { name: "harmless", target: harmless.into(), form: Form::Method("GET") };
        for (n, door) in self.doors.iter().enumerate() {
            for path in self.prove.blocked.iter().map(|blocked| &blocked.path).cycle().take(HELD) {
                let blocked = Disguise { name: "as it is", target: path.clone().into(), form: Form::Method("GET") };
                if let Ok(mut line) = door.open(&self.fence, false) {
                    let request = door.request(&harmless, false);
                    let sent = line.write_all(&request).and_then(|()| line.flush());
                    if sent.is_ok() && read(&mut line, true).status.is_some() {
                        held.kept.push((n, line, blocked.clone()));
                    }
                }
                if let Ok(mut line) = door.open(&self.fence, false) {
                    let request = door.request(&blocked, true);
                    let (first, rest) = request.split_at(request.len() - 2);
                    if line.write_all(first).and_then(|()| line.flush()).is_ok() {
                        held.half.push((n, line, rest.to_vec(), blocked));
                    }
                }
            }
        }
        held
    }
}

impl Held<'_> {
    /// Sends what was held back, and counts what comes.
    fn finish(self, tally: &mut Tally) {
        for (door, mut line, disguise) in self.kept {
            let request = self.prover.doors[door].request(&disguise, true);
            let _ = line.write_all(&request).and_then(|()| line.flush());
            let answer = read(&mut line, true);
            self.prover.count(tally, door, &disguise, Ok(Some(answer)), ", on a kept connection");
        }
        for (door, mut line, rest, disguise) in self.half {
            let _ = line.write_all(&rest).and_then(|()| line.flush());
            let answer = read(&mut line, true);
            self.prover.count(tally, door, &disguise, Ok(Some(answer)), ", half sent before");
        }
    }
}

/// Whether two answers come from one maker of error pages: the same but for what HTTP/2 does not have.
fn own_page(control: &Answer, answer: &Answer) -> bool {
    answer.body.is_empty() || answer.body == control.body
}

/// A target as a person reads it.
fn show(disguise: &Disguise) -> String {
    let target = disguise.target.escape_ascii().to_string().replace("\\\\", "\\");
    match &disguise.form {
        Form::Method("GET") => target,
        Form::Method(method) => format!("{method} {target}"),
        Form::Old => format!("{target} over HTTP/1.0"),
        Form::Two => format!("{target} over HTTP/2"),
        Form::Header(lines) => escape(lines.trim_end().replace("\r\n", " | ")),
        Form::Chunked | Form::Expect => format!("POST {target}"),
    }
}

/// What may stand in a header.
fn ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

/// The directive and action that a change does, `ed-21-03/2.a.ii`.
pub(crate) fn action(change: &Change) -> Option<String> {
    change.from.action.as_ref().map(|action| format!("{}/{action}", change.from.pack.id))
}

/// Until when a proof of `now` counts.
pub(crate) fn until(change: &Change, now: Timestamp) -> Option<Timestamp> {
    let every: Span = change.every.as_ref()?.parse().ok()?;
    // A day more or less at a change of clocks is no matter here: spans of days count 24 hours.
    let seconds = every.total((jiff::Unit::Second, jiff::SpanRelativeTo::days_are_24_hours())).ok()?;
    now.checked_add(Duration::from_secs_f64(seconds.max(0.0))).ok()
}
