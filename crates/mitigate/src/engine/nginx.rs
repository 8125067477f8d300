//! Nginx: where does the rule stand in its configuration, and in which words?
//!
//! In each `server` of HTTP as its first words, so that it is asked before any location, rewrite or redirect. The
//! target is looked at as it was sent (`$request_uri`), and once more as nginx has normalised it. `return` with a text
//! is no error page, which could lead to the product after all.
//! Headers that name another path are taken out of what is passed on, wherever headers are set, because nginx before
//! 1.23 shows a rule only the first of two headers of one name.
//! Never guesses at a configuration: what the reader of blocks does not understand is refused.
//! Source: nginx documentation, `ngx_http_rewrite_module`, `ngx_http_proxy_module`; `ngx_conf_file.c` for its grammar.

use std::fmt::Write as _;

use super::{Insertion, Rule};
use crate::rule::{Dialect, Expressions};

/// A block of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its words: `server`, `location /x`.
    pub words: Vec<String>,
    /// Just behind its brace.
    pub opens: usize,
    /// The block around it, by its place in the list.
    pub parent: Option<usize>,
    /// First words of the directives that stand directly in it.
    pub directives: Vec<Vec<String>>,
}

/// Why a configuration cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A brace or a quote has no partner.
    #[error("line {0}: a brace or a quote has no partner")]
    Unclosed(usize),
}

/// The blocks of a file; the first stands for the file itself.
///
/// # Errors
///
/// [`Error`] if braces or quotes do not pair.
pub fn blocks(text: &str) -> Result<Vec<Block>, Error> {
    let mut blocks = vec![Block { words: Vec::new(), opens: 0, parent: None, directives: Vec::new() }];
    let (mut here, mut words) = (0, Vec::new());
    let mut rest = Reader { text, at: 0 };
    let line = |at: usize| text[..at].matches('\n').count() + 1;
    while let Some((at, token)) = rest.next().map_err(|at| Error::Unclosed(line(at)))? {
        match token {
            Token::Word(word) => words.push(word),
            Token::End => blocks[here].directives.push(std::mem::take(&mut words)),
            Token::Open => {
                let is_lua = words.first().is_some_and(|word: &String| word.ends_with("_by_lua_block"));
                if is_lua {
                    rest.skip_block().map_err(|at| Error::Unclosed(line(at)))?;
                    blocks[here].directives.push(std::mem::take(&mut words));
                } else {
                    let words = std::mem::take(&mut words);
                    blocks.push(Block { words, opens: rest.at, parent: Some(here), directives: Vec::new() });
                    here = blocks.len() - 1;
                }
            }
            Token::Close => here = blocks[here].parent.ok_or_else(|| Error::Unclosed(line(at)))?,
        }
    }
    if here == 0 { Ok(blocks) } else { Err(Error::Unclosed(line(blocks[here].opens))) }
}

enum Token {
    Word(String),
    End,
    Open,
    Close,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// The next token and where it begins; an error is the place of what has no partner.
    fn next(&mut self) -> Result<Option<(usize, Token)>, usize> {
        while let Some(next) = self.peek() {
            if next == '#' {
                let end = self.text[self.at..].find('\n').unwrap_or(self.text.len() - self.at);
                self.at += end;
            } else if next.is_ascii_whitespace() || next == '\u{feff}' {
                self.take();
            } else {
                break;
            }
        }
        let at = self.at;
        let token = match self.peek() {
            None => return Ok(None),
            Some(';') => Token::End,
            Some('{') => Token::Open,
            Some('}') => Token::Close,
            Some(_) => return Ok(Some((at, Token::Word(self.word()?)))),
        };
        self.take();
        Ok(Some((at, token)))
    }

