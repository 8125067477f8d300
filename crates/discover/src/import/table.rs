//! Table: what does a list that people keep say?
//!
//! A line of names, then one instance a line; commas, semicolons or tabs. Columns are found by what they are usually
//! called, or as the operator says.

use std::net::{IpAddr, SocketAddr};

use super::{Claim, Collector, Columns, Kind, Wrong};

/// What a column is usually called, in small letters; what we call it comes first.
const USUAL: [&[&str]; 5] = [
    &["address", "ip", "ip address", "ip_address", "ipaddress", "ipv4", "host ip", "addr"],
    &["port", "tcp port", "portid"],
    &["name", "hostname", "host", "fqdn", "dns name", "dns_name"],
    &["product", "software", "service"],
    &["version", "software version", "firmware", "build"],
];

/// Reads the table.
pub(super) fn read(bytes: &[u8], columns: &Columns, out: &mut Collector<'_>) -> Result<(), Wrong> {
    let head = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let delimiter =
        *[b',', b';', b'\t'].iter().max_by_key(|d| head.iter().filter(|byte| byte == d).count()).unwrap_or(&b',');
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(bytes);
    let names = reader.byte_headers().map_err(|err| Wrong::other(err.to_string()))?.clone();
    let names: Vec<String> = names.iter().map(|name| String::from_utf8_lossy(name).trim().to_lowercase()).collect();
    let place = |what: &str| {
        let usual = USUAL.iter().find(|usual| usual[0] == what).copied().unwrap_or_default();
        match columns.get(what) {
            Some(told) => names.iter().position(|name| *name == told.to_lowercase()),
            None => usual.iter().find_map(|usual| names.iter().position(|name| name == usual)),
        }
    };
    if let Some((what, told)) = columns.iter().find(|(what, _)| place(what).is_none()) {
        return Err(Wrong::other(format!("it has no column {told:?}, which was said to hold the {what}")));
    }
    let Some(address) = place("address") else {
        return Err(Wrong::other(
            "neither XML, JSON, a zone file nor a table with a column `address`; say which one it is: \
             `--columns address=NAME`",
        ));
    };
    let places = ["port", "name", "product", "version"].map(place);
    for row in reader.byte_records() {
        let row = row.map_err(|err| Wrong::at(Kind::Table, "a line", err.to_string()))?;
        let cell = |n: usize| String::from_utf8_lossy(row.get(n).unwrap_or_default()).trim().to_owned();
        let [port, name, product, version] = places.map(|n| n.map(cell).filter(|text| !text.is_empty()));
        match (place_of(&cell(address)), port.map(|port| port.parse::<u16>())) {
            (Some((ip, own)), port @ (None | Some(Ok(_)))) => {
                let mut claim = Claim::of(ip);
                claim.port = port.and_then(Result::ok).or(own);
                claim.names.extend(name);
                (claim.product, claim.version) = (product, version);
                out.claim(claim);
            }
            _ => out.strange += 1,
        }
    }
    Ok(())
}

/// `10.0.0.7`, `10.0.0.7:443`, `[2001:db8::7]:443`.
fn place_of(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let whole = text.parse::<SocketAddr>().map(|both| (both.ip(), Some(both.port())));
    whole.ok().or_else(|| Some((text.parse().ok()?, None)))
}
