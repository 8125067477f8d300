//! Cpe: is a text a name that other programs take for one of CPE 2.3?
//!
//! Names come from fingerprints and packs, with a version in them that an instance told. One that is none is left out.

/// Whether a text is a name of CPE 2.3 as it is bound to a string. Source: NISTIR 7695, 6.2.
pub(crate) fn is_cpe(text: &str) -> bool {
    let is_part = |part: &&str| matches!(*part, "a" | "h" | "o" | "*" | "-");
    let mut parts = text.split(':');
    let head = parts.next() == Some("cpe") && parts.next() == Some("2.3") && parts.next().as_ref().is_some_and(is_part);
    let rest: Vec<&str> = parts.collect();
    let is_plain = |part: &&str| {
        let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-\\".contains(c);
        *part == "*" || (!part.is_empty() && part.chars().all(inside) && !part.ends_with('\\'))
    };
    head && rest.len() == 10 && rest.iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_cpe_is_one_and_a_text_is_none() {
        assert!(is_cpe("cpe:2.3:a:pulsesecure:pulse_connect_secure:9.1r10:*:*:*:*:*:*:*"));
        assert!(!is_cpe("cpe:2.3:a:pulse secure:x:1:*:*:*:*:*:*:*"));
        assert!(!is_cpe("cpe:2.3:a:x:y:*"));
        assert!(!is_cpe("cpe:2.3:a:pulsesecure:pulse_connect_secure::*:*:*:*:*:*:*"));
        assert!(!is_cpe("pkg:deb/debian/openssh"));
    }
}
