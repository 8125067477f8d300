//! Properties: what holds of Sigma rules whatever stands in them and in the log?

use logs::Format;
use proptest::prelude::*;

use super::tests::{WEB, compile, matched, passing, request};
use crate::literals::Literals;

/// Conditions of every shape over detections of every kind.
fn conditions() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "c", "d", "e", "k"]).prop_map(str::to_owned);
    let of = prop::sample::select(vec!["1 of them", "all of them", "all of a*", "2 of them", "1 of k*"]);
    let leaf = prop_oneof![4 => name, 1 => of.prop_map(str::to_owned)];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|part| format!("not ({part})")),
            (inner.clone(), inner.clone()).prop_map(|(one, two)| format!("({one}) and ({two})")),
            (inner.clone(), inner).prop_map(|(one, two)| format!("({one}) or ({two})")),
        ]
    })
}

fn words() -> impl Strategy<Value = String> {
    "[abkK\u{212a}./ -]{1,4}"
}

fn modifiers() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        "|contains",
        "|startswith",
        "|endswith",
        "|contains|all",
        "|re",
        "|cased",
        "|contains|cased",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// The words are only worth their speed if no line that matches is ever passed over.
    #[test]
    fn with_and_without_words_the_same_lines_match(
        condition in conditions(),
        values in prop::collection::vec((modifiers(), words(), words()), 5),
        paths in prop::collection::vec((words(), words()), 1..12),
    ) {
        let mut rule = String::from("title: t\nlogsource: {category: webserver}\ndetection:\n");
        for (name, (modifier, one, two)) in ["a", "b", "c", "d", "e"].iter().zip(&values) {
            let (one, two) = match *modifier {
                "|re" => (one.replace(['.', '/', '-'], "."), two.clone()),
                _ => (one.clone(), two.clone()),
            };
            rule += &format!("  {name}:\n    cs-uri-query{modifier}: ['{one}', '{two}']\n");
        }
        rule += &format!("  k: ['{}', 'curl']\n  condition: {condition}\n", values[0].1);
        let (rules, broken) = compile(&[("rule.yml", &rule)]);
        prop_assert_eq!(broken, []);
        let lines = paths.iter().map(|(path, agent)| {
            let path = path.replace(' ', "+");
            format!("192.0.2.7 - - [08/Apr/2021:11:46:32 +0000] \"GET /{path} HTTP/1.1\" 200 17 \"-\" \"{agent}\"\n")
        });
        let log: String = lines.collect();
        if let Some(literals) = rules.words_for(Format::Access).and_then(Literals::new) {
            prop_assert_eq!(passing(&rules, &literals, &log).0, matched(&rules, &log), "{}", rule);
        }
    }

    #[test]
    fn whatever_stands_in_a_file_of_rules_is_read_or_refused(
        parts in prop::collection::vec(pieces(), 0..40),
        target in "[ -~]{0,40}",
    ) {
        let text = parts.concat();
        for text in [text.clone(), format!("{WEB}{text}"), WEB.replace("/example/fb/smb", &text)] {
            let (rules, broken) = compile(&[("any.yml", &text)]);
            prop_assert!(broken.iter().all(|broken| !broken.report.is_empty()));
            let log = request("POST", &target.replace(['"', '\\', ' '], "/"), 200);
            matched(&rules, &log);
            rules.words();
            prop_assert_eq!(rules.stumbled(), 0);
        }
    }
}

/// Pieces of rules, and of what is none.
fn pieces() -> impl Strategy<Value = String> {
    let words = [
        "title: t\n",
        "logsource: {product: linux}\n",
        "detection:\n",
        "  condition: ",
        "  a:\n",
        "    ",
        "- ",
        "---\n",
        "|re: ",
        "|all",
        "|base64offset",
        "|cidr: ",
        "|windash",
        "|expand: '%a%'",
        "|fieldref: b",
        "|gt: 3",
        "|exists: true",
        "1 of them",
        "not ",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "&a ",
        "*a",
        "'",
        "\"",
        "\\x28",
        "\n",
        ": ",
        "null",
        "level: high\n",
        "correlation:\n",
        "filter:\n",
        "action: global\n",
        "action: repeat\n",
        "a",
        "b",
        "'*'",
        "'?'",
        "\u{130}",
        "é",
        "#",
        "|",
    ];
    prop_oneof![9 => prop::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => "\\PC{0,12}"]
}
