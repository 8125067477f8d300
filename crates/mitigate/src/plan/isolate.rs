//! Isolate: how is an instance cut off while its power, its management and its evidence stay?
//!
//! A table of nftables of its own on the machine that its packets pass: the gateway before it, or itself. What is not
//! one of the ways that stay is refused in both directions, established sessions too: nothing asks what conntrack
//! thinks of them, and TCP is told so by a reset. Whoever cuts himself off is let in again: while the lock of an
//! unfinished run stands after two minutes, the machine takes the table away by itself. Where systemd runs, a unit
//! brings the table back after a restart, before there is a network.
//! Serves ED 21-03 action 2.b.i ("isolate ... power stays on"). Source: nft(8); systemd.special(7),
//! "network-pre.target".

use std::net::SocketAddr;

use directive::change::{Change, Command, FileChange, Kind, Origin, Prove, Target};
use directive::pack::Pack;
use directive::scope::Scope;
use directive::text::escape;
use jiff::Timestamp;

use super::Error;
use crate::hands::Hands;

/// A way that stays open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Who may reach the instance: an address or a network, as nftables writes it.
    pub from: String,
    /// Which port of the instance; none: every one, and what the instance itself begins.
    pub port: Option<u16>,
}

impl std::str::FromStr for Way {
    type Err = String;

    /// `10.0.0.9`, `10.0.0.0/28`, `10.0.0.9:22`, `[2001:db8::9]:22`.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(both) = text.parse::<SocketAddr>() {
            return Ok(Self { from: both.ip().to_string(), port: Some(both.port()) });
        }
        let (address, length) = text.split_once('/').unwrap_or((text, "32"));
        let is_address = address.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
        if is_address && length.parse::<u8>().is_ok_and(|length| length <= 128) {
            return Ok(Self { from: text.trim_matches(['[', ']']).to_owned(), port: None });
        }
        Err(format!("{text:?} is no way: write 10.0.0.9:22, 10.0.0.9 or 10.0.0.0/28"))
    }
}

/// What a person wants.
#[derive(Debug, Clone)]
pub struct Isolation<'a> {
    /// The pack that orders it.
    pub pack: &'a Pack,
    /// The action that orders it.
    pub action: Option<&'a str>,
    /// The instance.
    pub instance: &'a str,
    /// Where visitors reach it: nobody may be heard there any more.
    pub at: &'a [SocketAddr],
    /// Where it is done.
    pub host: &'a str,
    /// Where the table is kept, absolute; below `/etc` where no place is named.
    pub config: Option<&'a str>,
    /// Where units of systemd are kept, absolute; where none is named, the usual place if systemd runs there.
    pub units: Option<&'a str>,
    /// Who may still reach it.
    pub keep: &'a [Way],
    /// Where somebody must still be heard afterwards.
    pub open: &'a [SocketAddr],
    /// The time.
    pub now: Timestamp,
}

