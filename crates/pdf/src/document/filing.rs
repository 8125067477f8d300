//! Filing: who answers for the report, and who took it?

use krilla::tagging::Tag;
use report::view::ReceiptView;

use super::{Setting, column, plain, rows};
use crate::style::{BODY, CODE, SMALL, SOFT, Span, ink_of, span};

impl Setting<'_> {
    pub(super) fn filing(&mut self) {
        self.heading(2, "Attestation and receipts");
        let (label, class) = (self.view.filing.label, self.view.filing.class);
        let standing = span(format!("  {}", self.view.filing.standing), BODY);
        self.paragraph(&[span(sentence(label), BODY.bold().ink(ink_of(class))), standing]);
        self.list(self.view.filing.changed.iter().map(plain).collect());
        let facts = std::mem::take(&mut self.view.filing.facts);
        let lines = facts.iter().enumerate().flat_map(|(at, (name, value, exact))| {
            let before = if at == 0 { "" } else { "\n" };
            [span(format!("{before}{name}:  "), SMALL.bold()), span(value, if *exact { CODE } else { BODY })]
        });
        let lines: Vec<_> = lines.collect();
        if !lines.is_empty() {
            self.paper.text(Tag::P, &lines, 0.0);
            self.paper.skip(4.0);
        }
        self.heading(3, "Receipts");
        if !self.view.filing.untaken.is_empty() {
            self.paragraph(&plain(&self.view.filing.untaken));
        }
        if !self.view.filing.receipts.is_empty() {
            let columns = [("Version", 0.7), ("Received", 2.2), ("By", 2.0), ("Which report", 2.6)].map(column);
            rows(&mut self.paper, &columns, self.view.filing.receipts.iter().map(receipt));
        }
        if self.view.filing.more > 0 {
            let more = [span(format!("{} earlier receipts: ", self.view.filing.more), BODY)];
            let how = [span("portcullis report receipt", CODE), span(" shows them all.", BODY)];
            self.paragraph(&[&more[..], &how].concat());
        }
    }
}

/// A label as it begins a sentence and ends it.
pub(super) fn sentence(label: &str) -> String {
    let mut letters = label.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

fn receipt(of: &ReceiptView) -> Vec<Vec<Span>> {
    let mut received = plain(format!("{}\n", of.received));
    received.push(span(of.label, BODY.bold().ink(ink_of(of.class))));
    if !of.due.is_empty() {
        received.push(span(format!("  due {}", of.due), SMALL));
    }
    let hash = CODE.size(6.4).ink(SOFT);
    let by = vec![span(format!("{}\n", of.authority), BODY), span(format!("key {}", of.fingerprint), hash)];
    let which = vec![span(format!("{}\n", of.whose), BODY), span(format!("SHA-256 {}", of.report_sha256), hash)];
    vec![vec![span(&of.version, BODY.bold())], received, by, which]
}