    /// A word: quoted as a whole, or up to a space, `;` or `{`, where `${name}` and escapes belong to it.
    fn word(&mut self) -> Result<String, usize> {
        let start = self.at;
        let mut word = String::new();
        let quote = self.peek().filter(|first| matches!(first, '"' | '\''));
        if quote.is_some() {
            self.take();
        }
        loop {
            match (self.peek(), quote) {
                (None, Some(_)) => return Err(start),
                (None, None) => return Ok(word),
                (Some(next), Some(quote)) if next == quote => {
                    self.take();
                    return Ok(word);
                }
                (Some(next), None) if next.is_ascii_whitespace() || matches!(next, ';' | '{') => {
                    if next == '{' && word.ends_with('$') {
                        let end = self.text[self.at..].find('}').ok_or(start)?;
                        word.push_str(&self.text[self.at..=self.at + end]);
                        self.at += end + 1;
                    } else {
                        return Ok(word);
                    }
                }
                (Some('\\'), _) => {
                    word.extend(self.take());
                    word.extend(self.take());
                }
                (Some(_), _) => word.extend(self.take()),
            }
        }
    }

    /// Passes over a block whose content is no configuration.
    fn skip_block(&mut self) -> Result<(), usize> {
        let (start, mut depth) = (self.at, 1);
        while depth > 0 {
            match self.take() {
                Some('{') => depth += 1,
                Some('}') => depth -= 1,
                Some(_) => {}
                None => return Err(start),
            }
        }
        Ok(())
    }
}

/// What stands around a file.
#[derive(Debug, Clone, Copy)]
pub struct Around {
    /// Whether its own top stands where HTTP is spoken.
    pub is_http: bool,
    /// Whether some file sets headers at its own top, for whoever includes it.
    pub is_set_above: bool,
}

/// Whether headers are set directly in a block.
pub fn sets_headers(block: &Block) -> bool {
    block.directives.iter().any(|words| words.first().is_some_and(|word| word == SET))
}

/// What is inserted into one file: the rule into each server of HTTP.
pub fn insertions(blocks: &[Block], snippet: &str, headers: &[&str], around: Around) -> Vec<Insertion> {
    let mut insertions = Vec::new();
    for (n, block) in blocks.iter().enumerate() {
        let above = |n: usize| std::iter::successors(blocks[n].parent, |n| blocks[*n].parent);
        let named = |n: usize, name: &str| blocks[n].words.first().is_some_and(|word| word == name);
        let is_within = around.is_http && !above(n).any(|n| named(n, "stream") || named(n, "mail"));
        let sets = |n: usize| sets_headers(&blocks[n]);
        let is_server = named(n, "server") && is_within;
        let is_above_alone = is_server && !around.is_set_above && !std::iter::once(n).chain(above(n)).any(sets);
        let mut text = String::new();
        if is_server {
            let _ = write!(text, "\n    include {snippet};");
        }
        if is_within && (sets(n) || is_above_alone) {
            headers.iter().for_each(|header| {
                let _ = write!(text, "\n    {SET} {header} \"\";");
            });
        }
        if n == 0 && !text.is_empty() {
            text.push('\n');
        }
        if !text.is_empty() {
            insertions.push(Insertion { at: block.opens, text });
        }
    }
    insertions
}

const SET: &str = "proxy_set_header";

/// The rule, to be included in a server.
pub fn snippet(rule: &Rule<'_>) -> String {
    let of = Expressions::new(&rule.blocked(), Dialect::Pcre);
    let (word, marker) = (rule.word(), rule.marker());
    let mut out =
        format!("# {marker}: {}\n# `portcullis mitigate undo` takes it away.\n", line(&rule.workaround.title));
    let refuse = |condition: String| format!("if ({condition}) {{ return 403 \"{marker}\\n\"; }}\n");
    for header in rule.headers() {
        let variable = header.to_ascii_lowercase().replace('-', "_");
        out.push_str(&refuse(format!("$http_{variable}")));
    }
    out.push_str(&refuse(format!("$request_uri ~* \"{}\"", of.garbled)));
    for text in &of.spelt {
        out.push_str(&refuse(format!("$request_uri ~* \"{text}\"")));
    }
    for text in &of.normal {
        out.push_str(&refuse(format!("$uri ~* \"{text}\"")));
    }
    let _ = writeln!(out, "set $portcullis_{word} \"\";");
    let _ = writeln!(out, "if ($request_uri ~* \"{}\") {{ set $portcullis_{word} \"climbs\"; }}", of.climbs);
    for text in &of.last {
        let append = format!("set $portcullis_{word} \"${{portcullis_{word}}}-last\";");
        let _ = writeln!(out, "if ($request_uri ~* \"{text}\") {{ {append} }}");
    }
    out.push_str(&refuse(format!("$portcullis_{word} ~ \"climbs-last\"")));
    out
}

