//! Pattern: which published indicator or rule of the pack is behind a finding?
//!
//! Indicators of the pack go out as they came in. A rule of YARA or Sigma becomes an indicator with the file of that
//! rule as its pattern. Manifests and tables of the pack are no indicators: what they find has no sighting.

use std::collections::BTreeMap;

use directive::pack::Pack;
use jiff::Timestamp;
use serde_json::Value;

use super::object::{Body, Object, moment, own_id};
use super::shown;

/// The rules of a pack by the names that findings give them.
pub(super) struct Patterns<'a> {
    pack: &'a Pack,
    published: BTreeMap<String, Value>,
}

/// What a finding is a sighting of.
pub(super) enum Found {
    /// An indicator as its author published it.
    Published(Value),
    /// A rule, put as an indicator.
    Ours(Box<Object>),
}

impl<'a> Patterns<'a> {
    pub(super) fn new(pack: &'a Pack) -> Self {
        let mut published = BTreeMap::new();
        for bytes in pack.hunting.indicators.values() {
            let Ok(Value::Object(mut bundle)) = serde_json::from_slice::<Value>(bytes) else { continue };
            let Some(Value::Array(objects)) = bundle.remove("objects") else { continue };
            let indicators = objects.into_iter().filter(|object| object["type"] == "indicator");
            published.extend(indicators.filter_map(|object| Some((object["id"].as_str()?.to_owned(), object))));
        }
        Self { pack, published }
    }

    /// What a rule of a finding is, if others can use it.
    pub(super) fn of(&self, rule: &str, from: Timestamp) -> Option<Found> {
        if let Some(indicator) = self.published.get(rule) {
            return Some(Found::Published(indicator.clone()));
        }
        let (file, kind, bytes) = self.yara(rule).or_else(|| self.sigma(rule))?;
        let pattern = std::str::from_utf8(bytes).ok()?.to_owned();
        let body = Body::Indicator {
            name: shown(rule),
            description: format!("rule of the pack {}, file {file}", self.pack.id()),
            pattern,
            pattern_type: kind,
            valid_from: moment(from),
        };
        let id = own_id("indicator", &[self.pack.id(), kind, rule, &self.pack.reference().sha256]);
        Some(Found::Ours(Box::new(Object::new("indicator", id, from, from, body))))
    }

    /// A rule of YARA is named by its file and its own name.
    fn yara(&self, rule: &str) -> Option<(&str, &'static str, &[u8])> {
        let (file, _) = rule.rsplit_once(':')?;
        self.pack.hunting.yara.get_key_value(file).map(|(file, bytes)| (file.as_str(), "yara", bytes.as_slice()))
    }

    /// A rule of Sigma is named by its id, or by its title.
    fn sigma(&self, rule: &str) -> Option<(&str, &'static str, &[u8])> {
        let names = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let value = |line: &str, key: &str| {
                line.strip_prefix(key).map(|value| value.trim().trim_matches(['"', '\'']).to_owned())
            };
            text.lines().any(|line| [value(line, "id:"), value(line, "title:")].iter().flatten().any(|is| is == rule))
        };
        let found = (!rule.is_empty()).then(|| self.pack.hunting.sigma.iter().find(|(_, bytes)| names(bytes)));
        found.flatten().map(|(file, bytes)| (file.as_str(), "sigma", bytes.as_slice()))
    }
}
