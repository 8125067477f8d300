//! Sheet: where do cells stand in a sheet, and how does it read with texts in them?
//!
//! [`locate`] finds the bytes of the cells that are asked for, or the place where they would stand;
//! [`splice`] copies the sheet with texts there. Everything else stays byte for byte, the style of
//! the cells included. A text is an inline string, so no other part of the workbook changes.
//! Source: ECMA-376 part 1, 18.3.1.4 (`c`), 18.3.1.73 (`row`), 18.3.1.53 (`is`), 18.3.1.55 (merges).

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::ops::Range;

use directive::workbook::{Cell, Column};
use quick_xml::events::{BytesStart, Event};

use super::Error;
use super::xml::{Phrase, Walk, local, prefix};
use crate::value;

/// Ranges of cells that are shown as one.
pub(super) struct Merges(Vec<(Cell, Cell)>);

impl Merges {
    /// The cell that holds the value of this one.
    pub(super) fn first_of(&self, cell: Cell) -> Cell {
        let around = self.0.iter().find(|(first, last)| {
            (first.row..=last.row).contains(&cell.row) && (first.column..=last.column).contains(&cell.column)
        });
        around.map_or(cell, |(first, _)| *first)
    }
}

/// The merged cells of a sheet.
pub(super) fn merges(part: &str, xml: &str) -> Result<Merges, Error> {
    let mut walk = Walk::new(part, xml);
    let mut merges = Vec::new();
    while let Some(step) = walk.next()? {
        let (Event::Start(element) | Event::Empty(element)) = &step.event else {
            continue;
        };
        if step.depth == 2 && local(element.name().as_ref()) == "mergeCell" {
            let text = walk.attribute(element, "ref")?.unwrap_or_default();
            let (first, last) = text.split_once(':').unwrap_or((&text, &text));
            match (first.parse(), last.parse()) {
                (Ok(first), Ok(last)) => merges.push((first, last)),
                _ => return Err(walk.shape(format!("{text:?} is no range of cells"))),
            }
        }
    }
    Ok(Merges(merges))
}

/// Where the cells of a sheet are.
pub(super) struct Located {
    spots: BTreeMap<Cell, Spot>,
    /// The prefix of the sheet's elements with its colon; mostly none.
    prefix: String,
}

/// Where a cell is, or would be.
enum Spot {
    /// There.
    There { span: Range<usize>, style: Option<u32>, content: Content },
    /// In a row that is there, before this byte.
    InRow { at: usize },
    /// In a row that is there as an empty element.
    InEmptyRow { span: Range<usize> },
    /// In a row that is not there, before this byte.
    NoRow { at: usize },
    /// In a sheet whose rows are an empty element.
    NoRows { span: Range<usize> },
}

/// What a cell holds.
enum Content {
    Text(String),
    Shared(usize),
}

impl Located {
    /// What a cell says, with the strings that [`Located::shared`] asks for.
    pub(super) fn text(&self, cell: Cell, shared: &BTreeMap<usize, String>) -> String {
        match self.spots.get(&cell) {
            Some(Spot::There { content: Content::Text(text), .. }) => text.clone(),
            Some(Spot::There { content: Content::Shared(number), .. }) => {
                shared.get(number).cloned().unwrap_or_else(|| format!("string {number}, which is not there"))
            }
            _ => String::new(),
        }
    }

    /// The shared strings that the cells refer to.
    pub(super) fn shared(&self) -> impl Iterator<Item = usize> {
        self.spots.values().filter_map(|spot| match spot {
            Spot::There { content: Content::Shared(number), .. } => Some(*number),
            _ => None,
        })
    }
}

/// Finds cells. A sheet whose rows or cells are out of order is refused: readers disagree about it.
pub(super) fn locate(part: &str, xml: &str, wanted: &BTreeSet<Cell>) -> Result<Located, Error> {
    let located = Located { spots: BTreeMap::new(), prefix: String::new() };
    let mut finder =
        Finder { walk: Walk::new(part, xml), wanted: wanted.iter().copied().peekable(), located, row: 0, column: 0 };
    let mut rows = false;
    while let Some(step) = finder.walk.next()? {
        match &step.event {
            Event::Start(element) if step.depth == 1 && local(element.name().as_ref()) == "sheetData" => {
                if std::mem::replace(&mut rows, true) {
                    return Err(finder.walk.shape("the sheet has its rows twice"));
                }
                finder.located.prefix = prefix(element.name().as_ref()).to_owned();
                finder.rows()?;
            }
            Event::Empty(element) if step.depth == 1 && local(element.name().as_ref()) == "sheetData" => {
                if std::mem::replace(&mut rows, true) {
                    return Err(finder.walk.shape("the sheet has its rows twice"));
                }
                finder.located.prefix = prefix(element.name().as_ref()).to_owned();
                finder.missing(|_| true, || Spot::NoRows { span: step.span.clone() });
            }
            _ => {}
        }
    }
    if rows { Ok(finder.located) } else { Err(finder.walk.shape("the sheet has no rows")) }
}

