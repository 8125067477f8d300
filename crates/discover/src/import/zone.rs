//! Zone: which names has the organisation given out, and to which addresses?
//!
//! `$INCLUDE` is not followed: a file must not say which other files are read. Reading stops at the first mistake,
//! since a zone file is a programme whose later lines mean something by its earlier ones.

use std::net::IpAddr;

use domain::base::iana::Class;
use domain::rdata::ZoneRecordData;
use domain::zonefile::inplace::{Entry, Zonefile};

use super::{Claim, Collector, Kind, Wrong};

/// Whether it looks like one: it sets an origin or a time, or begins with the record that every zone has.
pub(super) fn is_zone(bytes: &[u8]) -> bool {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(64 << 10)]);
    let code = head.lines().map(|line| line.split(';').next().unwrap_or_default());
    code.filter(|line| !line.trim().is_empty()).take(200).any(|line| {
        let mut words = line.split_whitespace().map(str::to_ascii_uppercase);
        words.any(|word| matches!(word.as_str(), "$ORIGIN" | "$TTL" | "SOA"))
    })
}

/// Reads records with addresses, and the names of all others.
pub(super) fn read(bytes: &[u8], out: &mut Collector<'_>) -> Result<(), Wrong> {
    let mut zone = Zonefile::from(bytes);
    zone.set_default_class(Class::IN);
    loop {
        match zone.next_entry() {
            Ok(None) => return Ok(()),
            Ok(Some(Entry::Include { .. })) => out.strange += 1,
            Ok(Some(Entry::Record(record))) => {
                let name = record.owner().to_string();
                let address: Option<IpAddr> = match record.data() {
                    ZoneRecordData::A(data) => Some(data.addr().into()),
                    ZoneRecordData::Aaaa(data) => Some(data.addr().into()),
                    _ => None,
                };
                match address {
                    Some(address) => {
                        let mut claim = Claim::of(address);
                        claim.names.push(name);
                        out.claim(claim);
                    }
                    None => out.name(&name),
                }
            }
            Err(err) => return Err(Wrong::at(Kind::Zone, "a record", err.to_string())),
        }
    }
}
