//! Metadata: who is the provider, and where are his lists?
//!
//! `provider-metadata.json`, as far as we read it. Keys that it names are not believed: whoever holds the server writes
//! them. Source: CSAF 2.0, section 7.1.8 and its JSON schema of provider metadata.

use serde::Deserialize;

/// The largest that is read, in bytes; real ones have a few thousand.
pub const LARGEST: u64 = 1 << 20;

/// How many lists one provider may have.
const MANY: usize = 256;

/// Metadata of a provider.
#[derive(Debug, Clone, Deserialize)]
pub struct Metadata {
    /// Where it is.
    pub canonical_url: String,
    /// Ways to his documents.
    #[serde(default)]
    distributions: Vec<Distribution>,
}

#[derive(Debug, Clone, Deserialize)]
struct Distribution {
    directory_url: Option<String>,
    rolie: Option<Rolie>,
}

#[derive(Debug, Clone, Deserialize)]
struct Rolie {
    #[serde(default)]
    feeds: Vec<Feed>,
}

/// One feed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Feed {
    /// Its address.
    pub url: String,
    /// For whom it is: `WHITE`, `AMBER`.
    #[serde(default)]
    pub tlp_label: String,
}

impl Feed {
    /// Whether everybody may read it.
    pub fn is_public(&self) -> bool {
        // `CLEAR` is what TLP 2.0 calls it.
        ["WHITE", "CLEAR"].iter().any(|label| self.tlp_label.eq_ignore_ascii_case(label))
    }
}

impl Metadata {
    /// Reads metadata.
    ///
    /// # Errors
    ///
    /// What is wrong with it, with line and column.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let metadata: Self = serde_json::from_slice(bytes).map_err(|err| err.to_string())?;
        if metadata.feeds().count() + metadata.directories().count() > MANY {
            return Err(format!("it names more than {MANY} lists"));
        }
        Ok(metadata)
    }

    /// Its feeds.
    pub fn feeds(&self) -> impl Iterator<Item = &Feed> {
        self.distributions.iter().filter_map(|one| one.rolie.as_ref()).flat_map(|rolie| &rolie.feeds)
    }

    /// Its folders.
    pub fn directories(&self) -> impl Iterator<Item = &str> {
        self.distributions.iter().filter_map(|one| one.directory_url.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_distribution_are_read() {
        let text = br#"{"canonical_url": "https://e.example/provider-metadata.json", "distributions": [
            {"directory_url": "https://e.example/white/"},
            {"rolie": {"feeds": [{"url": "https://e.example/white.json", "tlp_label": "WHITE", "summary": "all"},
                                 {"url": "https://e.example/amber.json", "tlp_label": "AMBER"}]}}]}"#;
        let metadata = Metadata::parse(text).unwrap();
        assert_eq!(metadata.directories().collect::<Vec<_>>(), ["https://e.example/white/"]);
        assert_eq!(metadata.feeds().map(Feed::is_public).collect::<Vec<_>>(), [true, false]);
        assert!(Metadata::parse(b"{}").is_err());
    }
}
