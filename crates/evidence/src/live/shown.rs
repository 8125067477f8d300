//! Shown: what do links and tables of `/proc` alone show of a machine that runs?
//!
//! The part of a look that takes no more than listing folders and reading links and short texts, so that it works over
//! every way to the files of a machine, SFTP too. Memory and mappings are not looked at: who is on the machine itself
//! sees more. All that comes back may be made up by whoever controls the machine.
//! Source: `proc(5)`, `proc_pid_stat(5)`.

use std::collections::BTreeSet;
use std::sync::Mutex;

use directive::progress::Progress;
use directive::record::{Running as Ran, Service};
use directive::text::Text;

use super::parse::{self, Socket, Table};
use super::{Failure, Limits, Program};

/// Ticks of the clock in a second, as the kernel counts them for programs. Source: `proc_pid_stat(5)`, `sysconf(3)`;
/// `USER_HZ` is 100 on every processor that gateways have.
const TICKS: u64 = 100;

/// Services that are recorded.
const SERVICES: usize = 256;

/// Tables with ports.
const TABLES: [Table; 4] = [Table::Tcp, Table::Tcp6, Table::Udp, Table::Udp6];

/// A way to the files of a machine that runs.
pub trait Reach: Sync {
    /// The names in a folder, up to a limit.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is not there, cannot be listed or has more.
    fn names(&self, folder: &str, limit: usize) -> Result<Vec<Vec<u8>>, Failure>;

    /// A file without a size of its own, read to its end.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is not there, cannot be read or is longer than the limit.
    fn text(&self, path: &str, limit: usize) -> Result<Vec<u8>, Failure>;

    /// Where links lead, each in its order; none is followed.
    fn links(&self, paths: &[String]) -> Vec<Result<Vec<u8>, Failure>>;

    /// Whether anything is at a path.
    fn is_there(&self, path: &[u8]) -> bool;

    /// The number of our own process there, if we are there: it is no evidence of anything.
    fn own(&self) -> Option<u32>;

    /// How many questions may be asked at once.
    fn at_once(&self) -> usize;

    /// Bounds on what is asked.
    fn limits(&self) -> Limits;
}

/// What a machine showed.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Shown {
    /// Seconds since its kernel started, rounded up.
    pub up: Option<u64>,
    /// Processes with a program, by number.
    pub processes: Vec<Stood>,
    /// Sockets that wait for others.
    pub listeners: Vec<Socket>,
    /// What could not be seen, and why.
    pub unseen: Vec<(String, Failure)>,
    /// Processes of which something could not be seen.
    pub unread: Vec<u32>,
}

/// A process, as it stood.
#[derive(Debug)]
#[non_exhaustive]
pub struct Stood {
    /// Its number.
    pub pid: u32,
    /// The name that it goes by.
    pub name: Text,
    /// What it was started from. Files have no numbers here: what bears the name of a deleted program is another one.
    pub program: Program,
    /// Seconds since it was started, rounded up.
    pub age: Option<u64>,
    /// The sockets that it holds.
    sockets: Vec<u64>,
}

/// Looks at a machine.
///
/// # Errors
///
/// [`Failure`] if its processes cannot be listed.
pub fn shown(reach: &dyn Reach, progress: &dyn Progress) -> Result<Shown, Failure> {
    let limits = reach.limits();
    let mut pids: Vec<u32> = reach.names("/proc", usize::MAX)?.iter().filter_map(|name| parse::number(name)).collect();
    pids.retain(|pid| Some(*pid) != reach.own());
    pids.sort_unstable();
    pids.dedup();
    let mut shown = Shown::default();
    if pids.len() > limits.processes {
        shown.unseen.push((format!("{} processes", pids.len()), Failure::TooLarge { limit: limits.processes }));
        pids.truncate(limits.processes);
    }
    match reach.text("/proc/uptime", limits.text_bytes) {
        Ok(text) => shown.up = uptime(&text),
        Err(failure) => shown.unseen.push(("/proc/uptime".to_owned(), failure)),
    }
    let programs: Vec<String> = pids.iter().map(|pid| format!("/proc/{pid}/exe")).collect();
    let mut with_program = Vec::new();
    for (pid, link) in pids.iter().zip(reach.links(&programs)) {
        match link {
            Ok(link) => with_program.push((*pid, link)),
            // What is part of the kernel has none, and what has ended neither.
            Err(failure) if is_over(reach, *pid, &failure) => {}
            Err(_) => shown.unread.push(*pid),
        }
    }
    progress.expect(with_program.len() as u64);
    processes(reach, &with_program, &mut shown, progress);
    for table in TABLES {
        let place = format!("/proc/net/{}", table.as_str());
        match reach.text(&place, limits.text_bytes) {
            Ok(text) => shown.listeners.extend(parse::sockets(table, &text).0),
            // A kernel without IPv6 has no such table.
            Err(Failure::Gone) => {}
            Err(failure) => shown.unseen.push((place, failure)),
        }
    }
    Ok(shown)
}

