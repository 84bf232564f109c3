//! What a rollback is armed on, as a table: what has to be so, whether it is, what was seen.

use ratatui::style::Style;
use ratatui::text::Line;

use super::table::{self, Column};
use crate::run::snapshot::{Armed, ProofView, Verdict};
use crate::ui::theme::Theme;

/// The proofs, those that do not hold first; nothing when there are none.
#[must_use]
pub fn lines(proofs: &[ProofView], theme: &Theme, width: usize) -> Vec<Line<'static>> {
    let mut sorted: Vec<&ProofView> = proofs.iter().collect();
    sorted.sort_by_key(|proof| proof.verdict == Verdict::Pass);
    let rows = sorted
        .into_iter()
        .map(|proof| {
            let glyphs = theme.glyphs;
            let (glyph, word, seen, style) = match &proof.verdict {
                Verdict::Pass => (glyphs.done, "ok", &proof.seen, theme.good()),
                Verdict::Fail(why) => (glyphs.failed, "NO", why, theme.caution()),
                Verdict::Unknown(why) => (glyphs.unknown, "unknown", why, theme.caution()),
            };
            vec![(format!("{glyph} {word}"), style), (proof.what.clone(), theme.plain()), (seen.clone(), theme.dim())]
        })
        .collect();
    let columns = [Column::fixed("", 0), Column::flexible("", 16), Column::flexible("", 8)];
    table::lines(&columns, rows, width, theme.dim(), theme.glyphs.ellipsis)
}

/// Whether a rollback is ready, as a word, with its style.
#[must_use]
pub fn armed(armed: &Armed, theme: &Theme) -> (&'static str, Style) {
    match armed {
        Armed::Armed => ("ARMED", theme.good()),
        Armed::NotArmed(_) => ("NOT ARMED", theme.caution()),
        Armed::Nothing => ("does not apply yet", theme.dim()),
    }
}
