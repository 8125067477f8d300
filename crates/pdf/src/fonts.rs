//! Fonts: how wide is a text, where do its lines break, and which letters has nobody?
//!
//! Shaping, bidirectional order, fallback between fonts and line breaks are the library's. The fonts are part of the
//! program: the same report gives the same bytes on every machine.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use krilla::text::Font;
use parley::fontique::{Blob, CharmapIndex, Collection, CollectionOptions, FontInfoOverride, SourceCache};
use parley::style::{FontFamily, FontFamilyName, FontWeight, LineHeight, OverflowWrap, StyleProperty};
use parley::{Alignment, AlignmentOptions, FontContext, FontData, Layout, LayoutContext};

use crate::Error;
use crate::style::{Ink, Span, Style};

/// Fonts, and what is remembered between texts.
pub(crate) struct Fonts {
    context: FontContext,
    layouts: LayoutContext<Ink>,
    /// Which letters each font has.
    maps: Vec<(Blob<u8>, CharmapIndex)>,
    /// What those letters were found to be, beyond ASCII.
    known: HashMap<char, bool>,
    ready: HashMap<u64, Font>,
    /// Short texts that come again and again: heads of tables, "not known".
    set: HashMap<Key, Rc<Block>>,
    body: Vec<FontFamilyName<'static>>,
    mono: Vec<FontFamilyName<'static>>,
}

/// How long a text can be that is kept, in bytes, and how many are.
const KEPT: (usize, usize) = (48, 4096);

/// What a text looks like: its pieces, and the bits of its width.
type Key = (Vec<(String, u32, bool, bool, Ink)>, u32);

/// A text with its lines.
pub(crate) struct Block {
    pub(crate) text: String,
    pub(crate) layout: Layout<Ink>,
    /// Top and bottom of each line, from the top of the block.
    pub(crate) lines: Vec<(f32, f32)>,
}

impl Block {
    pub(crate) fn height(&self) -> f32 {
        self.lines.last().map_or(0.0, |(_, bottom)| *bottom)
    }

    /// How far down a range of lines reaches, from the top of its first one.
    pub(crate) fn height_of(&self, lines: &Range<usize>) -> f32 {
        match self.lines.get(lines.clone()) {
            Some([first, .., last]) => last.1 - first.0,
            Some([only]) => only.1 - only.0,
            _ => 0.0,
        }
    }
}

