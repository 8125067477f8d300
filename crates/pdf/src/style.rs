//! Style: how do sizes, weights and colours look on paper?
//!
//! Sizes are in points, a seventy-second of an inch. Colours are those of the page in HTML, in its light scheme.

/// A colour, red, green and blue.
pub(crate) type Ink = [u8; 3];

pub(crate) const INK: Ink = [0x16, 0x20, 0x2b];
pub(crate) const SOFT: Ink = [0x52, 0x60, 0x6d];
pub(crate) const LINE: Ink = [0xd9, 0xe0, 0xe7];
pub(crate) const SHEET: Ink = [0xf2, 0xf5, 0xf8];
pub(crate) const BAD: Ink = [0xb3, 0x26, 0x1e];
pub(crate) const BAD_PAPER: Ink = [0xfd, 0xec, 0xea];
pub(crate) const WARN: Ink = [0x8a, 0x53, 0x00];
pub(crate) const WARN_PAPER: Ink = [0xff, 0xf3, 0xdc];
pub(crate) const GOOD: Ink = [0x1d, 0x6b, 0x3a];
pub(crate) const CALM: Ink = [0x3f, 0x4f, 0x60];
pub(crate) const CALM_PAPER: Ink = [0xe8, 0xed, 0xf2];
pub(crate) const ACCENT: Ink = [0x14, 0x50, 0x7a];

/// Width and height of A4 (ISO 216).
pub(crate) const A4: (f32, f32) = (595.28, 841.89);

/// What stays white left and right, above, and below.
pub(crate) const SIDE: f32 = 48.0;
pub(crate) const TOP: f32 = 50.0;
pub(crate) const FOOT: f32 = 66.0;

/// How text looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Style {
    /// Points.
    pub(crate) size: f32,
    pub(crate) bold: bool,
    /// Letters of one width, for paths and codes.
    pub(crate) mono: bool,
    pub(crate) ink: Ink,
}

pub(crate) const BODY: Style = Style { size: 9.0, bold: false, mono: false, ink: INK };
pub(crate) const SMALL: Style = Style { size: 7.6, bold: false, mono: false, ink: SOFT };
pub(crate) const CODE: Style = Style { size: 8.0, bold: false, mono: true, ink: CALM };

impl Style {
    pub(crate) const fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    pub(crate) const fn ink(self, ink: Ink) -> Self {
        Self { ink, ..self }
    }

    pub(crate) const fn size(self, size: f32) -> Self {
        Self { size, ..self }
    }
}

/// The colour of a class of the page: of a verdict, a severity, a status.
pub(crate) fn ink_of(class: &str) -> Ink {
    match class {
        "compromised" | "mismatch" | "affected" | "high" | "critical" | "bad" => BAD,
        "inconclusive" | "not-checked" | "unknown" | "medium" | "warn" => WARN,
        "fixed" => GOOD,
        _ => CALM,
    }
}

/// The colour behind a number of a class.
pub(crate) fn paper_of(class: &str) -> Ink {
    match ink_of(class) {
        BAD => BAD_PAPER,
        WARN => WARN_PAPER,
        _ => SHEET,
    }
}

/// A piece of text in one style.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) text: String,
    pub(crate) style: Style,
}

/// A piece of text in one style.
pub(crate) fn span(text: impl Into<String>, style: Style) -> Span {
    Span { text: text.into(), style }
}