struct Finder<'a, I: Iterator<Item = Cell>> {
    walk: Walk<'a>,
    wanted: Peekable<I>,
    located: Located,
    /// The last row and, in it, the last column that were read; 0 before the first.
    row: u32,
    column: u32,
}

impl<I: Iterator<Item = Cell>> Finder<'_, I> {
    /// Gives a spot to all wanted cells up to here.
    fn missing(&mut self, up_to: impl Fn(&Cell) -> bool, spot: impl Fn() -> Spot) {
        while let Some(cell) = self.wanted.next_if(|cell| up_to(cell)) {
            self.located.spots.insert(cell, spot());
        }
    }

    fn is(&self, element: &BytesStart<'_>, name: &str) -> bool {
        element.name().as_ref().strip_prefix(&self.located.prefix) == Some(name)
    }

    /// Reads to the end of `sheetData`.
    fn rows(&mut self) -> Result<(), Error> {
        while let Some(step) = self.walk.next()? {
            let at = step.span.start;
            match &step.event {
                Event::Start(element) if step.depth == 2 && self.is(element, "row") => {
                    self.begin_row(element, at)?;
                    self.cells()?;
                }
                Event::Empty(element) if step.depth == 2 && self.is(element, "row") => {
                    self.begin_row(element, at)?;
                    let row = self.row;
                    self.missing(|cell| cell.row == row, || Spot::InEmptyRow { span: step.span.clone() });
                }
                Event::End(_) if step.depth == 1 => {
                    self.missing(|_| true, || Spot::NoRow { at });
                    return Ok(());
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn begin_row(&mut self, element: &BytesStart<'_>, at: usize) -> Result<(), Error> {
        let number = match self.walk.attribute(element, "r")? {
            Some(text) => text.parse().map_err(|_| self.walk.shape(format!("{text:?} is no row")))?,
            None => self.row + 1,
        };
        if number <= self.row || number > Cell::LAST_ROW {
            return Err(self.walk.shape(format!("row {number} comes after row {}", self.row)));
        }
        (self.row, self.column) = (number, 0);
        self.missing(|cell| cell.row < number, || Spot::NoRow { at });
        Ok(())
    }

    /// Reads to the end of a `row`.
    fn cells(&mut self) -> Result<(), Error> {
        while let Some(step) = self.walk.next()? {
            let at = step.span.start;
            match &step.event {
                Event::Start(element) if step.depth == 3 && self.is(element, "c") => {
                    let cell = self.begin_cell(element, at)?;
                    let kind = self.walk.attribute(element, "t")?.unwrap_or_default();
                    let style = self.style(element)?;
                    let (content, end) = self.content(&kind)?;
                    self.there(cell, at..end, style, content);
                }
                Event::Empty(element) if step.depth == 3 && self.is(element, "c") => {
                    let cell = self.begin_cell(element, at)?;
                    let style = self.style(element)?;
                    self.there(cell, step.span.clone(), style, Content::Text(String::new()));
                }
                Event::End(_) if step.depth == 2 => {
                    let row = self.row;
                    self.missing(|cell| cell.row == row, || Spot::InRow { at });
                    return Ok(());
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn begin_cell(&mut self, element: &BytesStart<'_>, at: usize) -> Result<Cell, Error> {
        let cell = match self.walk.attribute(element, "r")? {
            Some(text) => text.parse().ok(),
            None => Column::new(self.column + 1).map(|column| Cell { row: self.row, column }),
        };
        let Some(cell) = cell.filter(|cell| cell.row == self.row && cell.column.number() > self.column) else {
            return Err(self.walk.shape(format!("a cell of row {} is out of order", self.row)));
        };
        self.column = cell.column.number();
        self.missing(|wanted| *wanted < cell, || Spot::InRow { at });
        Ok(cell)
    }

    fn style(&self, element: &BytesStart<'_>) -> Result<Option<u32>, Error> {
        let style = self.walk.attribute(element, "s")?;
        let number = style.map(|text| text.parse().map_err(|_| self.walk.shape(format!("{text:?} is no style"))));
        number.transpose()
    }

    /// Reads to the end of a `c`: what it holds, and where it ends.
    fn content(&mut self, kind: &str) -> Result<(Content, usize), Error> {
        let (mut value, mut inside, mut formula, mut phrase) = (String::new(), false, false, Phrase::default());
        while let Some(step) = self.walk.next()? {
            match &step.event {
                Event::End(_) if step.depth == 3 => {
                    let text = match (formula, kind) {
                        (true, _) => format!("a formula with the value {value:?}"),
                        (_, "inlineStr") => phrase.end(),
                        (_, "s") if !value.is_empty() => {
                            let number = value.trim().parse();
                            let number = number.map_err(|_| self.walk.shape(format!("{value:?} is no string")))?;
                            return Ok((Content::Shared(number), step.span.end));
                        }
                        _ => value,
                    };
                    return Ok((Content::Text(text), step.span.end));
                }
                Event::Start(element) | Event::Empty(element) if step.depth == 4 => {
                    inside = local(element.name().as_ref()) == "v" && matches!(step.event, Event::Start(_));
                    formula |= local(element.name().as_ref()) == "f";
                }
                Event::End(_) if step.depth == 4 => inside = false,
                event if inside => value.push_str(&self.walk.text(event)?),
                event => phrase.take(&self.walk, event)?,
            }
        }
        Err(self.walk.shape("ends inside of a cell"))
    }

    fn there(&mut self, cell: Cell, span: Range<usize>, style: Option<u32>, content: Content) {
        if self.wanted.next_if(|wanted| *wanted == cell).is_some() {
            self.located.spots.insert(cell, Spot::There { span, style, content });
        }
    }
}

/// The sheet with texts in cells that were located. Everything else stays byte for byte.
pub(super) fn splice(xml: &str, located: &Located, texts: &BTreeMap<Cell, &str>) -> String {
    let mut out = String::with_capacity(xml.len() + texts.values().map(|text| text.len() + 80).sum::<usize>());
    let mut copied = 0;
    let prefix = &located.prefix;
    let mut new = texts.iter().filter_map(|(cell, text)| Some((*cell, *text, located.spots.get(cell)?))).peekable();
    while let Some((cell, text, spot)) = new.next() {
        let element = |cell, text, style| element(prefix, cell, text, style);
        match spot {
            Spot::There { span, style, .. } => {
                out.push_str(&xml[copied..span.start]);
                out.push_str(&element(cell, text, *style));
                copied = span.end;
            }
            Spot::InRow { at } => {
                out.push_str(&xml[copied..*at]);
                out.push_str(&element(cell, text, None));
                copied = *at;
            }
            Spot::InEmptyRow { span } => {
                out.push_str(&xml[copied..span.start]);
                open(&mut out, &xml[span.clone()]);
                out.push_str(&element(cell, text, None));
                while let Some((cell, text, _)) = new.next_if(|(next, ..)| next.row == cell.row) {
                    out.push_str(&element(cell, text, None));
                }
                out.push_str(&format!("</{prefix}row>"));
                copied = span.end;
            }
            Spot::NoRow { .. } | Spot::NoRows { .. } => {
                if let Spot::NoRow { at } = spot {
                    out.push_str(&xml[copied..*at]);
                    copied = *at;
                } else if let Spot::NoRows { span } = spot
                    && copied <= span.start
                {
                    out.push_str(&xml[copied..span.start]);
                    open(&mut out, &xml[span.clone()]);
                    copied = span.end;
                }
                out.push_str(&format!("<{prefix}row r=\"{}\">", cell.row));
                out.push_str(&element(cell, text, None));
                while let Some((cell, text, _)) = new.next_if(|(next, ..)| next.row == cell.row) {
                    out.push_str(&element(cell, text, None));
                }
                out.push_str(&format!("</{prefix}row>"));
                if matches!(spot, Spot::NoRows { .. }) && new.peek().is_none() {
                    out.push_str(&format!("</{prefix}sheetData>"));
                }
            }
        }
    }
    out.push_str(&xml[copied..]);
    out
}

/// Writes an empty element as the start of one that is not.
fn open(out: &mut String, element: &str) {
    let start = element.strip_suffix("/>").unwrap_or(element);
    out.push_str(start.trim_end());
    out.push('>');
}

fn element(prefix: &str, cell: Cell, text: &str, style: Option<u32>) -> String {
    let style = style.map(|style| format!(" s=\"{style}\"")).unwrap_or_default();
    let text = value::xml(text);
    format!(
        "<{prefix}c r=\"{cell}\"{style} t=\"inlineStr\"><{prefix}is>\
         <{prefix}t xml:space=\"preserve\">{text}</{prefix}t></{prefix}is></{prefix}c>"
    )
}