/// Looks at each process, several at once, since over a network each question costs a round trip.
fn processes(reach: &dyn Reach, of: &[(u32, Vec<u8>)], shown: &mut Shown, progress: &dyn Progress) {
    let (waiting, up) = (Mutex::new(of.iter()), shown.up);
    let found = Mutex::new((Vec::new(), Vec::new()));
    let next = || lock(&waiting).next().filter(|_| !progress.stop_requested());
    std::thread::scope(|scope| {
        for _ in 0..reach.at_once().clamp(1, of.len().max(1)) {
            scope.spawn(|| {
                while let Some((pid, link)) = next() {
                    let seen = process(reach, *pid, link, up);
                    progress.advance(1, 0);
                    let mut found = lock(&found);
                    match seen {
                        Ok(stood) => found.0.push(stood),
                        Err(failure) if is_over(reach, *pid, &failure) => {}
                        Err(_) => found.1.push(*pid),
                    }
                }
            });
        }
    });
    let (stood, unread) = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    shown.processes = stood;
    shown.processes.sort_by_key(|stood| stood.pid);
    shown.unread.extend(unread);
    shown.unread.sort_unstable();
}

/// Whether a process ended while it was looked at, which not every way to its files tells from other failures.
fn is_over(reach: &dyn Reach, pid: u32, failure: &Failure) -> bool {
    matches!(failure, Failure::Gone) || !reach.is_there(format!("/proc/{pid}").as_bytes())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn process(reach: &dyn Reach, pid: u32, link: &[u8], up: Option<u64>) -> Result<Stood, Failure> {
    let limits = reach.limits();
    let stat = reach.text(&format!("/proc/{pid}/stat"), limits.text_bytes)?;
    let (name, ticks) = name_and_start(&stat);
    // A file may really be called so: then it is there under that name.
    let deleted = link.strip_suffix(b" (deleted)").filter(|_| !reach.is_there(link));
    let program = match deleted {
        Some(path) => {
            // It may have a root of its own: a container, a `chroot`.
            let within = [format!("/proc/{pid}/root").as_bytes(), path].concat();
            Program::named(path, true, reach.is_there(path) || reach.is_there(&within))
        }
        None => Program::named(link, false, true),
    };
    let folder = format!("/proc/{pid}/fd");
    let names = reach.names(&folder, limits.open_files)?;
    let numbers = names.iter().filter_map(|name| parse::number::<u32>(name));
    let links: Vec<String> = numbers.map(|number| format!("{folder}/{number}")).collect();
    let socket = |link: Vec<u8>| parse::number(link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?);
    let sockets = reach.links(&links).into_iter().filter_map(|link| socket(link.ok()?)).collect();
    let age = up.zip(ticks).map(|(up, ticks)| up.saturating_sub(ticks / TICKS));
    Ok(Stood { pid, name, program, age, sockets })
}

/// Whole seconds, one more than were counted.
fn uptime(text: &[u8]) -> Option<u64> {
    let whole = text.split(|byte| *byte == b'.').next()?;
    Some(parse::number::<u64>(whole)?.saturating_add(1))
}

/// The name in brackets, which may hold any character, and field 22: how many ticks after the kernel it was started.
fn name_and_start(stat: &[u8]) -> (Text, Option<u64>) {
    let begin = stat.iter().position(|byte| *byte == b'(').map_or(0, |at| at + 1);
    let end = stat.iter().rposition(|byte| *byte == b')').filter(|end| *end >= begin);
    let name = end.map(|end| Text::new(&stat[begin..end])).unwrap_or_default();
    // The field behind the name is the third.
    let fields = end.map(|end| &stat[end + 1..]).unwrap_or_default();
    let start = fields.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).nth(22 - 3);
    (name, start.and_then(parse::number))
}

impl Shown {
    /// Who holds a listening socket.
    pub fn holders(&self, listener: &Socket) -> impl Iterator<Item = &Stood> {
        self.processes.iter().filter(|stood| stood.sockets.contains(&listener.inode))
    }

