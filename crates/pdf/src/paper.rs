//! Paper: where does each thing stand, and where does a page end?
//!
//! What stands on a page is collected until the page is full and drawn then, so that memory holds one page and not a
//! thousand. Whatever is drawn is either a leaf of the [`Tree`] or an artifact, as PDF/UA-1 demands (ISO 14289-1, 7.1).

use std::ops::Range;
use std::rc::Rc;

use krilla::Document;
use krilla::geom::{PathBuilder, Point, Rect};
use krilla::num::NormalizedF32;
use krilla::page::PageSettings;
use krilla::paint::{Fill, FillRule};
use krilla::surface::Surface;
use krilla::tagging::{Artifact, ArtifactType, ContentTag, TagKind};
use krilla::text::{GlyphId, KrillaGlyph};
use parley::{GlyphRun, PositionedLayoutItem};

use crate::fonts::{Block, Fonts};
use crate::style::{A4, FOOT, Ink, LINE, SIDE, SMALL, Span, TOP, span};
use crate::tree::{KnotId, LeafId, Tree};

/// Pages that are being filled.
pub(crate) struct Paper {
    document: Document,
    pub(crate) fonts: Fonts,
    pub(crate) tree: Tree,
    /// What stands on the page that is being filled.
    standing: Vec<Standing>,
    /// Pages that are done.
    pub(crate) done: usize,
    /// How far down the page is filled.
    pub(crate) y: f32,
    /// Width and height of the page that is being filled.
    size: (f32, f32),
    /// What stands at the foot of each page, left of its number.
    foot: Vec<String>,
}

/// Something that stands on a page.
enum Standing {
    Text { block: Rc<Block>, lines: Range<usize>, at: (f32, f32), leaf: Option<LeafId> },
    Shapes { shapes: Vec<Shape>, leaf: Option<LeafId> },
}

/// A filled rectangle: left, top, width, height.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) at: (f32, f32),
    pub(crate) size: (f32, f32),
    pub(crate) ink: Ink,
    /// How much of what lies below it covers, from 0 to 1.
    pub(crate) cover: f32,
}

impl Shape {
    pub(crate) fn new(at: (f32, f32), size: (f32, f32), ink: Ink) -> Self {
        Self { at, size, ink, cover: 1.0 }
    }
}

/// A text that is poured onto pages, line by line.
pub(crate) struct Poured {
    pub(crate) block: Rc<Block>,
    /// Its left edge.
    pub(crate) x: f32,
    /// What it is to a screen reader.
    pub(crate) knot: KnotId,
    next: usize,
}

impl Poured {
    pub(crate) fn new(block: Rc<Block>, x: f32, knot: KnotId) -> Self {
        Self { block, x, knot, next: 0 }
    }

    fn is_empty(&self) -> bool {
        self.next >= self.block.lines.len()
    }

    /// Which lines fit into a height; at least `least`.
    fn fitting(&self, height: f32, least: usize) -> Range<usize> {
        let top = self.block.lines.get(self.next).map_or(0.0, |line| line.0);
        let fit = self.block.lines[self.next..].iter().take_while(|line| line.1 - top <= height).count();
        self.next..(self.next + fit.max(least)).min(self.block.lines.len())
    }
}

impl Paper {
    pub(crate) fn new(document: Document, fonts: Fonts, foot: Vec<String>) -> Self {
        let tree = Tree::default();
        Self { document, fonts, tree, standing: Vec::new(), done: 0, y: TOP, size: A4, foot }
    }

    pub(crate) fn width(&self) -> f32 {
        self.size.0 - 2.0 * SIDE
    }

    /// What is left of the page.
    pub(crate) fn room(&self) -> f32 {
        self.size.1 - FOOT - self.y
    }

    /// What an empty page has.
    pub(crate) fn page_room(&self) -> f32 {
        self.size.1 - FOOT - TOP
    }

    /// Leaves white, but not at the top of a page.
    pub(crate) fn skip(&mut self, height: f32) {
        if self.y > TOP {
            self.y += height;
        }
    }

