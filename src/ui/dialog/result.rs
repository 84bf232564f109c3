//! How it ended: a card that is shown once and does not take the keys; Esc puts it away.

use ratatui::text::{Line, Span};

use super::Popup;
use crate::plan::FaultKind;
use crate::run::snapshot::{Identity, Outcome, ResultView, RtoView, Snapshot};
use crate::ui::panel::phases::outcome_word;
use crate::ui::text;
use crate::ui::theme::Theme;
use crate::ui::widget::table::{self, Cell, Column};

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
    Popup { title: title.to_owned(), style: theme.frame(true), lines, keys, home: None }
}

/// What to rehearse next: losing the region that the rollback leads to, and losing the control plane that it needs.
fn next(snapshot: &Snapshot) -> Option<String> {
    let needed = |region: &String| {
        let planes = || snapshot.rollbacks.iter().any(|rollback| rollback.control_planes.contains(region));
        *region != snapshot.identity.to && planes()
    };
    let faults = &snapshot.drill.as_ref()?.faults;
    let worth = faults.iter().filter_map(|(title, kind)| match kind {
        FaultKind::RegionDown(region) if *region == snapshot.identity.from || needed(region) => Some(title.as_str()),
        _ => None,
    });
    let worth: Vec<&str> = worth.collect();
    (!worth.is_empty()).then(|| format!("next: 'cutover drill' again, and f: {}", worth.join("; or ")))
}

/// Outcome, what was measured beside its objective, and what the recovery time is made of.
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
    let measured = |label: &str, value: i64, limit: i64| -> Vec<Cell> {
        let (verdict, style) = if value <= limit {
            (format!("{} met", theme.glyphs.done), theme.good())
        } else {
            (format!("{} MISSED", theme.glyphs.failed), theme.warning())
        };
        vec![
            (label.to_owned(), theme.dim()),
            (text::span(value), theme.strong()),
            (text::span(limit), theme.dim()),
            (verdict, style),
        ]
    };
    let mut rows = Vec::new();
    rows.extend(view.rto.iter().map(|rto| measured("RTO", rto.total_ms, view.objective_rto_ms)));
    rows.extend(view.rpo_ms.map(|rpo| measured("RPO", rpo, view.objective_rpo_ms)));
    rows.push(measured("downtime", view.downtime_ms / 1000 * 1000, view.budget_ms / 1000 * 1000));
    if let Some(failed) = view.failed_requests {
        let none = || (String::new(), theme.dim());
        rows.push(vec![("failed requests".to_owned(), theme.dim()), (failed.to_string(), theme.strong()), none(), none()]);
    }
    let columns = [
        Column::flexible("", 9),
        Column::fixed("measured", 0).right(),
        Column::fixed("objective", 0).right(),
        Column::fixed("", 0),
    ];
    out.extend(table::lines(&columns, rows, width, theme.dim(), theme.glyphs.ellipsis));
    out.push(Line::default());
    match &view.rto {
        Some(rto) => out.extend(parts(rto, theme, width)),
        None => out.push(Line::styled("no outage was measured", theme.dim())),
    }
    out
}

/// What the recovery time is made of, on as many lines as it takes.
fn parts(rto: &RtoView, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    let parts = [
        ("RTO", rto.total_ms, ""),
        ("detect", rto.detect_ms, "= "),
        ("decide", rto.decide_ms, "+ "),
        ("act", rto.act_ms, "+ "),
        ("recover", rto.recover_ms, "+ "),
    ];
    let mut out: Vec<Line<'static>> = vec![Line::default()];
    for (label, ms, sign) in parts {
        let (label, value) = (format!("{sign}{label} "), format!("{} ", text::span(ms)));
        let wide = text::width(&label) + text::width(&value);
        if out.last().is_some_and(|line| line.width() > 0 && line.width() + wide > width + 1) {
            out.push(Line::raw("    "));
        }
        if let Some(line) = out.last_mut() {
            line.spans.push(Span::styled(label, theme.dim()));
            line.spans.push(Span::styled(value, theme.strong()));
        }
    }
    out
}