/// A text of a pack as one line of a comment.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTP: Around = Around { is_http: true, is_set_above: false };

    const TEXT: &str = r#"
# server { in a comment }
http {
    proxy_set_header Host $host;
    map $x $y { "~*{" 1; default "}"; }
    server { listen 80; location ~ "^/a{2}$" { proxy_set_header X ${host}; } }
    server{
        content_by_lua_block { if x then return "{" .. "}" end }
    }
    upstream u { server 127.0.0.1:1; }
}
stream { server { listen 1; } }
"#;

    #[test]
    fn the_rule_goes_into_every_server_of_http_and_nowhere_else() {
        let blocks = blocks(TEXT).unwrap();
        let (text, difference) = super::super::insert(TEXT, insertions(&blocks, "/x.conf", &["X-Original-URL"], HTTP));
        assert_eq!(text.matches("include /x.conf;").count(), 2, "{text}");
        // Where headers are set; both servers inherit from above.
        assert_eq!(text.matches("proxy_set_header X-Original-URL").count(), 2, "{text}");
        assert!(text.contains("server{\n    include /x.conf;\n"), "{text}");
        assert!(difference.starts_with("+4: proxy_set_header"), "{difference}");
        assert!(text.contains("stream { server { listen"));
    }

    #[test]
    fn a_server_that_sets_no_header_and_inherits_none_gets_them() {
        let text = "server { listen 1; }";
        let all = insertions(&blocks(text).unwrap(), "/x.conf", &["X-Original-URL"], HTTP);
        assert!(all[0].text.contains("proxy_set_header X-Original-URL \"\";"));
        let elsewhere = Around { is_http: false, ..HTTP };
        assert!(insertions(&blocks(text).unwrap(), "/x.conf", &[], elsewhere).is_empty());
    }

    #[test]
    fn a_file_that_sets_headers_for_others_gets_them_and_no_server_begins_to_set_its_own() {
        let around = Around { is_set_above: true, ..HTTP };
        let all = |text: &str| insertions(&blocks(text).unwrap(), "/x.conf", &["X-Original-URL"], around);
        let params = "proxy_set_header Host $http_host;\n";
        assert!(
            super::super::insert(params, all(params)).0.ends_with("URL \"\";\nproxy_set_header Host $http_host;\n")
        );
        assert!(!all("server { location / { include proxy_params; } }")[0].text.contains("proxy_set_header"));
    }

    proptest::proptest! {
        #[test]
        fn a_crafted_configuration_is_read_or_refused_and_keeps_its_own_lines(
            text in "[a-z{};#$ \n\"'\\\\é]{0,80}|(http|server|x) ?[{;] ?(server [{]|proxy_set_header a b;|[}]){0,9}"
        ) {
            if let Ok(blocks) = blocks(&text) {
                let (new, _) = super::super::insert(&text, insertions(&blocks, "/x.conf", &["X-A"], HTTP));
                let added = new.replace("\n    include /x.conf;", "").replace("\n    proxy_set_header X-A \"\";", "");
                proptest::prop_assert!(added == text || added.replacen('\n', "", 1) == text, "{added:?} of {text:?}");
            }
        }
    }

    #[test]
    fn a_configuration_whose_braces_do_not_pair_is_refused_with_its_line() {
        assert_eq!(blocks("http {\n server { }\n").unwrap_err(), Error::Unclosed(1));
        assert_eq!(blocks("a;\n}\n").unwrap_err(), Error::Unclosed(2));
        assert_eq!(blocks("a;\nb \"c;\n").unwrap_err(), Error::Unclosed(2));
    }
}
