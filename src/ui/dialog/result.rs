//! How it ended: a card that is shown once and does not take the keys; Esc puts it away.

use ratatui::text::{Line, Span};

use super::Popup;
use crate::plan::FaultKind;
use crate::run::snapshot::{Identity, Outcome, ResultView, Snapshot};
use crate::ui::panel::phases::outcome_word;
use crate::ui::text;
use crate::ui::theme::Theme;

/// The card.
#[must_use]
pub fn popup(view: &ResultView, snapshot: &Snapshot, theme: &Theme, width: usize) -> Popup {
    let keys = vec![
        Line::default(),
        Line::from(vec![
            Span::styled("q", theme.key()),
            Span::raw(" leaves   "),
            Span::styled("Esc", theme.key()),
            Span::raw(" puts the card away"),
        ]),
    ];
    let title = if snapshot.identity.drill { "Result (SIMULATED)" } else { "Result" };
    let mut lines = lines(view, &snapshot.identity, theme, width);
    if let Some(next) = next(snapshot) {
        lines.push(Line::default());
        lines.extend(text::wrap(&next, width).into_iter().map(|part| Line::styled(part, theme.strong())));
    }
    Popup { title: title.to_owned(), style: theme.frame(true), lines, keys }
}

/// What to rehearse next: losing the region that the rollback leads to.
fn next(snapshot: &Snapshot) -> Option<String> {
    let lost = |kind: &FaultKind| matches!(kind, FaultKind::RegionDown(region) if *region == snapshot.identity.from);
    let (title, _) = snapshot.drill.as_ref()?.faults.iter().find(|(_, kind)| lost(kind))?;
    Some(format!("next: 'cutover drill' again, and f: {title}"))
}

/// Outcome, times beside objectives, downtime beside its budget.
#[must_use]
pub fn lines(view: &ResultView, identity: &Identity, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    let simulated = if identity.drill { "  (SIMULATED)" } else { "" };
    let style = if view.outcome == Outcome::Held { theme.caution() } else { theme.strong() };
    let mut out = vec![Line::from(vec![Span::styled(outcome_word(view.outcome), style), Span::styled(simulated, theme.key())])];
    if let Some((name, at, took)) = &view.rollback {
        let line = format!("rollback '{name}', confirmed {}, done in {}", text::clock(*at), text::span(*took));
        out.push(Line::raw(text::cut(&line, width, theme.glyphs.ellipsis)));
    }
    out.push(Line::default());
    let mut row = |label: &str, value: i64, limit_label: &str, limit: i64| {
        let ok = value <= limit;
        let (verdict, style) = if ok { ("within", theme.good()) } else { ("ABOVE", theme.warning()) };
        out.push(Line::from(vec![
            Span::styled(text::pad(label, 10), theme.dim()),
            Span::styled(text::pad_left(&text::span(value), 8), theme.strong()),
            Span::styled(format!("  {verdict}"), style),
            Span::styled(
                if width < 46 { format!(" {}", text::span(limit)) } else { format!(" {limit_label} {}", text::span(limit)) },
                theme.dim(),
            ),
        ]));
    };
    if let Some(rto) = &view.rto {
        row("RTO", rto.total_ms, "the objective of", view.objective_rto_ms);
    }
    if let Some(rpo) = view.rpo_ms {
        row("RPO", rpo, "the objective of", view.objective_rpo_ms);
    }
    row("downtime", view.downtime_ms / 1000 * 1000, "the budget of", view.budget_ms / 1000 * 1000);
    if let Some(rto) = &view.rto {
        out.push(Line::default());
        let parts = [
            ("detect", rto.detect_ms, ""),
            ("decide", rto.decide_ms, "+ "),
            ("act", rto.act_ms, "+ "),
            ("recover", rto.recover_ms, "+ "),
            ("RTO", rto.total_ms, "= "),
        ];
        let mut spans = Vec::new();
        for (label, ms, sign) in parts {
            spans.push(Span::styled(format!("{sign}{label} "), theme.dim()));
            spans.push(Span::styled(format!("{} ", text::span(ms)), theme.strong()));
        }
        out.push(Line::from(spans));
    } else {
        out.push(Line::styled("no outage was measured", theme.dim()));
    }
    out
}
