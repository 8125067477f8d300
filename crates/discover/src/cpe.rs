//! Cpe: what is a product called in CPE 2.3?
//!
//! Recog writes names as CPE 2.2 had them, with versions as servers send them; what goes into a record is the formatted
//! string of 2.3, in small letters and with every sign escaped that has a meaning there.
//! Source: NISTIR 7695, sections 5.3, 6.1 and 6.2.

/// A name as a formatted string of CPE 2.3; `None` if it is no name.
pub(crate) fn formatted(name: &str) -> Option<String> {
    if name.starts_with("cpe:2.3:") {
        return Some(name.to_owned());
    }
    let mut parts: Vec<&str> = name.strip_prefix("cpe:/")?.split(':').collect();
    if parts.len() < 3 || parts.len() > 7 || !matches!(parts[0], "a" | "o" | "h") {
        return None;
    }
    parts.resize(7, "");
    // Four attributes of 2.3 are packed into the edition: `~edition~sw~target-sw~target-hw~other`.
    let packed: Vec<&str> = match parts[5].strip_prefix('~') {
        Some(packed) => packed.split('~').collect(),
        None => vec![parts[5]],
    };
    let of = |n: usize| packed.get(n).copied().unwrap_or_default();
    let all = [parts[0], parts[1], parts[2], parts[3], parts[4], of(0), parts[6], of(1), of(2), of(3), of(4)];
    Some(format!("cpe:2.3:{}", all.map(attribute).join(":")))
}

/// A pattern of a pack, `cpe:2.3:a:vendor:product:*:...`, with a version in it.
pub(crate) fn with_version(pattern: &str, version: Option<&str>) -> Option<String> {
    let mut parts: Vec<String> = pattern.strip_prefix("cpe:2.3:")?.split(':').map(str::to_owned).collect();
    if parts.len() < 3 {
        return None;
    }
    parts.resize(11, "*".to_owned());
    if let Some(version) = version {
        parts[3] = attribute(version);
    }
    Some(format!("cpe:2.3:{}", parts.join(":")))
}

/// Whether two names are of one product, whatever their versions.
pub(crate) fn is_same_product(a: &str, b: &str) -> bool {
    vendor_and_product(a).is_some_and(|a| vendor_and_product(b) == Some(a))
}

/// From `cpe:/a:openbsd:openssh:9.2p1` (as Recog writes) or `cpe:2.3:a:openbsd:openssh:...`.
fn vendor_and_product(cpe: &str) -> Option<(&str, &str)> {
    let mut parts = cpe.strip_prefix("cpe:/").or_else(|| cpe.strip_prefix("cpe:2.3:"))?.split(':');
    parts.next()?;
    Some((parts.next()?, parts.next()?))
}

/// One attribute: `*` for nothing said, `-` for not applicable.
fn attribute(value: &str) -> String {
    let value = unescaped(value);
    if value.is_empty() {
        return "*".to_owned();
    }
    if value == "-" || value == "*" {
        return value;
    }
    let mut out = String::new();
    for c in value.chars() {
        match c {
            'a'..='z' | '0'..='9' | '_' | '.' | '-' => out.push(c),
            'A'..='Z' => out.push(c.to_ascii_lowercase()),
            ' ' => out.push('_'),
            '!'..='~' => out.extend(['\\', c]),
            // Nothing else may stand in a name.
            _ => {}
        }
    }
    if out.is_empty() { "*".to_owned() } else { out }
}

/// `%2b` is `+` in names of 2.2.
fn unescaped(value: &str) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let code = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code.filter(u8::is_ascii_graphic) {
            Some(code) => {
                out.push(char::from(code));
                rest = &after[2..];
            }
            None => rest = after,
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: &str) {
        assert_eq!(formatted(name).as_deref().unwrap_or("none"), expected);
    }

    #[test]
    fn names_of_recog_become_formatted_strings() {
        check("cpe:/a:openbsd:openssh:9.2p1", "cpe:2.3:a:openbsd:openssh:9.2p1:*:*:*:*:*:*:*");
        check("cpe:/o:debian:debian_linux:-", "cpe:2.3:o:debian:debian_linux:-:*:*:*:*:*:*:*");
        check("cpe:/a:x:gate:9.16(4)57 R", "cpe:2.3:a:x:gate:9.16\\(4\\)57_r:*:*:*:*:*:*:*");
        check("cpe:/a:x:gate%2b:1:p1:~~~node~~", "cpe:2.3:a:x:gate\\+:1:p1:*:*:*:node:*:*");
        check("cpe:2.3:a:x:y:1:*:*:*:*:*:*:*", "cpe:2.3:a:x:y:1:*:*:*:*:*:*:*");
        check("cpe:/a:x", "none");
        check("nothing", "none");
    }

    #[test]
    fn a_version_that_a_server_sent_cannot_add_parts() {
        check("cpe:/a:x:gate:1*:2\u{1b}[2J:3", "cpe:2.3:a:x:gate:1\\*:2\\[2j:3:*:*:*:*:*");
        let pattern = "cpe:2.3:a:x:gate:*:*:*:*:*:*:*:*";
        let expected = "cpe:2.3:a:x:gate:1\\:2\\*:*:*:*:*:*:*:*";
        assert_eq!(with_version(pattern, Some("1:2*")).as_deref(), Some(expected));
        assert_eq!(with_version(pattern, None).as_deref(), Some(pattern));
    }

    #[test]
    fn the_same_product_has_many_names() {
        assert!(is_same_product("cpe:/a:x:gate:1", "cpe:2.3:a:x:gate:2:*"));
        assert!(!is_same_product("cpe:/a:x:gate:1", "cpe:2.3:a:x:other:1:*"));
        assert!(!is_same_product("", ""));
    }

    proptest::proptest! {
        #[test]
        fn formatting_never_panics(name in "cpe:/[ -~é%:]{0,40}") {
            let _ = formatted(&name);
        }
    }
}
