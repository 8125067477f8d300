//! TLP: how far may a report go, in the words that other programs understand?
//!
//! A form's caveat is a sentence of its authority. Where it names a label of the Traffic Light Protocol, that label is
//! handed on as such; where it names none, nothing is made of it but its own words.
//! Source: FIRST, Traffic Light Protocol 2.0 and 1.0.

/// A label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tlp {
    Clear,
    Green,
    Amber,
    AmberStrict,
    Red,
}

impl Tlp {
    /// The strictest label that a caveat names.
    pub(crate) fn of(caveat: &str) -> Option<Self> {
        let upper = caveat.to_uppercase();
        let mut found = None;
        for (at, _) in upper.match_indices("TLP:") {
            let label = upper[at + 4..].trim_start();
            let word: String = label.chars().take_while(|c| c.is_ascii_alphabetic() || *c == '+').collect();
            let level = match word.as_str() {
                "CLEAR" | "WHITE" => Self::Clear,
                "GREEN" => Self::Green,
                "AMBER" => Self::Amber,
                "AMBER+STRICT" => Self::AmberStrict,
                "RED" => Self::Red,
                _ => continue,
            };
            let is_stricter = found.is_none_or(|found: Self| level as u8 > found as u8);
            found = if is_stricter { Some(level) } else { found };
        }
        found
    }

    /// The label as CSAF 2.0 writes it, which knows version 1.0 alone.
    pub(crate) fn in_csaf(self) -> &'static str {
        match self {
            Self::Clear => "WHITE",
            Self::Green => "GREEN",
            Self::Amber | Self::AmberStrict => "AMBER",
            Self::Red => "RED",
        }
    }

    /// The marking of STIX 2.1: id and label. Source: STIX 2.1, 7.2.1.4.
    pub(crate) fn in_stix(self) -> (&'static str, &'static str) {
        match self {
            Self::Clear => ("marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9", "white"),
            Self::Green => ("marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da", "green"),
            Self::Amber | Self::AmberStrict => ("marking-definition--f88d31f6-486f-44da-b317-01333bde0b82", "amber"),
            Self::Red => ("marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed", "red"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caveat_that_names_a_label_is_that_label_and_no_other_is() {
        for (caveat, label) in [
            ("Handle as TLP:AMBER.", Some(Tlp::Amber)),
            ("tlp: amber+strict", Some(Tlp::AmberStrict)),
            ("TLP:GREEN once published, TLP:RED before", Some(Tlp::Red)),
            ("TLP:WHITE", Some(Tlp::Clear)),
            ("TLP:PURPLE", None),
            ("Share only with those who need to know.", None),
            ("", None),
        ] {
            assert_eq!(Tlp::of(caveat), label, "{caveat}");
        }
    }
}
