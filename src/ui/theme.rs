//! Colours and glyphs. Meaning is never in a colour alone: every coloured thing has a word or a glyph as well.

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;

use super::Options;
use crate::run::snapshot::{Freshness, Level, StepState};

/// Colours and glyphs of one screen.
#[derive(Debug, Clone)]
pub struct Theme {
    color: bool,
    /// Single characters.
    pub glyphs: &'static Glyphs,
}

/// Signs. Those of a step are all of one width; the others are one cell wide unless said otherwise.
#[derive(Debug)]
pub struct Glyphs {
    /// A step or item that is done.
    pub done: &'static str,
    /// A step that is going on.
    pub running: &'static str,
    /// A step whose verify does not hold yet.
    pub verifying: &'static str,
    /// A step that has not started.
    pub pending: &'static str,
    /// Something failed.
    pub failed: &'static str,
    /// A step that was taken off before it was done.
    pub interrupted: &'static str,
    /// A step that was taken back.
    pub undone: &'static str,
    /// A step that was left out.
    pub skipped: &'static str,
    /// Something that nobody knows.
    pub unknown: &'static str,
    /// A ticked item.
    pub tick: &'static str,
    /// A phase that is done (may be wider than one cell).
    pub passed: &'static str,
    /// Points at the selected or current line.
    pub pointer: &'static str,
    /// From one region to another, or from one value to another (may be wider than one cell).
    pub arrow: &'static str,
    /// Where a text was cut.
    pub ellipsis: &'static str,
    /// The filled part of a bar.
    pub full: &'static str,
    /// The empty part of a bar.
    pub empty: &'static str,
    /// A sparkline's levels, lowest first.
    pub spark: &'static [&'static str],
    /// A sample that failed, in a sparkline.
    pub gap: &'static str,
    /// A sample above the limit, in a sparkline.
    pub over: &'static str,
    /// A box around a panel.
    pub border: border::Set<'static>,
    /// A box around the panel that has the focus.
    pub focused: border::Set<'static>,
}

const ASCII_BORDER: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

const ASCII_FOCUSED: border::Set<'static> = border::Set { horizontal_top: "=", horizontal_bottom: "=", ..ASCII_BORDER };

static ASCII: Glyphs = Glyphs {
    done: "[x]",
    running: "[>]",
    verifying: "[~]",
    pending: "[ ]",
    failed: "[!]",
    interrupted: "[-]",
    undone: "[<]",
    skipped: "[-]",
    unknown: "[?]",
    tick: "x",
    passed: "ok",
    pointer: ">",
    arrow: "==>",
    ellipsis: "~",
    full: "#",
    empty: ".",
    spark: &["_", ".", "-", "=", "+", "*", "#"],
    gap: "x",
    over: "!",
    border: ASCII_BORDER,
    focused: ASCII_FOCUSED,
};

static UNICODE: Glyphs = Glyphs {
    done: "✓",
    running: "▶",
    verifying: "◐",
    pending: "·",
    failed: "✗",
    interrupted: "‖",
    undone: "↩",
    skipped: "⤼",
    unknown: "?",
    tick: "✓",
    passed: "✓",
    pointer: "›",
    arrow: "==>",
    ellipsis: "…",
    full: "█",
    empty: "░",
    spark: &["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
    gap: "×",
    over: "!",
    border: border::ROUNDED,
    focused: border::THICK,
};

impl Theme {
    /// The theme for these options.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Theme { color: options.color, glyphs: if options.ascii { &ASCII } else { &UNICODE } }
    }

    /// Whether only ASCII characters are painted.
    #[must_use]
    pub fn ascii(&self) -> bool {
        std::ptr::eq(self.glyphs, &raw const ASCII)
    }

    fn colored(&self, style: Style, color: Color) -> Style {
        if self.color { style.fg(color) } else { style }
    }

    /// Ordinary text.
    #[must_use]
    pub fn plain(&self) -> Style {
        Style::new()
    }

    /// Text that steps back: labels, context, everything stale.
    #[must_use]
    pub fn dim(&self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// Text that stands out without being trouble.
    #[must_use]
    pub fn strong(&self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// A key to press.
    #[must_use]
    pub fn key(&self) -> Style {
        self.colored(self.strong(), Color::Cyan)
    }

    /// Something that was proved good.
    #[must_use]
    pub fn good(&self) -> Style {
        self.colored(Style::new(), Color::Green)
    }

    /// Will need a hand.
    #[must_use]
    pub fn caution(&self) -> Style {
        self.colored(self.strong(), Color::Yellow)
    }

    /// Act now.
    #[must_use]
    pub fn warning(&self) -> Style {
        self.colored(self.strong(), Color::Red)
    }

    /// A line of a difference that goes away.
    #[must_use]
    pub fn minus(&self) -> Style {
        self.colored(Style::new(), Color::Magenta)
    }

    /// A line of a difference that comes.
    #[must_use]
    pub fn plus(&self) -> Style {
        self.colored(Style::new(), Color::Cyan)
    }

    /// The line that is selected.
    #[must_use]
    pub fn selected(&self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The words LIVE and DRILL; a live run looks different from a drill even without colours.
    #[must_use]
    pub fn mode(&self, drill: bool) -> Style {
        if drill { self.colored(self.strong(), Color::Cyan) } else { self.strong().add_modifier(Modifier::REVERSED) }
    }

    /// A panel's frame.
    #[must_use]
    pub fn frame(&self, focused: bool) -> Style {
        if focused { self.colored(Style::new(), Color::Cyan) } else { self.dim() }
    }

    /// The style of a level.
    #[must_use]
    pub fn level(&self, level: Level) -> Style {
        match level {
            Level::Ok | Level::Advisory => self.plain(),
            Level::Caution => self.caution(),
            Level::Warning => self.warning(),
        }
    }

    /// The style of a reading: stale is never green, and never loud either.
    #[must_use]
    pub fn reading(&self, freshness: Freshness, level: Level) -> Style {
        match freshness {
            Freshness::Fresh => self.level(level),
            Freshness::Stale | Freshness::Missing => self.dim(),
        }
    }

    /// Glyph and style of a step.
    #[must_use]
    pub fn step(&self, state: StepState) -> (&'static str, Style) {
        let glyphs = self.glyphs;
        match state {
            StepState::Pending => (glyphs.pending, self.dim()),
            StepState::Running => (glyphs.running, self.strong()),
            StepState::Verifying => (glyphs.verifying, self.strong()),
            StepState::Done => (glyphs.done, self.good()),
            StepState::Failed => (glyphs.failed, self.warning()),
            StepState::Interrupted => (glyphs.interrupted, self.caution()),
            StepState::Undone => (glyphs.undone, self.caution()),
            StepState::Skipped => (glyphs.skipped, self.caution()),
        }
    }
}

/// The word of a level.
#[must_use]
pub fn level_word(level: Level) -> &'static str {
    match level {
        Level::Ok => "OK",
        Level::Advisory => "ADVISORY",
        Level::Caution => "CAUTION",
        Level::Warning => "WARNING",
    }
}
