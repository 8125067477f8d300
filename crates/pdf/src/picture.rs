//! Picture: how do logs, files and findings lie in time?
//!
//! The chart of the page, drawn with the same places. What it says stands beside it in words, for whoever cannot see
//! it.

use krilla::tagging::Tag;
use report::view::{Chart, Lane};

use crate::paper::{Paper, Shape};
use crate::style::{BAD, CALM, CALM_PAPER, Ink, LINE, SIDE, SMALL, SOFT, span};

/// Where strips begin, and how tall each is.
const LABEL: f32 = 78.0;
const STRIP: f32 = 17.0;

/// What a mark of medium weight is drawn with: brighter than text of that colour, which needs more contrast.
const AMBER: Ink = [0xd9, 0x86, 0x0a];

/// Draws a chart with its caption.
pub(crate) fn draw(paper: &mut Paper, chart: &Chart) {
    let tall = STRIP * chart.lanes.len() as f32;
    paper.need(tall + 40.0);
    let says: Vec<_> = chart.lanes.iter().map(|lane| lane.says.as_str()).collect();
    let says = format!("Timeline from {} to {}. {}.", chart.from, chart.to, says.join(". "));
    let figure = paper.tree.add(Tag::Figure(Some(says)));
    let (left, top) = (SIDE + LABEL, paper.y);
    let width = paper.width() - LABEL;
    let mut shapes = Vec::new();
    for (at, lane) in chart.lanes.iter().enumerate() {
        strip(&mut shapes, lane, (left, top + STRIP * at as f32), width);
    }
    if let Some(sign) = chart.sign {
        let mut line = Shape::new((left + part(sign, width), top), (1.2, tall), BAD);
        line.cover = 0.45;
        shapes.push(line);
    }
    let leaf = paper.tree.leaf(figure);
    paper.shapes(shapes, Some(leaf));
    for (at, lane) in chart.lanes.iter().enumerate() {
        let label = paper.fonts.block(&[span(&lane.label, SMALL)], LABEL - 6.0);
        paper.put(label, (SIDE, top + STRIP * at as f32 + 3.0), None);
    }
    let (from, to) = (paper.fonts.block(&[span(&chart.from, SMALL)], width), &[span(&chart.to, SMALL)]);
    let to = paper.fonts.block(to, width);
    let right = left + width - to.layout.width();
    paper.put(from, (left, top + tall + 2.0), None);
    paper.put(to, (right, top + tall + 2.0), None);
    paper.y = top + tall + 16.0;
    let sign = if chart.sign.is_some() { " The line across is the first sign." } else { "" };
    let caption = [
        span("Bars: from when to when a log speaks. Marks: ", SMALL),
        span("findings", SMALL.bold().ink(BAD)),
        span(", ", SMALL),
        span("findings of medium weight", SMALL.bold().ink([0x8a, 0x53, 0x00])),
        span(format!(", events.{sign}"), SMALL),
    ];
    paper.text(Tag::P, &caption, 0.0);
    paper.skip(4.0);
}

/// A thousandth of the width.
fn part(place: i64, width: f32) -> f32 {
    place as f32 / 1000.0 * width
}

fn strip(shapes: &mut Vec<Shape>, lane: &Lane, at: (f32, f32), width: f32) {
    shapes.push(Shape::new((at.0, at.1 + STRIP - 1.0), (width, 0.5), LINE));
    if let Some((from, long)) = lane.reach {
        shapes.push(Shape::new((at.0 + part(from, width), at.1 + 6.0), (part(long, width), 5.0), CALM_PAPER));
    }
    for mark in &lane.marks {
        let (ink, cover) = match mark.class {
            "bad" => (BAD, 1.0),
            "warn" => (AMBER, 1.0),
            "low" => (CALM, 1.0),
            _ => (SOFT, 0.55),
        };
        let mut shape = Shape::new((at.0 + part(mark.x, width) - 0.7, at.1 + 2.5), (1.5, 12.0), ink);
        shape.cover = cover;
        shapes.push(shape);
    }
}
