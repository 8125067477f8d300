//! Engine: which addresses does a scanner of this machine hear?
//!
//! For the first pass of a discovery over large networks, by masscan, nmap or zmap where they are installed. It gets
//! exactly the addresses and ports that the scope allows, and its rate. Such programs lose hosts and sometimes do not
//! end, so that they have a time, and what they did not hear is asked again by ourselves: the count is the same.
//! The only program that the command line starts. Its sockets are not ours: what it is told to ask is the fence.
//! Source: nmap(1), masscan(8), zmap(1); masscan issues 144 and 558 (it does not end).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use directive::scope::Scope;
use discover::Begin;
use discover::import::{Columns, Import, Limits, Port};

use crate::error::CommandError;

/// Who asks every address first
#[derive(ValueEnum, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Packets of our own where they can be sent, else connections
    #[default]
    Builtin,
    /// Connections only
    Connect,
    /// masscan
    Masscan,
    /// nmap
    Nmap,
    /// zmap
    Zmap,
}

/// What a program may take beyond the time that its rate needs.
const SLACK: Duration = Duration::from_secs(10);

/// Bytes of output that are read: the XML of a /12 has less.
const LARGEST: u64 = 256 << 20;

/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// Has an engine ask first, if it is another program.
pub(crate) fn begin(engine: Engine, scope: &Scope) -> Result<Begin, CommandError> {
    let program = match engine {
        Engine::Builtin => return Ok(Begin::Packets),
        Engine::Connect => return Ok(Begin::Connecting),
        Engine::Masscan => "masscan",
        Engine::Nmap => "nmap",
        Engine::Zmap => "zmap",
    };
    let targets = targets(scope);
    let mut open = BTreeSet::new();
    if !targets.is_empty() {
        // zmap asks one port in a run, the others all of them.
        let runs: Vec<Vec<u16>> = match engine {
            Engine::Zmap => scope.ports.iter().map(|port| vec![*port]).collect(),
            _ => vec![scope.ports.clone()],
        };
        for ports in runs {
            let arguments = arguments(engine, &ports, scope.rate.get());
            let packets = targets.len() as u64 * ports.len() as u64 * 4;
            let time = SLACK + Duration::from_secs(packets / u64::from(scope.rate.get()));
            let said = run(program, &arguments, &targets, time)?;
            open.extend(heard(engine, &ports, &said));
        }
    }
    open.retain(|target| scope.allows(*target));
    Ok(Begin::Heard { engine: program.to_owned(), open })
}

/// The addresses whose every port of the scope may be asked.
fn targets(scope: &Scope) -> Vec<Ipv4Addr> {
    let mut ports: BTreeMap<Ipv4Addr, usize> = BTreeMap::new();
    for target in scope.targets().0 {
        if let IpAddr::V4(ip) = target.ip()
            && scope.ports.contains(&target.port())
        {
            *ports.entry(ip).or_default() += 1;
        }
    }
    let all: BTreeSet<u16> = scope.ports.iter().copied().collect();
    ports.into_iter().filter(|(_, count)| *count == all.len()).map(|(ip, _)| ip).collect()
}

/// The addresses come on the standard input, one a line.
fn arguments(engine: Engine, ports: &[u16], rate: u32) -> Vec<String> {
    let ports = ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let rate = rate.to_string();
    let words: Vec<&str> = match engine {
        Engine::Nmap => vec!["-sS", "-Pn", "-n", "-T4", "--max-rate", &rate, "-p", &ports, "-iL", "-", "-oX", "-"],
        Engine::Masscan => vec!["--includefile", "/dev/stdin", "-p", &ports, "--rate", &rate, "--wait", "3"],
        // Its own list of networks that are not asked holds the private ones; ours is the scope.
        _ => vec!["-p", &ports, "-r", &rate, "-w", "/dev/stdin", "-b", "/dev/null", "-o", "-", "-q", "-c", "3"],
    };
    let mut arguments: Vec<String> = words.into_iter().map(str::to_owned).collect();
    if let (Engine::Zmap, Some((interface, gateway))) = (engine, gateway()) {
        // It waits for ever for its own question to the gateway where the system knows the answer already.
        arguments.extend(["-i".to_owned(), interface, "-G".to_owned(), gateway]);
    }
    arguments
}

/// The interface of the default route and the gateway's hardware address, as the kernel knows them.
/// Source: proc(5), `/proc/net/route` and `/proc/net/arp`.
fn gateway() -> Option<(String, String)> {
    let routes = std::fs::read_to_string("/proc/net/route").ok()?;
    let default = routes.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let default = default.into_iter().find(|words| words.get(1) == Some(&"00000000"))?;
    let (interface, gateway) = (default.first()?, u32::from_str_radix(default.get(2)?, 16).ok()?);
    let gateway = Ipv4Addr::from(gateway.to_ne_bytes()).to_string();
    let neighbours = std::fs::read_to_string("/proc/net/arp").ok()?;
    let known = neighbours.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let known = known.into_iter().find(|words| words.first() == Some(&gateway.as_str()))?;
    Some(((*interface).to_owned(), (*known.get(3)?).to_owned()))
}

