//! List: which indicators does a plain list hold?
//!
//! One a line, as responders paste them into mails: digests, addresses, networks, paths, pages, host names; what
//! follows after a space, tab, comma or semicolon is its name. `string:`, `path:`, `name:`, `domain:`, `url:`,
//! `agent:` before it says what it is; a `string:` is the whole rest of the line.

use directive::problem::Problem;

use super::{Indicator, Sign, digest, refanged};

pub(super) fn read(file: &str, bytes: &[u8]) -> (Vec<Indicator>, Vec<Problem>) {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("not UTF-8 from byte {}", error.valid_up_to());
            return (Vec::new(), vec![Problem::whole(file, message)]);
        }
    };
    let mut found = Vec::new();
    let mut problems = Vec::new();
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let span = at..at + line.trim_end().len();
        at += line.len();
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match sign(line) {
            Some((sign, name)) => {
                let id = format!("{file}:{}", number + 1);
                let name = if name.is_empty() { id.clone() } else { name.to_owned() };
                found.push(Indicator { id, name, attack: Vec::new(), any_of: vec![vec![sign]] });
            }
            // A list that is not one has a problem a line, and one tells as much as a million.
            None if problems.len() < 100 => problems.push(
                Problem::at(file, text, span, "this is no indicator")
                    .hint("a digest, an address, a network, a path, a page or a host name; or say `string: ...`"),
            ),
            None => {}
        }
    }
    (found, problems)
}

fn sign(line: &str) -> Option<(Sign, &str)> {
    let plain = |text: &str| text.trim().to_owned();
    if let Some((kind, rest)) = line.split_once(':')
        && !rest.trim().is_empty()
    {
        let sign = match kind.trim() {
            "string" => Some(Sign::Content(plain(rest).into_bytes())),
            "path" => Some(Sign::Path(plain(rest).into_bytes())),
            "name" => Some(Sign::Name(plain(rest).into_bytes())),
            "agent" => Some(Sign::UserAgent(plain(rest))),
            "domain" => Some(Sign::Domain(refanged(rest.trim()).to_ascii_lowercase())),
            "url" => Some(Sign::Url(refanged(rest.trim()))),
            _ => None,
        };
        if let Some(sign) = sign {
            return Some((sign, ""));
        }
    }
    let end = line.find([' ', '\t', ',', ';']).unwrap_or(line.len());
    let (word, name) = (&line[..end], line[end..].trim_matches([' ', '\t', ',', ';', '"']));
    let word = word.trim_matches('"');
    if let Some(sign) = digest(word) {
        return Some((sign, name));
    }
    let word = refanged(word);
    let sign = if let Ok(address) = word.parse::<std::net::IpAddr>() {
        Sign::Network(address.into())
    } else if let Ok(network) = word.parse::<ipnet::IpNet>() {
        Sign::Network(network.trunc())
    } else if word.starts_with("http://") || word.starts_with("https://") {
        Sign::Url(word)
    } else if word.starts_with('/') {
        // A path may hold spaces; then it needs `path:`.
        Sign::Path(word.into_bytes())
    } else if is_domain(&word) {
        Sign::Domain(word.to_ascii_lowercase())
    } else {
        return None;
    };
    Some((sign, name))
}

fn is_domain(word: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let labels: Vec<&str> = word.split('.').collect();
    labels.len() > 1
        && labels.iter().all(|label| is_label(label))
        && labels.last().is_some_and(|top| top.len() > 1 && top.bytes().all(|byte| byte.is_ascii_alphabetic()))
}
