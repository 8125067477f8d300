//! Table: how do rows stand under their heads, over as many pages as they take?
//!
//! The head is repeated on each page for the eye; a screen reader meets it once (ISO 14289-1, 7.1: what paging repeats
//! is an artifact). A row is not torn unless it is taller than half a page.

use krilla::tagging::{TableHeaderScope, Tag};

use crate::paper::{Paper, Poured, Shape};
use crate::style::{SHEET, SIDE, SMALL, Span, Style, span};

/// White left and right of a text in its cell, and above and below it.
pub(crate) const PAD: (f32, f32) = (5.0, 3.2);

/// A column.
pub(crate) struct Column<'a> {
    /// What stands above it.
    pub(crate) title: &'a str,
    /// Its part of the width; the parts are added up.
    pub(crate) share: f32,
}

/// A table that is being filled.
pub(crate) struct Table<'p> {
    paper: &'p mut Paper,
    /// Left edge and width of each column.
    places: Vec<(f32, f32)>,
    titles: Vec<Vec<Span>>,
}

impl<'p> Table<'p> {
    /// Begins a table with its head.
    pub(crate) fn begin(paper: &'p mut Paper, columns: &[Column<'_>]) -> Self {
        Self::sized(paper, columns, SMALL.bold())
    }

    /// The same with a head in letters of another size.
    pub(crate) fn sized(paper: &'p mut Paper, columns: &[Column<'_>], head: Style) -> Self {
        let (whole, width) = (columns.iter().map(|column| column.share).sum::<f32>(), paper.width());
        let mut x = SIDE;
        let places = columns.iter().map(|column| {
            let place = (x, width * column.share / whole);
            x += place.1;
            place
        });
        let places = places.collect();
        let titles = columns.iter().map(|column| vec![span(column.title, head)]).collect();
        let mut table = Self { paper, places, titles };
        table.head();
        table
    }

    /// The head for eye and ear, with room for a row below it.
    fn head(&mut self) {
        self.paper.need(52.0);
        self.paper.tree.open(Tag::Table);
        self.paper.tree.open(Tag::THead);
        self.paper.tree.open(Tag::TR);
        let blocks: Vec<_> = self
            .titles
            .iter()
            .zip(&self.places)
            .map(|(title, place)| self.paper.fonts.block(title, place.1 - 2.0 * PAD.0))
            .collect();
        let height = blocks.iter().map(|block| block.height()).fold(0.0, f32::max);
        let top = self.paper.y;
        let band = Shape::new((SIDE, top), (self.paper.width(), height + 2.0 * PAD.1), SHEET);
        self.paper.shapes(vec![band], None);
        for (block, place) in blocks.into_iter().zip(&self.places) {
            let knot = self.paper.tree.add(Tag::TH(TableHeaderScope::Column));
            let leaf = self.paper.tree.leaf(knot);
            self.paper.put(block, (place.0 + PAD.0, top + PAD.1), Some(leaf));
        }
        self.paper.tree.close();
        self.paper.tree.close();
        self.paper.y = top + height + 2.0 * PAD.1;
        self.paper.tree.open(Tag::TBody);
    }

    /// Adds a row, a text for each column.
    pub(crate) fn row(&mut self, cells: Vec<Vec<Span>>) {
        let (places, titles) = (&self.places, &self.titles);
        self.paper.tree.open(Tag::TR);
        let texts = cells.iter().zip(places).map(|(cell, place)| {
            let block = self.paper.fonts.block(cell, place.1 - 2.0 * PAD.0);
            let knot = self.paper.tree.add(Tag::TD);
            Poured::new(block, place.0 + PAD.0, knot)
        });
        let texts: Vec<_> = texts.collect();
        let height = texts.iter().map(|text| text.block.height()).fold(0.0, f32::max);
        if self.paper.room() < height + 2.0 * PAD.1 && height < self.paper.page_room() * 0.5 {
            self.paper.turn();
            repeat(self.paper, places, titles);
        }
        self.paper.y += PAD.1;
        self.paper.pour(texts, |paper| {
            repeat(paper, places, titles);
            paper.y += PAD.1;
        });
        self.paper.y += PAD.1;
        self.paper.rule();
        self.paper.tree.close();
    }

    /// Ends the table.
    pub(crate) fn end(self) {
        self.paper.tree.close();
        self.paper.tree.close();
        self.paper.skip(8.0);
    }
}

/// The head again, for the eye only.
fn repeat(paper: &mut Paper, places: &[(f32, f32)], titles: &[Vec<Span>]) {
    let blocks: Vec<_> =
        titles.iter().zip(places).map(|(title, place)| paper.fonts.block(title, place.1 - 2.0 * PAD.0)).collect();
    let height = blocks.iter().map(|block| block.height()).fold(0.0, f32::max) + 2.0 * PAD.1;
    let top = paper.y;
    paper.shapes(vec![Shape::new((SIDE, top), (paper.width(), height), SHEET)], None);
    for (block, place) in blocks.into_iter().zip(places) {
        paper.put(block, (place.0 + PAD.0, top + PAD.1), None);
    }
    paper.y = top + height;
}