    /// Begins a new page if less than `height` is left.
    pub(crate) fn need(&mut self, height: f32) {
        if self.room() < height && self.y > TOP {
            self.turn();
        }
    }

    /// Ends the page.
    pub(crate) fn turn(&mut self) {
        self.draw();
        self.y = TOP;
    }

    /// Goes on with pages of another format.
    pub(crate) fn format(&mut self, size: (f32, f32)) {
        if self.y > TOP {
            self.turn();
        }
        self.size = size;
    }

    /// Puts shapes on the page. Without a leaf they mean nothing to a reader.
    pub(crate) fn shapes(&mut self, shapes: Vec<Shape>, leaf: Option<LeafId>) {
        self.standing.push(Standing::Shapes { shapes, leaf });
    }

    /// Puts a text that fits on the page, without moving on. Without a leaf it means nothing to a reader.
    pub(crate) fn put(&mut self, block: Rc<Block>, at: (f32, f32), leaf: Option<LeafId>) {
        let lines = 0..block.lines.len();
        self.standing.push(Standing::Text { block, lines, at, leaf });
    }

    /// A thin line across the page.
    pub(crate) fn rule(&mut self) {
        self.shapes(vec![Shape::new((SIDE, self.y), (self.width(), 0.6), LINE)], None);
    }

    /// A text in one piece of the tree, over as many pages as it takes.
    pub(crate) fn text(&mut self, tag: impl Into<TagKind>, spans: &[Span], indent: f32) {
        let block = self.fonts.block(spans, self.width() - indent);
        let knot = self.tree.add(tag);
        self.pour(vec![Poured::new(block, SIDE + indent, knot)], |_| {});
    }

    /// Texts side by side, over as many pages as they take; `again` comes at the top of each further page.
    pub(crate) fn pour(&mut self, mut texts: Vec<Poured>, mut again: impl FnMut(&mut Self)) {
        let whole = texts.iter().map(|text| text.block.height()).fold(0.0, f32::max);
        // What fits on one page is not torn; a whole page of text may begin anywhere.
        if whole > self.room() && self.y > TOP && whole < self.page_room() * 0.5 {
            self.turn();
            again(self);
        }
        let mut fresh = false;
        while texts.iter().any(|text| !text.is_empty()) {
            let room = self.room();
            let least = usize::from(fresh || self.y <= TOP);
            let mut used = 0.0_f32;
            for text in texts.iter_mut().filter(|text| !text.is_empty()) {
                let lines = text.fitting(room, least);
                if lines.is_empty() {
                    continue;
                }
                used = used.max(text.block.height_of(&lines));
                text.next = lines.end;
                let leaf = self.tree.leaf(text.knot);
                let (block, at) = (Rc::clone(&text.block), (text.x, self.y));
                self.standing.push(Standing::Text { block, lines, at, leaf: Some(leaf) });
            }
            self.y += used;
            fresh = false;
            if texts.iter().any(|text| !text.is_empty()) {
                self.turn();
                again(self);
                fresh = true;
            }
        }
    }

    /// Ends the last page and gives the document and its tree.
    pub(crate) fn finish(mut self) -> (Document, Tree, Fonts, usize) {
        self.draw();
        (self.document, self.tree, self.fonts, self.done)
    }

    fn draw(&mut self) {
        self.stand_foot();
        let standing = std::mem::take(&mut self.standing);
        // The size is that of a sheet and never zero.
        let settings = PageSettings::from_wh(self.size.0, self.size.1).unwrap_or_default();
        let mut page = self.document.start_page_with(settings);
        let mut surface = page.surface();
        for thing in standing {
            let leaf = match &thing {
                Standing::Text { leaf, .. } | Standing::Shapes { leaf, .. } => *leaf,
            };
            let tag = match leaf {
                Some(_) => ContentTag::Other,
                None => ContentTag::Artifact(Artifact::with_kind(ArtifactType::Layout)),
            };
            let drawn = surface.start_tagged(tag);
            match thing {
                Standing::Text { block, lines, at, .. } => draw_text(&mut surface, &mut self.fonts, &block, lines, at),
                Standing::Shapes { shapes, .. } => shapes.iter().for_each(|shape| draw_shape(&mut surface, shape)),
            }
            surface.end_tagged();
            if let Some(leaf) = leaf {
                self.tree.drawn(leaf, drawn);
            }
        }
        surface.finish();
        page.finish();
        self.done += 1;
    }

