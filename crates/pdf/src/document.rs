//! Document: what stands in the report, in which order?
//!
//! The parts and their words are those of [`report::view`]; here they get a place.

mod filing;
mod form;
mod instance;

use std::num::NonZeroU16;

use directive::text::escape;
use krilla::configure::{Accessibility, Archival, ConfigurationBuilder};
use krilla::destination::XyzDestination;
use krilla::geom::Point;
use krilla::metadata::{DateTime, Metadata};
use krilla::outline::{Outline, OutlineNode};
use krilla::tagging::{ListNumbering, Tag};
use krilla::{Document, SerializeSettings};
use report::Report;
use report::filing::Filing;
use report::view::{DutyView, GapView, View, view};

use crate::fonts::Fonts;
use crate::paper::{Paper, Poured, Shape};
use crate::style::{
    ACCENT, BAD, BAD_PAPER, BODY, CALM, CODE, INK, SIDE, SMALL, SOFT, Span, WARN, ink_of, paper_of, span,
};
use crate::table::{Column, Table};
use crate::{Error, Options, Rendered};

/// A report that is being set.
struct Setting<'r> {
    view: View<'r>,
    paper: Paper,
    headings: Vec<Heading>,
}

/// A heading, for the outline.
struct Heading {
    level: u16,
    text: String,
    page: usize,
    y: f32,
}

/// Sets a report, with or without the demands of archives.
pub(crate) fn set(report: &Report, filing: &Filing, options: &Options, archival: bool) -> Result<Rendered, Error> {
    let configuration = if archival {
        let builder = ConfigurationBuilder::new().with_archival_validator(Archival::A2_A);
        builder.with_accessibility_validator(Accessibility::UA1).finish()
    } else {
        ConfigurationBuilder::new().finish()
    };
    let configuration = configuration.map_err(|err| Error::Write(format!("{err:?}")))?;
    let settings = SerializeSettings { configuration, enable_tagging: true, ..SerializeSettings::default() };
    let view = view(report, filing);
    let foot = foot(&view);
    let paper = Paper::new(Document::new_with(settings), Fonts::new(&options.fonts)?, foot);
    let mut setting = Setting { view, paper, headings: Vec::new() };
    setting.everything();
    let headings = std::mem::take(&mut setting.headings);
    let (mut document, tree, fonts, pages) = setting.paper.finish();
    document.set_metadata(metadata(report));
    document.set_outline(outline(&headings));
    document.set_tag_tree(tree.grow());
    let bytes = document.finish().map_err(|err| Error::Write(format!("{err:?}")))?;
    Ok(Rendered { bytes, pages, missing: fonts.missing(), archival })
}

/// What each page says about itself: a page that lies alone on a desk must not mislead.
fn foot(view: &View<'_>) -> Vec<String> {
    let report = view.report;
    let exercise = if report.exercise { "EXERCISE: every time is exercise time. " } else { "" };
    let mut foot = vec![format!("{exercise}{}, {}, {}", report.pack.id, view.organisation, view.at)];
    let caveat = &view.form.filled.caveat;
    if !caveat.is_empty() {
        foot.push(caveat.clone());
    }
    foot
}

fn metadata(report: &Report) -> Metadata {
    let at = report.at.to_zoned_datetime(jiff::tz::TimeZone::UTC);
    // A report is made in our time: the year is positive and the parts fit.
    let number = |part: i8| u8::try_from(part).unwrap_or_default();
    let date = DateTime::new(u16::try_from(at.year()).unwrap_or_default())
        .month(number(at.month()))
        .day(number(at.day()))
        .hour(number(at.hour()))
        .minute(number(at.minute()))
        .second(number(at.second()))
        .utc_offset_hour(0)
        .utc_offset_minute(0);
    Metadata::new()
        .title(format!("{}: {}", report.title, escape(&report.organisation)))
        .authors(vec![escape(&report.organisation)])
        .creator(report.tool.clone())
        .producer(report.tool.clone())
        .language("en".to_owned())
        .creation_date(date)
        .document_id(format!("{} {} {}", report.pack.id, report.head, report.at))
}

