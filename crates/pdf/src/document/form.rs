//! Form: what does the authority's form say, and what does it lack?
//!
//! The inventory stands on sheets that lie on their side, one row an instance under the form's own numbers, since that
//! is how authorities read it.

use report::view::Shown;

use super::{Setting, column, plain, rows};
use crate::fonts::Fonts;
use crate::style::{A4, BODY, SMALL, SOFT, Span, WARN, span};
use crate::table::{Column, PAD, Table};

impl Setting<'_> {
    pub(super) fn form(&mut self) {
        self.heading(2, "The authority’s form");
        let filled = self.view.form.filled;
        let goes = if filled.submit_to.is_empty() { String::new() } else { format!("; goes to {}", filled.submit_to) };
        self.paragraph(&[span(format!("{}, version {}{goes}.", filled.title, filled.version), BODY)]);
        if !filled.caveat.is_empty() {
            self.paragraph(&[span(&filled.caveat, BODY.ink(SOFT))]);
        }
        self.lacks("Required, and nobody knows it yet", |form| std::mem::take(&mut form.missing));
        self.lacks("Rules of the form that do not hold", |form| std::mem::take(&mut form.broken));
        let fields = std::mem::take(&mut self.view.form.fields);
        if !fields.is_empty() {
            self.heading(3, "Answers");
            let columns = [("No.", 1.2), ("Question", 3.0), ("Answer", 2.6)].map(column);
            rows(&mut self.paper, &columns, fields.iter().map(answer));
        }
    }

    fn lacks(&mut self, title: &str, take: impl Fn(&mut report::view::FormView<'_>) -> Vec<String>) {
        let lacking = take(&mut self.view.form);
        if !lacking.is_empty() {
            self.heading(3, title);
            self.list(lacking.iter().map(plain).collect());
        }
    }

    /// The last pages, since they lie on their side.
    pub(super) fn inventory(&mut self) {
        let inventory = std::mem::take(&mut self.view.form.rows);
        let Some((_, questions)) = inventory.first() else { return };
        self.paper.format((A4.1, A4.0));
        self.heading(3, "Inventory");
        self.paragraph(&[span("– stands for what nobody knows.", SMALL)]);
        let legend = questions.iter().map(|(label, question, _)| format!("{label} {question}")).collect::<Vec<_>>();
        self.paragraph(&[span(legend.join("   "), SMALL)]);
        let size = SMALL.size(6.6);
        let width = self.paper.width();
        let shares = shares(&inventory, &mut self.paper.fonts, width);
        let mut columns = vec![Column { title: "Instance", share: shares[0] }];
        let titles = questions.iter().zip(&shares[1..]);
        columns.extend(titles.map(|((label, ..), share)| Column { title: label, share: *share }));
        let mut table = Table::sized(&mut self.paper, &columns, size.bold());
        for (name, answers) in &inventory {
            let mut cells = vec![vec![span(name, BODY.size(6.6).bold())]];
            cells.extend(answers.iter().map(|(_, _, value)| {
                if value.is_empty() { vec![span("–", size.ink(WARN))] } else { vec![span(value, BODY.size(6.6))] }
            }));
            table.row(cells);
        }
        table.end();
    }
}

/// The longest word that stands in one piece, and the longest text that a column is made wide for, in letters.
const WHOLE: (usize, usize) = (30, 44);

/// How wide each column is, in parts of `width`: first its longest word, so that no "No" and no version is torn, and
/// then what is left by its longest answer. Only the longest by their letters are measured: rows may be thousands.
fn shares(inventory: &[(String, Vec<Shown<'_>>)], fonts: &mut Fonts, width: f32) -> Vec<f32> {
    let columns = 1 + inventory.first().map_or(0, |(_, answers)| answers.len());
    let mut longest = vec![("Instance", "Instance"); columns];
    longest[1..].fill(("", ""));
    for (name, answers) in inventory {
        let texts = answers.iter().take(columns - 1).enumerate();
        let texts = texts.flat_map(|(at, (label, _, value))| [(at + 1, *label), (at + 1, value.as_str())]);
        for (column, text) in texts.chain([(0, name.as_str())]) {
            let (word, whole) = &mut longest[column];
            *word = text.split_whitespace().chain([*word]).max_by_key(|word| word.len()).unwrap_or_default();
            *whole = if text.len() > whole.len() { text } else { whole };
        }
    }
    let mut points = |text: &str, most: usize| {
        let text: String = text.chars().take(most).collect();
        fonts.block(&[span(text, BODY.size(6.6).bold())], f32::MAX).layout.width() + 2.0 * PAD.0 + 1.0
    };
    let wanted: Vec<_> = longest.iter().map(|(word, text)| (points(word, WHOLE.0), points(text, WHOLE.1))).collect();
    let least: f32 = wanted.iter().map(|(least, _)| least).sum();
    let more: f32 = wanted.iter().map(|(least, all)| (all - least).max(0.0)).sum();
    let part = if more > 0.0 { ((width - least) / more).max(0.0) } else { 0.0 };
    wanted.into_iter().map(|(least, all)| least + part * (all - least).max(0.0)).collect()
}

fn answer((label, question, value): &Shown<'_>) -> Vec<Vec<Span>> {
    let value = if value.is_empty() { vec![span("not known", BODY.ink(WARN))] } else { plain(value) };
    vec![vec![span(*label, BODY.bold())], plain(*question), value]
}