    /// The lines at the foot of the page, and its number.
    fn stand_foot(&mut self) {
        let style = SMALL.size(6.8);
        let number = self.fonts.block(&[span(format!("page {}", self.done + 1), style)], 60.0);
        let (top, right) = (self.size.1 - FOOT + 16.0, self.size.0 - SIDE);
        self.shapes(vec![Shape::new((SIDE, top - 5.0), (self.width(), 0.5), LINE)], None);
        let width = number.layout.width();
        self.put(number, (right - width, top), None);
        let mut y = top;
        for line in self.foot.clone() {
            let block = self.fonts.block(&[span(line, style)], self.width() - 60.0);
            let height = block.height();
            self.put(block, (SIDE, y), None);
            y += height;
        }
    }
}

fn draw_shape(surface: &mut Surface<'_>, shape: &Shape) {
    let Some(rect) = Rect::from_xywh(shape.at.0, shape.at.1, shape.size.0, shape.size.1) else { return };
    let mut path = PathBuilder::new();
    path.push_rect(rect);
    if let Some(path) = path.finish() {
        surface.set_fill(Some(fill(shape.ink, shape.cover)));
        surface.draw_path(&path);
    }
}

fn fill(ink: Ink, cover: f32) -> Fill {
    let [red, green, blue] = ink;
    Fill {
        paint: krilla::color::rgb::Color::new(red, green, blue).into(),
        opacity: NormalizedF32::new(cover).unwrap_or(NormalizedF32::ONE),
        rule: FillRule::NonZero,
    }
}

fn draw_text(surface: &mut Surface<'_>, fonts: &mut Fonts, block: &Block, lines: Range<usize>, at: (f32, f32)) {
    let top = block.lines.get(lines.start).map_or(0.0, |line| line.0);
    for line in lines.filter_map(|line| block.layout.get(line)) {
        for item in line.items() {
            if let PositionedLayoutItem::GlyphRun(run) = item {
                draw_run(surface, fonts, block, &run, (at.0, at.1 - top));
            }
        }
    }
}

/// Draws what stands in one style. The writer wants to know of each glyph which letters it stands for, so that text can
/// be searched and read aloud.
fn draw_run(
    surface: &mut Surface<'_>,
    fonts: &mut Fonts,
    block: &Block,
    styled: &GlyphRun<'_, Ink>,
    origin: (f32, f32),
) {
    let run = styled.run();
    let Some(font) = fonts.ready(run.font()) else { return };
    let size = run.font_size();
    let mut glyphs: Vec<KrillaGlyph> = Vec::new();
    for cluster in run.visual_clusters() {
        if cluster.style_index() != styled.style_index() {
            continue;
        }
        if cluster.is_ligature_continuation() {
            if let Some(glyph) = glyphs.last_mut() {
                glyph.text_range.end = glyph.text_range.end.max(cluster.text_range().end);
                glyph.text_range.start = glyph.text_range.start.min(cluster.text_range().start);
            }
            continue;
        }
        for glyph in cluster.glyphs() {
            let (id, range) = (GlyphId::new(glyph.id), cluster.text_range());
            glyphs.push(KrillaGlyph::new(id, glyph.advance / size, glyph.x / size, glyph.y / size, 0.0, range, None));
        }
    }
    surface.set_fill(Some(fill(styled.style().brush, 1.0)));
    let start = Point::from_xy(origin.0 + styled.offset(), origin.1 + styled.baseline());
    surface.draw_glyphs(start, &glyphs, font, &block.text, size, false);
}
