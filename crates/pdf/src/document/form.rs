//! Form: what does the authority's form say, and what does it lack?
//!
//! The inventory stands on sheets that lie on their side, one row an instance under the form's own numbers, since that
//! is how authorities read it.

use report::view::Shown;

use super::{Setting, column, plain, rows};
use crate::style::{A4, BODY, SMALL, SOFT, Span, WARN, span};
use crate::table::{Column, Table};

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
        let shares = shares(&inventory);
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

/// How wide each column wants to be: by its longest answers, within bounds, so that a column of yes and no stays
/// narrow.
fn shares(inventory: &[(String, Vec<Shown<'_>>)]) -> Vec<f32> {
    let columns = 1 + inventory.first().map_or(0, |(_, answers)| answers.len());
    let mut longest = vec![0_usize; columns];
    for (name, answers) in inventory {
        longest[0] = longest[0].max(name.chars().count()).max("Instance".len());
        for (at, (label, _, value)) in answers.iter().enumerate().take(columns - 1) {
            longest[at + 1] = longest[at + 1].max(value.chars().count()).max(label.chars().count());
        }
    }
    longest.into_iter().map(|letters| (letters as f32 + 3.0).clamp(6.5, 44.0)).collect()
}

fn answer((label, question, value): &Shown<'_>) -> Vec<Vec<Span>> {
    let value = if value.is_empty() { vec![span("not known", BODY.ink(WARN))] } else { plain(value) };
    vec![vec![span(*label, BODY.bold())], plain(*question), value]
}
