//! Socket: who waits for whom on this host?
//!
//! What listens is listed with its owner, for the person who knows what should listen. A listener without
//! an owner is the kernel's own or somebody's who hides. Raw sockets see packets that no port was opened
//! for: sniffers use them, and backdoors that wait for one magic packet.

use std::collections::{BTreeMap, BTreeSet};

use directive::record::Severity;
use directive::text::Text;
use evidence::live::{Failure, Running, Socket, Table, sockets};

use super::Holders;
use super::group::{At, Groups, Shared};

/// Modules through which the kernel itself listens: file servers and tunnels.
const LISTENING: [&str; 11] =
    ["nfsd", "lockd", "ksmbd", "wireguard", "vxlan", "geneve", "fou", "gtp", "tipc", "sunrpc", "iscsi_target_mod"];

pub(super) fn look(running: &Running, holders: &Holders, groups: &mut Groups) {
    let limit = running.limits().namespaces;
    if holders.networks.len() > limit {
        let why = format!("{} networks, and {limit} are listed", holders.networks.len());
        groups.gap("too-many", "networks", why);
    }
    let mut met = BTreeSet::new();
    let mut seen: BTreeMap<Vec<u8>, Vec<u32>> = holders.networks.clone().into_iter().take(limit).collect();
    // Our own network is looked at even if no process shows which is its own; we do not end while we look.
    let own = running.process(running.own()).ok().and_then(|process| process.network().ok());
    seen.entry(own.unwrap_or_default()).or_default().insert(0, running.own());
    for (network, through) in &seen {
        for table in Table::ALL {
            for socket in read(running, through, table, groups) {
                if met.insert((network.clone(), socket.clone())) {
                    judge(running, &socket, holders, groups);
                }
            }
        }
    }
}

/// The sockets of one network, through the first of its processes that still runs.
fn read(running: &Running, through: &[u32], table: Table, groups: &mut Groups) -> Vec<Socket> {
    let place = format!("/proc/net/{}", table.as_str());
    let tables = through.iter().map(|pid| running.process(*pid).and_then(|process| process.table(table)));
    let first = tables.into_iter().find(|text| !matches!(text, Err(Failure::Gone)));
    match first.unwrap_or(Err(Failure::Gone)) {
        Ok(text) => {
            let (found, strange) = sockets(table, &text);
            if strange > 0 {
                groups.gap("kernel-unread", &place, format!("{strange} lines are not understood"));
            }
            found
        }
        Err(Failure::Gone) => {
            let why = "this kernel has no such sockets, or the processes through which they are seen ended";
            groups.remark("kernel-unread", &place, why.into());
            Vec::new()
        }
        Err(failure) => {
            groups.gap("kernel-unread", &place, super::said(&failure));
            Vec::new()
        }
    }
}

fn judge(running: &Running, socket: &Socket, holders: &Holders, groups: &mut Groups) {
    let is_raw = matches!(socket.table, Table::Raw | Table::Raw6 | Table::Packet);
    let at = Text::new(&socket.at[..]).escaped();
    let at = if at.is_empty() { "without a name".to_owned() } else { at };
    let place = format!("{} {at}", socket.table.as_str());
    match holders.by_inode.get(&socket.inode) {
        Some(all) => {
            let shared = if is_raw {
                let why = "it sees or makes packets past the ports of the host: network services do, and so do \
                           sniffers and backdoors that wait for one packet";
                // T1205: traffic signaling.
                Shared::new("socket-raw", Severity::Low, At::Place(place), why).attack("T1205")
            } else {
                Shared::new("socket-listening", Severity::Info, At::Place(place), "it waits for whoever comes")
            };
            all.iter().for_each(|who| groups.process(shared.clone(), who));
        }
        None if holders.is_partial => {
            groups.gap(
                "socket-unowned",
                &place,
                "whose it is was not seen, since some processes could not be read".into(),
            );
        }
        None => groups.host(unowned(running, socket, place)),
    }
}

/// All processes were read and none has it.
fn unowned(running: &Running, socket: &Socket, place: String) -> Shared {
    let is_there = |module: &&str| running.kernel_names(&format!("sys/module/{module}")).is_ok();
    let serving = LISTENING.into_iter().find(|module| is_there(module));
    let (severity, why) = match (socket.table, serving) {
        (Table::Unix, _) => (Severity::Low, "no process that can be seen holds it".into()),
        (_, Some(module)) => {
            (Severity::Low, format!("no process holds it; the kernel itself listens on some ports (module {module})"))
        }
        (_, None) => {
            (Severity::Medium, "no process that can be seen holds it: its owner hides, or is the kernel".into())
        }
    };
    Shared::new("socket-unowned", severity, At::Place(place), why).attack("T1014")
}