/// Runs a program for at most this time; what it said until then counts.
fn run(program: &str, arguments: &[String], targets: &[Ipv4Addr], time: Duration) -> Result<Vec<u8>, CommandError> {
    let failed = |err: io::Error| {
        CommandError::because(format!("{program} cannot be run"), err)
            .hint(format!("install it (`apt-get install {program}`), or leave `--engine` out"))
    };
    #[expect(clippy::disallowed_methods, reason = "the engine that the command line names, with the scope's addresses")]
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(failed)?;
    let list: String = targets.iter().map(|ip| format!("{ip}\n")).collect();
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    thread::scope(|scope| {
        // A program that ends early closes its end: what it says then tells.
        scope.spawn(move || stdin.map(|mut pipe| pipe.write_all(list.as_bytes())));
        let said = scope.spawn(move || {
            let mut said = Vec::new();
            let read = stdout.map(|pipe| pipe.take(LARGEST).read_to_end(&mut said));
            read.transpose().map(|_| said)
        });
        end(&mut child, Instant::now() + time).map_err(failed)?;
        said.join().unwrap_or_else(|_| Ok(Vec::new())).map_err(failed)
    })
}

/// Waits for a program, and ends it when its time is over.
fn end(child: &mut Child, until: Instant) -> io::Result<()> {
    while child.try_wait()?.is_none() {
        if Instant::now() >= until {
            child.kill()?;
            child.wait()?;
            break;
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

/// What an engine says to listen.
fn heard(engine: Engine, ports: &[u16], said: &[u8]) -> BTreeSet<SocketAddr> {
    let text = String::from_utf8_lossy(said);
    match engine {
        // `Discovered open port 443/tcp on 192.0.2.7`, as soon as it is found: its files are cut off when it is ended.
        Engine::Masscan => {
            let found = text.split(['\n', '\r']).filter_map(|line| line.trim().strip_prefix("Discovered open port "));
            let target = |rest: &str| {
                let (port, ip) = rest.split_once("/tcp on ")?;
                Some(SocketAddr::new(ip.trim().parse().ok()?, port.parse().ok()?))
            };
            found.filter_map(target).collect()
        }
        Engine::Zmap => {
            let ips = text.lines().filter_map(|line| line.trim().parse::<IpAddr>().ok());
            ips.flat_map(|ip| ports.iter().map(move |port| SocketAddr::new(ip, *port))).collect()
        }
        _ => {
            let import = Import::read("nmap", said, &Columns::new(), &Limits::default());
            let claims = import.map(|import| import.claims).unwrap_or_default();
            let open = claims.into_iter().filter(|claim| claim.state == Port::Open);
            open.filter_map(|claim| Some(SocketAddr::new(claim.address, claim.port?))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_engine_says_is_understood() {
        let masscan =
            "Discovered open port 443/tcp on 192.0.2.7   \rrate: 0.1\r\nDiscovered open port 22/tcp on 192.0.2.8\n";
        let expected: BTreeSet<SocketAddr> = ["192.0.2.7:443", "192.0.2.8:22"].map(|at| at.parse().unwrap()).into();
        assert_eq!(heard(Engine::Masscan, &[443, 22], masscan.as_bytes()), expected);
        let zmap = heard(Engine::Zmap, &[443], b"192.0.2.7\nsaddr\n");
        assert_eq!(zmap, ["192.0.2.7:443".parse().unwrap()].into());
        assert_eq!(heard(Engine::Nmap, &[443], b"garbage"), BTreeSet::new());
    }

    #[test]
    fn an_engine_is_given_what_the_scope_allows_and_nothing_else() {
        let scope = "organisation = \"A\"\nnetworks = [\"192.0.2.0/30\"]\nexclude = [\"192.0.2.1\"]\nports = [443]\n\
                     [[instance]]\nname = \"a\"\naddress = \"198.51.100.1:8443\"";
        let scope = Scope::parse("scope.toml", scope).unwrap();
        let given: Vec<_> = targets(&scope).iter().map(ToString::to_string).collect();
        assert_eq!(given, ["192.0.2.0", "192.0.2.2", "192.0.2.3"]);
    }

    #[test]
    fn a_program_that_does_not_end_is_ended_and_what_it_said_counts() {
        let arguments = ["-c".to_owned(), "echo 192.0.2.7; exec sleep 60".to_owned()];
        let begun = Instant::now();
        let said = run("sh", &arguments, &[], Duration::from_millis(300)).unwrap();
        assert_eq!(said, b"192.0.2.7\n");
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}