/// Headings as a tree: each stands under the last one of a lower level.
fn outline(headings: &[Heading]) -> Outline {
    let mut outline = Outline::new();
    for node in nodes(headings, 1) {
        outline.push_child(node);
    }
    outline
}

fn nodes(headings: &[Heading], level: u16) -> Vec<OutlineNode> {
    let mut nodes = Vec::new();
    let mut rest = headings;
    while let Some((first, after)) = rest.split_first() {
        let below = after.iter().take_while(|heading| heading.level > level).count();
        let point = Point::from_xy(SIDE, (first.y - 8.0).max(0.0));
        let mut node = OutlineNode::new(first.text.clone(), XyzDestination::new(first.page, point));
        for child in self::nodes(&after[..below], level + 1) {
            node.push_child(child);
        }
        nodes.push(node);
        rest = &after[below..];
    }
    nodes
}

impl Setting<'_> {
    fn everything(&mut self) {
        self.title();
        self.tiles();
        self.duties();
        self.instances();
        self.ledger();
        self.form();
        self.filing();
        self.origin();
        self.inventory();
    }

    /// A heading, with room for something below it.
    fn heading(&mut self, level: u16, text: &str) {
        let (size, above) = [(19.0, 0.0), (13.0, 16.0), (10.5, 11.0), (9.0, 7.0)][usize::from(level.clamp(1, 4)) - 1];
        self.paper.skip(above);
        self.paper.need(if level <= 2 { 90.0 } else { 58.0 });
        self.headings.push(Heading { level, text: text.to_owned(), page: self.paper.done, y: self.paper.y });
        let ink = if level == 4 { SOFT } else { INK };
        let level = NonZeroU16::new(level).unwrap_or(NonZeroU16::MIN);
        let style = BODY.size(size).bold().ink(ink);
        self.paper.text(Tag::Hn(level, Some(text.to_owned())), &[span(text, style)], 0.0);
        self.paper.y += 3.0;
    }

    fn paragraph(&mut self, spans: &[Span]) {
        self.paper.text(Tag::P, spans, 0.0);
        self.paper.y += 3.0;
    }

    /// Lines with a dot before each.
    fn list(&mut self, items: Vec<Vec<Span>>) {
        if items.is_empty() {
            return;
        }
        self.paper.tree.open(Tag::L(ListNumbering::Disc));
        for item in items {
            self.paper.tree.open(Tag::LI);
            let dot = self.paper.fonts.block(&[span("•", BODY.ink(SOFT))], 12.0);
            let body = self.paper.fonts.block(&item, self.paper.width() - 13.0);
            // The list says that it has dots; none needs to be read aloud.
            self.paper.need(body.height().min(28.0));
            let at = (SIDE + 2.0, self.paper.y);
            self.paper.put(dot, at, None);
            let body = Poured::new(body, SIDE + 13.0, self.paper.tree.add(Tag::LBody));
            self.paper.pour(vec![body], |_| {});
            self.paper.y += 2.0;
            self.paper.tree.close();
        }
        self.paper.tree.close();
        self.paper.skip(3.0);
    }

    fn title(&mut self) {
        let report = self.view.report;
        if report.exercise {
            let band = Shape::new((SIDE, self.paper.y), (self.paper.width(), 20.0), BAD_PAPER);
            self.paper.shapes(vec![band], None);
            self.paper.y += 4.0;
            let words = "Exercise: every time in this report is exercise time.";
            self.paper.text(Tag::P, &[span(words, BODY.bold().ink(BAD))], 8.0);
            self.paper.y += 12.0;
        }
        self.paragraph(&[span(report.pack.id.to_uppercase(), BODY.bold().ink(ACCENT))]);
        self.heading(1, &report.title);
        let (organisation, at) = (self.view.organisation.clone(), self.view.at.clone());
        self.paragraph(&[span(organisation, BODY.size(10.5).bold()), span(format!("   {at}"), BODY.ink(SOFT))]);
        let rest = report.rest.as_ref().map(|rest| format!(" Nothing is owed: the directive is {rest}."));
        let issuer = format!("Issued by {}.{}", report.issuer, rest.unwrap_or_default());
        self.paragraph(&[span(issuer, BODY.ink(SOFT))]);
        let filing = &self.view.filing;
        let label = span(filing::sentence(filing.label), BODY.bold().ink(ink_of(filing.class)));
        let short = span(format!("  {}", filing.short), BODY);
        self.paragraph(&[label, short]);
        self.paper.y += 8.0;
    }

    /// The numbers that say how it stands, in a row of boxes.
    fn tiles(&mut self) {
        let tiles: Vec<_> = self.view.tiles.iter().map(|tile| (tile.number, tile.label, tile.class)).collect();
        let gap = 7.0;
        let columns = tiles.len().clamp(1, 6);
        let wide = (self.paper.width() + gap) / columns as f32 - gap;
        // A label may need two lines where there are many numbers.
        let mut label = |text: &str| self.paper.fonts.block(&[span(text, SMALL)], wide - 14.0).height();
        let tall = 36.0 + tiles.iter().map(|(_, text, _)| label(text)).fold(0.0, f32::max);
        self.paper.tree.open(Tag::L(ListNumbering::None));
        for row in tiles.chunks(columns) {
            self.paper.need(tall);
            let top = self.paper.y;
            for (at, (number, label, class)) in row.iter().enumerate() {
                let x = SIDE + (wide + gap) * at as f32;
                self.paper.shapes(vec![Shape::new((x, top), (wide, tall), paper_of(class))], None);
                let ink = if *class == "plain" { CALM } else { ink_of(class) };
                self.paper.tree.open(Tag::LI);
                let body = self.paper.tree.add(Tag::LBody);
                let number = [span(number.to_string(), BODY.size(17.0).bold().ink(ink))];
                let number = self.paper.fonts.block(&number, wide - 14.0);
                let label = self.paper.fonts.block(&[span(*label, SMALL.ink(ink))], wide - 14.0);
                for (block, y) in [(number, top + 5.0), (label, top + 29.0)] {
                    let leaf = self.paper.tree.leaf(body);
                    self.paper.put(block, (x + 8.0, y), Some(leaf));
                }
                self.paper.tree.close();
            }
            self.paper.y = top + tall + gap;
        }
        self.paper.tree.close();
    }

    fn duties(&mut self) {
        self.heading(2, "What is owed");
        if self.view.open.is_empty() && self.view.later.is_empty() {
            self.paragraph(&[span("No duty is open.", BODY)]);
        }
        let open: Vec<_> = self.view.open.iter().map(open_duty).collect();
        if !open.is_empty() {
            let columns = [("Action", 1.35), ("What", 4.2), ("Due", 2.4)].map(column);
            rows(&mut self.paper, &columns, open);
        }
        let later: Vec<_> = self.view.later.iter().map(later_duty).collect();
        if !later.is_empty() {
            self.heading(3, "Then, each after what it names");
            let columns = [("Action", 1.35), ("What", 4.2), ("After", 2.4)].map(column);
            rows(&mut self.paper, &columns, later);
        }
        let done: Vec<_> = self.view.done.iter().map(done_duty).collect();
        if !done.is_empty() {
            self.heading(3, &format!("Done: {}", done.len()));
            self.list(done);
        }
    }

    fn ledger(&mut self) {
        if self.view.ledger.is_empty() {
            return;
        }
        self.heading(2, "Every address accounted for");
        let unaccounted = ("unaccounted", self.view.unaccounted);
        let counts = self.view.ledger.iter().copied().chain([unaccounted]);
        let counts: Vec<_> = counts.collect();
        let cells =
            counts.into_iter().map(|(name, number)| vec![plain(name), vec![span(number.to_string(), BODY.bold())]]);
        rows(&mut self.paper, &[("Addresses", 3.0), ("How many", 1.0)].map(column), cells);
        for sentence in std::mem::take(&mut self.view.sentences) {
            self.paragraph(&[span(sentence, BODY)]);
        }
        let gaps = self.view.gaps.iter().map(gap).collect();
        self.list(gaps);
    }

    /// What this was made from, so that it can be held against the case.
    fn origin(&mut self) {
        let report = self.view.report;
        self.heading(2, "What this was made from");
        self.paragraph(&[
            span(format!("{} records; the hash of the last one is ", report.records), BODY),
            span(&report.head, CODE),
            span(". ", BODY),
            span("portcullis case verify --head", CODE),
            span(" with it says whether the case still holds what this report was made from.", BODY),
        ]);
        self.paragraph(&[
            span(format!("Pack {}, SHA-256 ", report.pack.id), BODY),
            span(&report.pack.sha256, CODE),
            span(format!(". Made by {}.", report.tool), BODY),
        ]);
    }
}

