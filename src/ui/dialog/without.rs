//! What still works without a region: a table to look at, computed from what each step and rollback needs.

use ratatui::text::{Line, Span};

use super::{Popup, paragraph};
use crate::run::snapshot::{Armed, RollbackView, Snapshot};
use crate::ui::theme::Theme;
use crate::ui::widget::planes;
use crate::ui::widget::table::{self, Cell, Column};

/// The rollbacks first: they are what is asked for when a region goes away.
#[must_use]
pub fn popup(region: &str, snapshot: &Snapshot, theme: &Theme, width: usize) -> Popup {
    let mark = theme.glyphs.ellipsis;
    let mut lines = Vec::new();
    let named = |planes: &[String]| planes.iter().any(|plane| plane == region);
    let works = snapshot.rollbacks.iter().filter(|rollback| obstacle(rollback, region).is_none()).count();
    lines.push(Line::styled(format!("{works} of {} rollbacks work", snapshot.rollbacks.len()), theme.strong()));
    let rows = snapshot.rollbacks.iter().map(|rollback| rollback_row(rollback, region, theme)).collect();
    lines.extend(table::lines(&COLUMNS, rows, width, theme.dim(), mark));
    lines.push(Line::default());
    let left: Vec<_> = snapshot.steps.iter().filter(|step| !step.state.is_over()).collect();
    let works = left.iter().filter(|step| !named(&step.control_planes)).count();
    lines.push(Line::styled(format!("{works} of {} steps that are left work", left.len()), theme.strong()));
    let rows = left
        .iter()
        .map(|step| {
            let why = named(&step.control_planes).then_some(NEEDS);
            row(&step.id, why, planes::of_step(&step.control_planes), step.title.clone(), theme)
        })
        .collect();
    lines.extend(table::lines(&COLUMNS, rows, width, theme.dim(), mark));
    let silent: Vec<&str> = snapshot
        .monitors
        .iter()
        .filter(|monitor| monitor.region.as_deref() == Some(region))
        .map(|monitor| monitor.title.as_str())
        .collect();
    if !silent.is_empty() {
        lines.push(Line::default());
        let said = format!("may go silent, and keep their gates shut: {}", silent.join(", "));
        paragraph(&mut lines, &said, theme.plain(), width);
    }
    lines.push(Line::default());
    let said = "By the control planes that each one needs, and by where a rollback leads; nothing was tried.";
    paragraph(&mut lines, said, theme.dim(), width);
    let keys = vec![Line::default(), Line::from(vec![Span::styled("Esc", theme.key()), Span::raw(" back")])];
    Popup { title: format!("Without {region}"), style: theme.frame(true), lines, keys, home: None }
}

const COLUMNS: [Column; 4] = [Column::flexible("", 12), Column::fixed("", 0), Column::fixed("", 2), Column::flexible("", 10)];

/// Said of what cannot do without its control plane.
const NEEDS: &str = "needs it";

/// What keeps a rollback from working without a region.
fn obstacle(rollback: &RollbackView, region: &str) -> Option<&'static str> {
    if rollback.to == region {
        return Some("leads to it");
    }
    rollback.control_planes.iter().any(|plane| plane == region).then_some(NEEDS)
}

fn rollback_row(rollback: &RollbackView, region: &str, theme: &Theme) -> Vec<Cell> {
    let now = match &rollback.armed {
        Armed::Armed => "ARMED now".to_owned(),
        Armed::NotArmed(why) => format!("NOT ARMED now: {why}"),
        Armed::Nothing => "does not apply yet".to_owned(),
    };
    row(&rollback.name, obstacle(rollback, region), planes::of_rollback(&rollback.control_planes), now, theme)
}

fn row(name: &str, obstacle: Option<&str>, planes: String, more: String, theme: &Theme) -> Vec<Cell> {
    let (glyph, word, style) = match obstacle {
        None => (theme.glyphs.done, "works", theme.good()),
        Some(why) => (theme.glyphs.failed, why, theme.caution()),
    };
    vec![(name.to_owned(), theme.plain()), (format!("{glyph} {word}"), style), (planes, theme.dim()), (more, theme.dim())]
}
