//! The plan: phases, days, steps, planned against actual.

use ratatui::text::{Line, Span};

use super::Content;
use crate::run::snapshot::{Snapshot, StepState, StepView};
use crate::ui::text;
use crate::ui::theme::Theme;
use crate::ui::widget::{planes, strip};

/// All phases; the steps of the current one and of those that are not quite done, or of all when `whole`.
#[must_use]
pub fn content(snapshot: &Snapshot, theme: &Theme, whole: bool, width: usize) -> Content {
    let mut out = Content::default();
    let current = snapshot.current.and_then(|index| snapshot.steps.get(index));
    for (index, phase) in snapshot.phases.iter().enumerate() {
        let here = current.is_some_and(|step| step.phase == index);
        let done = phase.done == phase.total;
        let (glyph, style) = match (here, done) {
            (true, _) => (theme.glyphs.running, theme.strong()),
            (false, true) => (theme.glyphs.done, theme.good()),
            (false, false) => (theme.glyphs.pending, theme.dim()),
        };
        let days = if phase.first_day == phase.last_day {
            format!("day {}", phase.first_day)
        } else {
            format!("days {}-{}", phase.first_day, phase.last_day)
        };
        let title = if here { theme.strong() } else { theme.plain() };
        out.lines.push(strip::sides(
            Line::from(vec![
                Span::styled(format!("{glyph} "), style),
                Span::styled(format!("{} {}", index + 1, phase.title), title),
            ]),
            Line::from(vec![
                Span::styled(days, theme.dim()),
                Span::raw(text::pad_left(&format!("{}/{}", phase.done, phase.total), 7)),
            ]),
            width,
            theme.glyphs.ellipsis,
        ));
        let untidy = || snapshot.steps.iter().any(|step| step.phase == index && unsettled(step.state));
        if !(whole || here || (phase.done > 0 && !done) || untidy()) {
            continue;
        }
        for (number, step) in snapshot.steps.iter().enumerate().filter(|(_, step)| step.phase == index) {
            let is_current = snapshot.current == Some(number);
            if is_current {
                out.home = out.lines.len();
            }
            out.lines.push(step_line(snapshot, step, is_current, theme, width));
            if !step.reason.is_empty() && unsettled(step.state) {
                let reason = text::cut(&step.reason, width.saturating_sub(8), theme.glyphs.ellipsis);
                out.lines.push(Line::styled(format!("      {reason}"), theme.caution()));
            }
        }
    }
    out
}

fn unsettled(state: StepState) -> bool {
    matches!(state, StepState::Failed | StepState::Interrupted | StepState::Undone)
}

fn step_line(snapshot: &Snapshot, step: &StepView, current: bool, theme: &Theme, width: usize) -> Line<'static> {
    let (glyph, style) = theme.step(step.state);
    let pointer = if current { theme.glyphs.pointer } else { " " };
    let title = match step.state {
        _ if current => theme.strong(),
        StepState::Pending => theme.dim(),
        _ => theme.plain(),
    };
    let mut right = Vec::new();
    if step.one_way.is_some() {
        right.push(Span::styled("one-way ", theme.caution()));
    }
    let left = Line::from(vec![
        Span::styled(format!("{pointer} "), theme.key()),
        Span::styled(format!("{glyph} "), style),
        Span::styled(step.title.clone(), title),
    ]);
    let time = text::pad_left(&time(snapshot, step), 6);
    let planes = planes::of_step(&step.control_planes);
    // The control plane is shown while it still matters, and only where it does not push the title out.
    let used = left.width() + right.iter().map(Span::width).sum::<usize>() + text::width(&time);
    if !planes.is_empty() && !step.state.is_over() && used + text::width(&planes) + 2 <= width {
        right.push(Span::styled(format!("{planes} "), theme.dim()));
    }
    right.push(Span::styled(time, theme.dim()));
    strip::sides(left, Line::from(right), width, theme.glyphs.ellipsis)
}

/// How long it took, how long it has been going on, or how long it should take (`~`).
fn time(snapshot: &Snapshot, step: &StepView) -> String {
    match (step.started, step.ended) {
        (Some(from), Some(to)) if step.state != StepState::Pending => text::span((to - from) / 1000 * 1000),
        (Some(from), None) => text::stopwatch(snapshot.now - from),
        _ if step.expected_ms > 0 => format!("~{}", text::span(step.expected_ms)),
        _ => String::new(),
    }
}
