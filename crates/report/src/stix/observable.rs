//! Observable: which files, addresses and programs are behind a finding?
//!
//! Their ids follow from what they are, so that another team that saw the same file gives it the same id.
//! Source: STIX 2.1, 2.9 (namespace and contributing properties), 6.

use std::net::SocketAddr;

use directive::pack::Pack;
use directive::record::{Finding, Instance};
use serde_json::{Value, json};
use uuid::{Uuid, uuid};

use super::object::{Body, Object, moment};
use super::{Properties, shown};
use crate::cpe::is_cpe;

/// Source: STIX 2.1, 2.9.
const NAMESPACE: Uuid = uuid!("00abedb4-aa42-466c-9c01-fed23315a9b7");

/// What an instance is made of, as far as others can recognise it.
pub(super) struct Observables {
    objects: Vec<Object>,
    ids: Vec<String>,
}

impl Observables {
    /// The program and the addresses of an instance.
    pub(super) fn of(instance: &Instance, pack: &Pack) -> Self {
        let mut software = Properties::from([
            ("name", Value::from(pack.product.name.as_str())),
            ("vendor", Value::from(pack.product.vendor.as_str())),
        ]);
        if let Some(version) = &instance.version.value {
            software.insert("version", Value::from(shown(version)));
        }
        if let Some(cpe) = instance.cpe.iter().find(|cpe| is_cpe(cpe)) {
            software.insert("cpe", Value::from(cpe.as_str()));
        }
        let mut objects = vec![observable("software", software, Properties::new())];
        objects.extend(instance.addresses.iter().filter_map(|address| self::address(address)));
        let ids = objects.iter().map(|object| object.id.clone()).collect();
        Self { objects, ids }
    }

    /// Hands over the objects once; their ids stay.
    pub(super) fn take(&mut self) -> Vec<Object> {
        std::mem::take(&mut self.objects)
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.ids.clone()
    }

    /// The file of a finding with its folder, or the address that is its place.
    pub(super) fn of_finding(finding: &Finding, _instance: &Self) -> Vec<Object> {
        let Some(path) = &finding.path else {
            return finding.place.as_deref().and_then(address).into_iter().collect();
        };
        let path = path.to_string();
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let mut objects = Vec::new();
        let mut file = Properties::from([("name", Value::from(if name.is_empty() { "/" } else { name }))]);
        if !folder.is_empty() {
            let directory = Properties::from([("path", Value::from(folder))]);
            let directory = observable("directory", directory, Properties::new());
            file.insert("parent_directory_ref", Value::from(directory.id.as_str()));
            objects.push(directory);
        }
        let digest = finding.evidence.as_ref().and_then(|seen| seen.sha256.as_ref());
        if let Some(digest) = digest.filter(|digest| digest.len() == 64) {
            file.insert("hashes", json!({ "SHA-256": digest }));
        }
        let mut times = Properties::new();
        for (ours, theirs) in [("mtime", "mtime"), ("birth", "ctime")] {
            if let Some(at) = finding.times.get(ours) {
                times.insert(theirs, Value::from(moment(*at)));
            }
        }
        objects.push(observable("file", file, times));
        objects
    }
}

/// An address without its port: a number of either kind, or a name.
fn address(text: &str) -> Option<Object> {
    let host = match text.parse::<SocketAddr>() {
        Ok(address) => address.ip().to_string(),
        Err(_) => text.rsplit_once(':').map_or(text, |(host, _)| host).to_owned(),
    };
    let kind = match host.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(_)) => "ipv4-addr",
        Ok(std::net::IpAddr::V6(_)) => "ipv6-addr",
        Err(_) if is_name(&host) => "domain-name",
        Err(_) => return None,
    };
    Some(observable(kind, Properties::from([("value", Value::from(host))]), Properties::new()))
}

/// Whether a text is a name of DNS with at least two labels. Source: RFC 1123, 2.1.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let inside = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        inside && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(is_label)
}

/// An observable whose id follows from `named`; `more` is said of it beside that.
fn observable(kind: &'static str, named: Properties, more: Properties) -> Object {
    // Keys in order and no spaces: what RFC 8785 makes of texts and objects of texts.
    let canonical = serde_json::to_string(&named).unwrap_or_default();
    let id = format!("{kind}--{}", Uuid::new_v5(&NAMESPACE, canonical.as_bytes()));
    Object::observable(kind, id, Body::Observable(named.into_iter().chain(more).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_the_id_that_the_specification_gives_it() {
        // Source: the example of an identifier in STIX 2.1, 2.9.
        let object = address("198.51.100.3:443").unwrap();
        assert_eq!(object.id, "ipv4-addr--28bb3599-77cd-5a82-a950-b5bc3caf07c4");
    }

    #[test]
    fn what_is_no_address_and_no_name_is_left_out() {
        assert!(address("package openssh-server").is_none());
        assert!(address("vpn1").is_none());
        assert!(address("vpn.example.org:443").unwrap().id.starts_with("domain-name--"));
        assert!(address("[2001:db8::1]:443").unwrap().id.starts_with("ipv6-addr--"));
    }
}