fn column(of: (&'static str, f32)) -> Column<'static> {
    Column { title: of.0, share: of.1 }
}

/// A table of rows that are all there.
fn rows(paper: &mut Paper, columns: &[Column<'_>], cells: impl IntoIterator<Item = Vec<Vec<Span>>>) {
    let mut table = Table::begin(paper, columns);
    cells.into_iter().for_each(|row| table.row(row));
    table.end();
}

fn plain(text: impl Into<String>) -> Vec<Span> {
    vec![span(text, BODY)]
}

/// An open duty in few cells: a long case has thousands, and a reader looks for what and until when.
fn open_duty(duty: &DutyView<'_>) -> Vec<Vec<Span>> {
    let mut due = if duty.due.is_empty() {
        plain("no time set")
    } else {
        let ink = if duty.late { BAD } else { INK };
        let late = if duty.late { "Late. " } else { "" };
        vec![
            span(late, BODY.bold().ink(BAD)),
            span(&duty.due, BODY.ink(ink)),
            span(format!(", {}", duty.distance), SMALL),
        ]
    };
    due.push(span(format!("  waits for {}", duty.waits_for), SMALL));
    vec![vec![span(duty.id, BODY.bold())], what(duty, &duty.why), due]
}

fn later_duty(duty: &DutyView<'_>) -> Vec<Vec<Span>> {
    let due = if duty.due.is_empty() { String::new() } else { format!("; due {}", duty.due) };
    vec![vec![span(duty.id, BODY.bold())], what(duty, ""), plain(format!("{}{due}", duty.after))]
}

/// What has to be done, for which instance, and why.
fn what(duty: &DutyView<'_>, why: &str) -> Vec<Span> {
    let mut what = vec![span(duty.title, BODY.bold())];
    if !duty.instance.is_empty() {
        what.push(span(format!("  {}", duty.instance), BODY.bold().ink(ACCENT)));
    }
    if !why.is_empty() {
        what.push(span(format!("  {why}"), SMALL));
    }
    what
}

fn done_duty(duty: &DutyView<'_>) -> Vec<Span> {
    let whose = if duty.instance.is_empty() { String::new() } else { format!("  ({})", duty.instance) };
    vec![span(duty.id, CODE.bold()), span(format!("  {}", duty.title), BODY), span(whose, SMALL)]
}

/// Gaps of one code in one line.
fn gap(gap: &GapView) -> Vec<Span> {
    let mut spans = vec![span(&gap.code, CODE)];
    if gap.required {
        spans.push(span("  required", BODY.bold().ink(WARN)));
    }
    if !gap.place.is_empty() {
        spans.push(span(format!("  {}", gap.place), CODE.ink(INK)));
        if gap.more > 0 {
            spans.push(span(format!(" and {} more", gap.more), BODY));
        }
    }
    spans.push(span(format!(": {}", gap.why), BODY));
    spans
}