/// Plans to cut an instance off.
///
/// # Errors
///
/// [`Error`] if there is no address, an address is outside the scope, or the machine has no nftables.
pub fn isolation(request: &Isolation<'_>, scope: &Scope, hands: &dyn Hands) -> Result<Change, Error> {
    if request.at.is_empty() {
        return Err(Error::NoAddress(escape(request.instance)));
    }
    if let Some(outside) = request.at.iter().chain(request.open).find(|at| !scope.allows(**at)) {
        return Err(Error::Outside(*outside));
    }
    hands.must(&["nft", "--version"])?;
    let word: String = request.instance.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let usual = format!("/etc/portcullis-isolates-{word}.nft");
    let (table, path) = (format!("portcullis_isolates_{word}"), request.config.map_or(usual, str::to_owned));
    if hands.read(&path)?.is_some() {
        return Err(Error::There { path });
    }
    let lock = format!("{path}.lock");
    let mut notes = vec![
        "Everybody but the ways below is refused, sessions that stand now too. The power stays on: memory is evidence."
            .to_owned(),
    ];
    let units = units(request, hands)?;
    notes.push(match &units {
        Some(_) => "It lasts until it is undone, also when the machine restarts.".to_owned(),
        None => "It lasts until it is undone or the machine restarts; after a restart, apply it again.".to_owned(),
    });
    let ways: Vec<String> = request.keep.iter().map(shown).collect();
    notes.push(match ways.is_empty() {
        true => "NO way stays open: neither management nor evidence is reached over the network any more.".to_owned(),
        false => format!("These ways stay open: {}.", ways.join(", ")),
    });
    let unit = units.map(|folder| Unit::new(&folder, &word, hands)).transpose()?;
    // Armed before anything is cut: whoever is cut off by the table cannot arm it any more.
    let link = unit.as_ref().map_or("", |unit| &unit.link);
    let switch = format!(
        "(setsid sh -c 'sleep {SWITCH}; [ ! -d \"$1\" ] || {{ nft delete table inet {table}; \
         [ -z \"$2\" ] || rm -f -- \"$2\"; }}' sh \"$2\" \"$3\" >/dev/null 2>&1 </dev/null &); nft -f \"$1\""
    );
    let mut files =
        vec![FileChange { path: path.clone(), content: Some(rules(&table, request)), ..FileChange::default() }];
    let mut runs = vec![Command::new(["sh", "-c", &switch, "sh", &path, &lock, link])];
    let mut undo = vec![Command::new(["sh", "-c", &format!("nft delete table inet {table} 2>/dev/null || true")])];
    if let Some(unit) = &unit {
        files.push(FileChange {
            path: unit.path.clone(),
            content: Some(unit.text(request.instance, &path)),
            ..FileChange::default()
        });
        runs.push(Command::new(["sh", "-c", ENABLE, "sh", &unit.path, &unit.link]));
        undo.push(Command::new(["sh", "-c", DISABLE, "sh", &unit.link]));
    }
    let title = format!("Isolate {} (nftables at {})", escape(request.instance), escape(request.host));
    let from = Origin {
        pack: request.pack.reference(),
        action: request.action.map(str::to_owned),
        workaround: None,
        instance: request.instance.to_owned(),
    };
    let target = Target { host: request.host.to_owned(), kind: Kind::Nftables, lock: Some(lock.clone()) };
    Ok(Change {
        notes,
        files,
        checks: vec![Command::new(["nft", "-c", "-f", &path])],
        runs,
        undo,
        prove: Some(Prove {
            closed: request.at.iter().map(ToString::to_string).collect(),
            open: request.open.iter().map(ToString::to_string).collect(),
            ..Prove::default()
        }),
        ..Change::new(title, request.now, from, target)
    })
}

/// Where systemd keeps what an administrator adds.
const UNITS: &str = "/etc/systemd/system";

/// The target that wants the unit: it is reached early, and before any network.
const WANTS: &str = "sysinit.target.wants";

/// Puts the link by which the unit is started. It is a file too, and the folder stays, as `systemctl enable` has it.
const ENABLE: &str = "mkdir -p -- \"${2%/*}\" && ln -sfn -- \"$1\" \"$2\" && \
    { [ ! -d /run/systemd/system ] || systemctl daemon-reload; }";

/// Takes the link away, and the folder if nothing else is in it.
const DISABLE: &str = "rm -f -- \"$1\"; rmdir -- \"${1%/*}\" 2>/dev/null; \
    [ ! -d /run/systemd/system ] || systemctl daemon-reload";

/// A unit of systemd that loads the table when the machine starts.
struct Unit {
    path: String,
    link: String,
    nft: String,
}

impl Unit {
    fn new(folder: &str, word: &str, hands: &dyn Hands) -> Result<Self, Error> {
        let name = format!("portcullis-isolates-{word}.service");
        let nft = hands.must(&["sh", "-c", "command -v nft"])?;
        let nft = String::from_utf8_lossy(&nft).trim().to_owned();
        let folder = folder.trim_end_matches('/');
        let (path, link) = (format!("{folder}/{name}"), format!("{folder}/{WANTS}/{name}"));
        match hands.read(&path)? {
            None => Ok(Self { path, link, nft }),
            Some(_) => Err(Error::There { path }),
        }
    }

