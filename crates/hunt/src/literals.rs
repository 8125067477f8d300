//! Literals: which lines of a log can matter at all?
//!
//! Most lines of a log match no rule and bear no indicator. A line without any of these words need not even be cut
//! into fields. What is told here must hold of every line that matters: where that is not certain, nothing is told.

use std::net::IpAddr;

use aho_corasick::{AhoCorasick, MatchKind};
use ipnet::IpNet;

/// Characters outside of ASCII that are letters of ASCII in small: rules are held against small letters, so that a
/// line with one of them may match without any of the words. There are three (Unicode 16, `CaseFolding.txt`).
const FOLDING: [&str; 3] = ["\u{212a}", "\u{130}", "\u{17f}"];

/// Words of which one must be there; `None` if that cannot be said.
pub type Words = Option<Vec<String>>;

/// Words of which a line holds at least one if it matters, whatever its capitals.
#[derive(Debug, Clone)]
pub struct Literals {
    finder: AhoCorasick,
}

impl Literals {
    /// Prepares the search for any of the words. `None` if they are too many to search for.
    pub fn new(mut words: Vec<String>) -> Option<Self> {
        words.sort();
        words.dedup();
        let words = words.iter().map(String::as_str).chain(FOLDING);
        let builder = &mut AhoCorasick::builder();
        let finder = builder.ascii_case_insensitive(true).match_kind(MatchKind::Standard).build(words).ok()?;
        Some(Self { finder })
    }

    /// Where the next of the words lies: any byte of the first line that holds one. `None`: no line of the block.
    pub fn next(&self, block: &[u8]) -> Option<usize> {
        // Of all words the one that ends first: no earlier line holds any.
        self.finder.find(block).map(|found| found.start())
    }
}

/// One of several must hold, so that any of all their words may be there.
pub(crate) fn any(parts: impl Iterator<Item = Words>) -> Words {
    let mut all = Vec::new();
    for part in parts {
        all.extend(part?);
    }
    Some(all)
}

/// All must hold, so that the words of one are enough: of the one whose shortest word is longest.
pub(crate) fn all(parts: impl Iterator<Item = Words>) -> Words {
    let shortest = |words: &Vec<String>| words.iter().map(String::len).min().unwrap_or(usize::MAX);
    parts.flatten().max_by_key(|words| (shortest(words), usize::MAX - words.len()))
}

/// The longest part of a value that stands in the line byte for byte, apart from capitals. A character outside of
/// ASCII may have replaced bytes that were none.
pub(crate) fn word(value: &str) -> Words {
    let parts = value.split(|character: char| !matches!(character, ' '..='~'));
    let longest = parts.max_by_key(|part| part.len()).filter(|part| !part.is_empty())?;
    Some(vec![longest.to_owned()])
}

/// What every spelling of every address of a network holds.
///
/// Source: RFC 4291 section 2.2, the ways to write an address; RFC 6943 section 3.1.1, other ways to write one of
/// IPv4, none of which is read as an address.
pub(crate) fn network(network: &IpNet) -> Words {
    let whole = usize::from(network.prefix_len());
    match network.addr() {
        IpAddr::V4(address) => {
            let octets = address.octets();
            let octets: Vec<String> = octets.iter().take(whole / 8).map(u8::to_string).collect();
            let end = if octets.len() < 4 { "." } else { "" };
            // An address of IPv4 may be written as one of IPv6, and then in hexadecimal digits.
            (!octets.is_empty()).then(|| vec![octets.join(".") + end, "ffff:".to_owned()])
        }
        IpAddr::V6(address) => {
            // The last two may be written as an address of IPv4; of the others each stands there but for its zeros.
            let groups = address.segments().into_iter().take((whole / 16).min(6));
            let longest = groups.max().filter(|group| *group > 0)?;
            Some(vec![format!("{longest:x}")])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_network_too_wide_to_have_words_says_so() {
        for (text, words) in [
            ("0.0.0.0/0", None),
            ("10.0.0.0/8", Some(["10.", "ffff:"].as_slice())),
            ("192.0.2.7/32", Some(&["192.0.2.7", "ffff:"])),
            ("2001:db8::/32", Some(&["2001"])),
            ("::1/128", None),
        ] {
            let words = words.map(|words| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
            assert_eq!(network(&text.parse().unwrap()), words, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_spelling_of_an_address_holds_a_word_of_its_networks(bits: u128, six: bool, prefix in 0_u8..=128) {
            let address: IpAddr = if six { IpAddr::V6(bits.into()) } else { IpAddr::V4((bits as u32).into()) };
            let prefix = if six { prefix } else { prefix.min(32) };
            let Some(words) = network(&IpNet::new(address, prefix).unwrap().trunc()) else { return Ok(()) };
            let literals = Literals::new(words).unwrap();
            let long = |address: std::net::Ipv6Addr| {
                address.segments().map(|group| format!("{group:04X}")).join(":")
            };
            let spellings = match address {
                IpAddr::V4(four) => vec![
                    four.to_string(),
                    four.to_ipv6_mapped().to_string(),
                    long(four.to_ipv6_mapped()),
                ],
                IpAddr::V6(six) => vec![six.to_string(), long(six)],
            };
            for spelling in spellings {
                prop_assert!(literals.next(spelling.as_bytes()).is_some(), "{spelling}");
            }
        }
    }
}