impl Fonts {
    /// The built-in fonts, and those that the caller gives.
    pub(crate) fn new(more: &[Vec<u8>]) -> Result<Self, Error> {
        let collection = Collection::new(CollectionOptions { shared: false, system_fonts: false });
        let mut fonts = Self {
            context: FontContext { collection, source_cache: SourceCache::default() },
            layouts: LayoutContext::new(),
            maps: Vec::new(),
            known: HashMap::new(),
            ready: HashMap::new(),
            set: HashMap::new(),
            body: Vec::new(),
            mono: Vec::new(),
        };
        let built_in: [(&str, &'static [u8]); 4] = [
            ("body", dejavu::sans_condensed::regular()),
            ("body", dejavu::sans_condensed::bold()),
            ("mono", dejavu::sans_mono::regular()),
            // Has letters that the condensed faces lack.
            ("wide", dejavu::sans::regular()),
        ];
        for (family, bytes) in built_in {
            fonts.register(family, Blob::new(Arc::new(bytes)));
        }
        let mut families: Vec<FontFamilyName<'static>> = vec![FontFamilyName::named("wide")];
        for (at, bytes) in more.iter().enumerate() {
            let family = format!("more {at}");
            if !fonts.register(&family, Blob::new(Arc::new(bytes.clone()))) {
                return Err(Error::Font(at + 1));
            }
            families.push(FontFamilyName::Named(Cow::Owned(family)));
        }
        let among = |first: &[&'static str]| first.iter().copied().map(FontFamilyName::named).collect::<Vec<_>>();
        fonts.body = [among(&["body"]), families.clone()].concat();
        fonts.mono = [among(&["mono", "body"]), families].concat();
        Ok(fonts)
    }

    fn register(&mut self, family: &str, bytes: Blob<u8>) -> bool {
        let named = FontInfoOverride { family_name: Some(family), ..FontInfoOverride::default() };
        let found = self.context.collection.register_fonts(bytes.clone(), Some(named));
        let maps = found.iter().flat_map(|(_, fonts)| fonts).map(|font| (bytes.clone(), font.charmap_index()));
        let before = self.maps.len();
        self.maps.extend(maps);
        self.maps.len() > before
    }

    /// Letters that were asked for and that no font has.
    pub(crate) fn missing(&self) -> Vec<char> {
        let missing: BTreeSet<char> =
            self.known.iter().filter(|(_, known)| !**known).map(|(letter, _)| *letter).collect();
        missing.into_iter().collect()
    }

    fn has(&mut self, letter: char) -> bool {
        let maps = &self.maps;
        *self.known.entry(letter).or_insert_with(|| {
            let has = |(bytes, map): &(Blob<u8>, CharmapIndex)| {
                map.charmap(bytes.as_ref()).and_then(|map| map.map(letter)).is_some_and(|glyph| glyph != 0)
            };
            maps.iter().any(has)
        })
    }

    /// A text in letters that can be set. An empty box in place of a letter would hide what an instance calls itself.
    fn writable<'t>(&mut self, text: &'t str) -> Cow<'t, str> {
        if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return Cow::Borrowed(text);
        }
        let mut written = String::with_capacity(text.len());
        for letter in text.chars() {
            // Ends of lines are ours: those of an instance are shown as what they are before they come here.
            if letter == '\n' || (!letter.is_control() && self.has(letter)) {
                written.push(letter);
            } else if letter.is_whitespace() {
                written.push(' ');
            } else {
                written.extend(letter.escape_unicode());
            }
        }
        Cow::Owned(written)
    }

    /// Breaks a text into lines.
    pub(crate) fn block(&mut self, spans: &[Span], width: f32) -> Rc<Block> {
        if spans.iter().map(|span| span.text.len()).sum::<usize>() > KEPT.0 {
            return Rc::new(self.broken(spans, width));
        }
        let piece = |span: &Span| {
            let Style { size, bold, mono, ink } = span.style;
            (span.text.clone(), size.to_bits(), bold, mono, ink)
        };
        let key = (spans.iter().map(piece).collect(), width.to_bits());
        if let Some(set) = self.set.get(&key) {
            return Rc::clone(set);
        }
        let block = Rc::new(self.broken(spans, width));
        if self.set.len() >= KEPT.1 {
            self.set.clear();
        }
        self.set.insert(key, Rc::clone(&block));
        block
    }

    fn broken(&mut self, spans: &[Span], width: f32) -> Block {
        let mut text = String::new();
        let mut ranges = Vec::with_capacity(spans.len());
        for span in spans {
            let start = text.len();
            text.push_str(&self.writable(&span.text));
            ranges.push((start..text.len(), span.style));
        }
        let (body, mono) = (self.body.clone(), self.mono.clone());
        let family = |style: Style| FontFamily::List(Cow::Borrowed(if style.mono { &mono[..] } else { &body[..] }));
        let mut builder = self.layouts.ranged_builder(&mut self.context, &text, 1.0, false);
        // A line is as tall as its own letters, whatever the library's default size is.
        let smallest = spans.iter().map(|span| span.style.size).fold(f32::MAX, f32::min);
        builder.push_default(StyleProperty::FontSize(if spans.is_empty() { 1.0 } else { smallest }));
        builder.push_default(StyleProperty::LineHeight(LineHeight::FontSizeRelative(1.34)));
        // A path or a digest has no spaces; it breaks where it must.
        builder.push_default(StyleProperty::OverflowWrap(OverflowWrap::Anywhere));
        for (range, style) in ranges {
            builder.push(StyleProperty::FontFamily(family(style)), range.clone());
            builder.push(StyleProperty::FontSize(style.size), range.clone());
            builder.push(
                StyleProperty::FontWeight(FontWeight::new(if style.bold { 700.0 } else { 400.0 })),
                range.clone(),
            );
            builder.push(StyleProperty::Brush(style.ink), range);
        }
        let mut layout: Layout<Ink> = builder.build(&text);
        layout.break_all_lines(Some(width));
        layout.align(Alignment::Start, AlignmentOptions::default());
        let lines =
            layout.lines().map(|line| (line.metrics().block_min_coord, line.metrics().block_max_coord)).collect();
        Block { text, layout, lines }
    }

    /// The font of a run in the form of the writer.
    pub(crate) fn ready(&mut self, font: &FontData) -> Option<Font> {
        let (bytes, id) = font.data.clone().into_raw_parts();
        if let Some(ready) = self.ready.get(&id) {
            return Some(ready.clone());
        }
        let made = Font::new(bytes.into(), font.index)?;
        self.ready.insert(id, made.clone());
        Some(made)
    }
}