    /// What of it is recorded; `None` if the machine does not say since when it runs.
    pub fn ran(&self) -> Option<Ran> {
        let up = self.up?;
        let mut met = BTreeSet::new();
        let mut services: Vec<Service> = self
            .listeners
            .iter()
            .filter(|listener| met.insert((listener.table, listener.at.clone())))
            .filter_map(|listener| {
                let of_others: Vec<&Stood> = self.holders(listener).filter(|stood| stood.pid != 1).collect();
                let oldest = of_others.iter().max_by_key(|stood| stood.age)?;
                let at = format!("{} {}", listener.table.as_str(), Text::new(&listener.at[..]).escaped());
                let program = Text::new(&oldest.program.path[..]);
                let replaced = of_others.iter().any(|stood| stood.program.is_deleted);
                Some(Service { at, program, age: oldest.age?, replaced })
            })
            .collect();
        services.sort_unstable();
        services.truncate(SERVICES);
        Some(Ran { up, services })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of texts and links.
    #[derive(Default)]
    struct Made {
        texts: Vec<(&'static str, &'static str)>,
        links: Vec<(&'static str, &'static str)>,
        names: Vec<(&'static str, &'static [&'static str])>,
        there: Vec<&'static str>,
    }

    impl Reach for Made {
        fn names(&self, folder: &str, _: usize) -> Result<Vec<Vec<u8>>, Failure> {
            let found = self.names.iter().find(|(at, _)| *at == folder).ok_or(Failure::Gone)?;
            Ok(found.1.iter().map(|name| name.as_bytes().to_vec()).collect())
        }

        fn text(&self, path: &str, _: usize) -> Result<Vec<u8>, Failure> {
            let found = self.texts.iter().find(|(at, _)| *at == path).ok_or(Failure::Gone)?;
            Ok(found.1.as_bytes().to_vec())
        }

        fn links(&self, paths: &[String]) -> Vec<Result<Vec<u8>, Failure>> {
            let one = |path: &String| {
                let found = self.links.iter().find(|(at, _)| at == path).ok_or(Failure::Gone)?;
                if found.1.is_empty() { Err(Failure::Refused) } else { Ok(found.1.as_bytes().to_vec()) }
            };
            paths.iter().map(one).collect()
        }

        fn is_there(&self, path: &[u8]) -> bool {
            self.there.iter().any(|one| one.as_bytes() == path)
        }

        fn own(&self) -> Option<u32> {
            None
        }

        fn at_once(&self) -> usize {
            3
        }

        fn limits(&self) -> Limits {
            Limits::default()
        }
    }

    /// Number 1 hands sockets to who comes; 7 was there for long and 8 is its younger worker; 9 may not be seen.
    fn machine() -> Made {
        Made {
            texts: vec![
                ("/proc/uptime", "1000.27 1800.00\n"),
                ("/proc/1/stat", "1 (init) S 0 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0"),
                ("/proc/7/stat", "7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 90000 0 0"),
                ("/proc/8/stat", "8 (web) S 7 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 99000 0 0"),
                (
                    "/proc/net/tcp",
                    "heading\n0: 00000000:01BB 00000000:0000 0A 0:0 0:0 0 0 0 70 1\n\
                     1: 00000000:0016 00000000:0000 0A 0:0 0:0 0 0 0 71 1\n",
                ),
            ],
            links: vec![
                ("/proc/1/exe", "/sbin/init"),
                ("/proc/7/exe", "/usr/bin/web (deleted)"),
                ("/proc/8/exe", "/usr/bin/web"),
                ("/proc/9/exe", ""),
                ("/proc/1/fd/4", "socket:[71]"),
                ("/proc/1/fd/3", "socket:[70]"),
                ("/proc/7/fd/3", "socket:[70]"),
                ("/proc/8/fd/0", "/dev/null"),
                ("/proc/8/fd/3", "socket:[70]"),
            ],
            names: vec![
                ("/proc", &["9", "1", "8", "7", "net", "7x"]),
                ("/proc/1/fd", &["3", "4"]),
                ("/proc/7/fd", &["3"]),
                ("/proc/8/fd", &["0", "3", "../../etc"]),
            ],
            there: vec!["/usr/bin/web", "/proc/9"],
        }
    }

    #[test]
    fn the_oldest_holder_of_a_port_tells_its_age_and_the_first_process_alone_tells_none() {
        let shown = shown(&machine(), &directive::progress::Unwatched).unwrap();
        let ran = shown.ran().unwrap();
        assert_eq!(ran.up, 1001);
        let service =
            Service { at: "tcp 0.0.0.0:443".into(), program: Text::from("/usr/bin/web"), age: 101, replaced: true };
        assert_eq!(ran.services, [service]);
        assert_eq!(shown.unread, [9]);
    }

    #[test]
    fn a_program_that_was_replaced_is_told_from_one_that_is_only_gone() {
        let mut machine = machine();
        let replaced = shown(&machine, &directive::progress::Unwatched).unwrap();
        let old = replaced.processes.iter().find(|stood| stood.pid == 7).unwrap();
        assert_eq!(old.name, Text::from("a) b"));
        assert!(old.program.is_deleted && old.program.at_path.is_some_and(|now| now != old.program.identity));
        machine.there.retain(|path| *path != "/usr/bin/web");
        let gone = shown(&machine, &directive::progress::Unwatched).unwrap();
        let old = gone.processes.iter().find(|stood| stood.pid == 7).unwrap();
        assert!(old.program.is_deleted && old.program.at_path.is_none());
        // A file may really be called so.
        machine.there.push("/usr/bin/web (deleted)");
        let called = shown(&machine, &directive::progress::Unwatched).unwrap();
        assert!(!called.processes.iter().any(|stood| stood.program.is_deleted));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_us_panic(stat: Vec<u8>, up: Vec<u8>) {
            let _ = (name_and_start(&stat), uptime(&up));
        }
    }
}
