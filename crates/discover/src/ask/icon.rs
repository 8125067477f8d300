//! Icon: which icon does a server show, and by which digests is it known?
//!
//! Icons are drawn once and forgotten: many products are known by theirs. Recog counts MD5; other search engines count
//! MurmurHash3 over the icon in base64, broken into lines. Neither proves anything: whoever serves an icon chose it.
//! Source: Recog, `favicons.xml`; A. Appleby, MurmurHash3 (public domain), `MurmurHash3_x86_32`; RFC 2045 section 6.8
//! for lines of 76 characters.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

/// The digests of an icon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Icon {
    /// In hexadecimal digits.
    pub(crate) md5: String,
    /// Signed, as search engines write it.
    pub(crate) mmh3: i32,
}

impl Icon {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut lines = String::new();
        for line in STANDARD.encode(bytes).as_bytes().chunks(76) {
            lines.extend(line.iter().map(|byte| char::from(*byte)));
            lines.push('\n');
        }
        Self { md5: directive::record::hex(&Md5::digest(bytes)), mmh3: murmur3(lines.as_bytes()).cast_signed() }
    }
}

/// Bytes of one tag, and tags of a page, that are looked at: a page may be made of tags without an end, each of which
/// would be read to the end of the page.
const TAG: usize = 2048;
const TAGS: usize = 256;

/// The address of the icon that a page names, as the page writes it.
pub(super) fn named_by(body: &str) -> Option<&str> {
    let tags = body.match_indices('<').map(|(at, _)| &body[at + 1..]);
    let links = tags.filter(|tag| tag.get(..5).is_some_and(|name| name.eq_ignore_ascii_case("link ")));
    links
        .take(TAGS)
        .filter_map(|tag| tag.get(..tag.bytes().take(TAG).position(|byte| byte == b'>')?))
        .filter(|tag| attribute(tag, "rel").is_some_and(|rel| rel.to_ascii_lowercase().contains("icon")))
        .find_map(|tag| attribute(tag, "href"))
}

/// The value of an attribute of a tag, with or without quotes.
fn attribute<'t>(tag: &'t str, name: &str) -> Option<&'t str> {
    let lower = tag.to_ascii_lowercase();
    let mut from = 0;
    while let Some(found) = lower[from..].find(name) {
        let at = from + found;
        from = at + name.len();
        let begins = lower[..at].ends_with(|c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\''));
        let Some(value) = tag[from..].trim_start().strip_prefix('=').filter(|_| begins) else { continue };
        let value = value.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        return match quote {
            Some(quote) => value[1..].split(quote).next(),
            None => value.split_ascii_whitespace().next(),
        };
    }
    None
}

/// MurmurHash3 of 32 bits with seed 0.
fn murmur3(bytes: &[u8]) -> u32 {
    let scramble = |block: u32| block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let mut hash = 0_u32;
    let mut blocks = bytes.chunks_exact(4);
    for block in &mut blocks {
        let block = block.iter().rev().fold(0, |all, byte| all << 8 | u32::from(*byte));
        hash = (hash ^ scramble(block)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let tail = blocks.remainder().iter().rev().fold(0, |all, byte| all << 8 | u32::from(*byte));
    hash ^= scramble(tail);
    // The algorithm counts in 32 bits.
    hash ^= bytes.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur3_counts_as_published() {
        for (text, expected) in [
            ("", 0),
            ("a", 0x3c25_69b2),
            ("hello", 0x248b_fa47),
            ("hello, world", 0x149b_bb7f),
            ("The quick brown fox jumps over the lazy dog", 0x2e4f_f723),
        ] {
            assert_eq!(murmur3(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn an_icon_has_both_digests() {
        let icon = Icon::of(b"abc");
        assert_eq!(icon.md5, "900150983cd24fb0d6963f7d28e17f72");
        // Python: mmh3.hash(base64.encodebytes(bytes(range(256)) * 2)).
        let long: Vec<u8> = (0..=255).chain(0..=255).collect();
        assert_eq!(Icon::of(&long).mmh3, -1_173_581_353);
        assert_eq!(icon.mmh3, -868_969_266);
    }

    #[test]
    fn a_page_names_its_icon_in_many_ways() {
        let check = |body: &str, expected: Option<&str>| assert_eq!(named_by(body), expected, "{body}");
        check(r#"<link rel="icon" href="/a.ico">"#, Some("/a.ico"));
        check("<LINK type=x REL='shortcut icon'  HREF = /a.ico >", Some("/a.ico"));
        check(r#"<link rel="stylesheet" href="/a.css"><link href=b.png rel=apple-touch-icon>"#, Some("b.png"));
        check(r#"<link rel="icon">"#, None);
        check(r#"<link rel="icon" data-href="/a">"#, None);
        check("<link rel=icon href=", None);
        check("<link rel=icon href=/a", None);
    }

    #[test]
    fn a_page_of_tags_without_an_end_is_not_read_for_each_of_them() {
        let page = "<link rel=x ".repeat(TAGS) + "<link rel=icon href=/a>";
        assert_eq!(named_by(&page), None, "it stands behind more tags than are looked at");
        let long = format!("<link {} rel=icon href=/a>", " ".repeat(TAG));
        assert_eq!(named_by(&long), None);
        assert_eq!(named_by(&format!("{long}<link rel=icon href=/b>")), Some("/b"));
    }

    proptest::proptest! {
        #[test]
        fn looking_for_an_icon_never_panics(body in "(<link |rel=|href=|icon|\"|'|>|é| ){0,16}") {
            let _ = named_by(&body);
        }
    }
}
