//! Times: when was a file touched, by which of its clocks?
//!
//! A map of one to three names. A finding has one, and there are findings by the hundred thousand, so
//! that it takes as little memory as a list.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A name: those that we give ourselves take no memory.
type Name = Cow<'static, str>;

/// Times by name, sorted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Times(Vec<(Name, Timestamp)>);

impl Times {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The time of that name.
    pub fn get(&self, name: &str) -> Option<&Timestamp> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, at)| at)
    }

    /// Whether there is a time of that name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Puts a time in the place of the one of that name.
    pub fn insert(&mut self, name: impl Into<Name>, at: Timestamp) {
        let name = name.into();
        match self.0.binary_search_by(|(known, _)| known.cmp(&name)) {
            Ok(place) => self.0[place].1 = at,
            Err(place) => {
                self.0.reserve_exact(1);
                self.0.insert(place, (name, at));
            }
        }
    }

    /// Takes the time of that name out.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    /// Bytes that it takes beside itself.
    pub fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<(Name, Timestamp)>()
    }
}

impl<N: Into<Name>> Extend<(N, Timestamp)> for Times {
    fn extend<I: IntoIterator<Item = (N, Timestamp)>>(&mut self, times: I) {
        times.into_iter().for_each(|(name, at)| self.insert(name, at));
    }
}

impl<N: Into<Name>> FromIterator<(N, Timestamp)> for Times {
    fn from_iter<I: IntoIterator<Item = (N, Timestamp)>>(times: I) -> Self {
        let mut out = Self::default();
        out.extend(times);
        out
    }
}

impl Serialize for Times {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, at)| (name, at)))
    }
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Map)
    }
}

struct Map;

impl<'de> Visitor<'de> for Map {
    type Value = Times;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a map of names to times")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Times, A::Error> {
        let mut times = Times::default();
        while let Some((name, at)) = map.next_entry::<String, Timestamp>()? {
            times.insert(name, at);
        }
        Ok(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_a_map_sorted_by_name_that_reads_back() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut times: Times = [("mtime", at(3)), ("birth", at(1))].into_iter().collect();
        times.extend([("mtime".to_owned(), at(2))]);
        let json = serde_json::to_string(&times).unwrap();
        assert_eq!(json, r#"{"birth":"1970-01-01T00:00:01Z","mtime":"1970-01-01T00:00:02Z"}"#);
        assert_eq!(serde_json::from_str::<Times>(&json).unwrap(), times);
        times.remove("birth");
        assert!(!times.contains_key("birth") && times.get("mtime") == Some(&at(2)));
    }
}