    /// Early services have no default dependencies: these would order it behind the network that it guards.
    fn text(&self, instance: &str, table: &str) -> String {
        // A percent sign begins a specifier.
        let table = table.replace('%', "%%");
        let instance = escape(instance).replace('%', "%%");
        format!(
            "# {instance}: isolated. `portcullis mitigate undo` takes it away.\n[Unit]\nDescription=Isolation of \
             {instance} by Portcullis\nDefaultDependencies=no\nAfter=local-fs.target\nBefore=network-pre.target \
             shutdown.target\nWants=network-pre.target\nConflicts=shutdown.target\n\n[Service]\nType=oneshot\n\
             RemainAfterExit=yes\nExecStart={} -f \"{table}\"\n\n[Install]\nWantedBy=sysinit.target\n",
            self.nft
        )
    }
}

/// The folder of units; nothing where systemd does not run.
fn units(request: &Isolation<'_>, hands: &dyn Hands) -> Result<Option<String>, Error> {
    if let Some(units) = request.units {
        return Ok(Some(units.to_owned()));
    }
    let runs = hands.run(&["test", "-d", "/run/systemd/system"], &[])?.code == 0;
    Ok(runs.then(|| UNITS.to_owned()))
}

/// Seconds after which a machine takes the table away while the lock still stands.
const SWITCH: u32 = 120;

/// The resets by which sessions are cut leave this machine under the instance's name.
const OWN: &str = "        oifname \"lo\" accept\n        tcp flags & (syn | rst) == rst accept\n";

fn shown(way: &Way) -> String {
    match way.port {
        Some(port) => format!("{} to port {port}", way.from),
        None => format!("{} to everything", way.from),
    }
}

/// The table.
fn rules(table: &str, request: &Isolation<'_>) -> String {
    let family = |address: &str| if address.contains(':') { "ip6" } else { "ip" };
    let mut addresses: Vec<String> = request.at.iter().map(|at| at.ip().to_canonical().to_string()).collect();
    addresses.sort();
    addresses.dedup();
    let (mut to, mut from) = (String::new(), String::new());
    for way in request.keep {
        let family = family(&way.from);
        let (there, back) = match way.port {
            Some(port) => (format!(" tcp dport {port}"), format!(" tcp sport {port}")),
            None => Default::default(),
        };
        to.push_str(&format!("        {family} saddr {}{there} accept\n", way.from));
        from.push_str(&format!("        {family} daddr {}{back} accept\n", way.from));
    }
    let cut = "        meta l4proto tcp reject with tcp reset\n        drop\n";
    let jumps: String = addresses
        .iter()
        .map(|address| {
            let family = family(address);
            format!("        {family} daddr {address} jump to_it\n        {family} saddr {address} jump from_it\n")
        })
        .collect();
    // What the machine says to itself is no way out.
    let hook = |name: &str, free: &str| {
        format!(
            "    chain {name} {{\n        type filter hook {name} priority -10; policy accept;\n{free}{jumps}    }}\n"
        )
    };
    format!(
        "# {}: isolated. `portcullis mitigate undo` takes it away.\n\
         table inet {table} {{\n    chain to_it {{\n{to}{cut}    }}\n    chain from_it {{\n{from}{cut}    }}\n\
         {}{}{}}}\n",
        escape(request.instance),
        hook("forward", ""),
        hook("input", "        iifname \"lo\" accept\n"),
        hook("output", OWN),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_an_address_a_network_or_an_address_with_a_port() {
        let read = |text: &str| text.parse::<Way>().map(|way| shown(&way));
        assert_eq!(read("10.0.0.9:22").unwrap(), "10.0.0.9 to port 22");
        assert_eq!(read("10.0.0.0/28").unwrap(), "10.0.0.0/28 to everything");
        assert_eq!(read("[2001:db8::9]:22").unwrap(), "2001:db8::9 to port 22");
        for text in ["host:22", "10.0.0.9; drop", "10.0.0.0/x", ""] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
