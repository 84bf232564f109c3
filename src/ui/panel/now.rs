//! The current step: what it will do or is doing, what it waits for, what would be sent next.

use ratatui::text::{Line, Span};

use super::Content;
use crate::run::snapshot::{Snapshot, Status, StepState, WorkView};
use crate::ui::app::{App, rehearsing};
use crate::ui::dialog::result;
use crate::ui::text;
use crate::ui::theme::Theme;
use crate::ui::widget::{conditions, diff, strip};

/// So many lines of a step's output are shown.
const OUTPUT: usize = 12;

/// The panel, most important first: title, state, why it waits, what would be sent.
#[must_use]
pub fn content(snapshot: &Snapshot, app: &App, width: usize) -> Content {
    let theme = app.theme();
    let mut out = Content::default();
    if rehearsing(snapshot) {
        let said = "The days before the opening step are being rehearsed in the simulated cloud, step by step. \
                    Then it is your turn; the journal keeps all of it.";
        out.lines.push(Line::styled("rehearsing the days before", theme.strong()));
        out.lines.extend(text::wrap(said, width).into_iter().map(Line::raw));
        return out;
    }
    if let Some(view) = snapshot.result.as_ref().filter(|_| !app.result_open()) {
        out.lines = result::lines(view, &snapshot.identity, theme, width);
    }
    if let Some(said) = draining(snapshot) {
        out.lines.extend(text::wrap(&said, width).into_iter().map(|part| Line::styled(part, theme.strong())));
        return out;
    }
    // After the end no step is next, whatever the plan would still have had.
    let Some(work) = snapshot.work.as_ref().filter(|_| snapshot.result.is_none()) else {
        if out.lines.is_empty() {
            out.lines.push(Line::styled("nothing is going on", theme.dim()));
        }
        return out;
    };
    let lines = &mut out.lines;
    if !lines.is_empty() {
        lines.push(Line::default());
    }
    head(lines, snapshot, work, theme, width);
    push_section(lines, approvals(work, theme));
    // What is waited for comes first: the gate before the step starts, the verify once it is going on.
    let going = matches!(work.state, StepState::Running | StepState::Verifying);
    let gate = conditions::lines("gate to start", &work.gate, true, theme, width);
    let verify = conditions::lines("verify to be done", &work.verify, going, theme, width);
    let (first, later) = if going { (verify, gate) } else { (gate, verify) };
    let (before, after) = if going { (Vec::new(), first) } else { (first, Vec::new()) };
    push_section(lines, before);
    // An open checklist is what there is to do; its verify comes when all is ticked.
    if !work.items.is_empty() {
        lines.push(Line::default());
        let selected = app.selected_item(work);
        for (index, (item, done)) in work.items.iter().enumerate() {
            if Some(index) == selected {
                out.home = lines.len();
            }
            lines.push(item_line(item, *done, Some(index) == selected, theme, width));
        }
    }
    push_section(lines, after);
    // What a script says while it runs, or said when it failed, is what people look at.
    let script = matches!(work.action.as_str(), "shell" | "http");
    if script {
        push_section(lines, output(work, theme, width));
    }
    push_section(lines, changes(work, theme, width));
    if let Some(call) = &work.call {
        let title = if call.sent { "last call" } else { "next call (not sent)" };
        let mut section = vec![Line::styled(title, theme.dim())];
        section.extend(diff::lines(call, theme, width));
        push_section(lines, section);
    }
    push_section(lines, later);
    let note = text::wrap(&work.note, width).into_iter().map(|part| Line::styled(part, theme.dim())).collect();
    push_section(lines, note);
    if !script {
        push_section(lines, output(work, theme, width));
    }
    out
}

/// The newest lines that the step has given.
fn output(work: &WorkView, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    let newest = &work.output[work.output.len().saturating_sub(OUTPUT)..];
    let lines = newest.iter().map(|line| Line::raw(text::cut(line, width, theme.glyphs.ellipsis)));
    let title = (!newest.is_empty()).then(|| Line::styled("lately", theme.dim()));
    title.into_iter().chain(lines).collect()
}

/// The moment after a rollback's last call, before its effect is everywhere.
#[must_use]
pub fn draining(snapshot: &Snapshot) -> Option<String> {
    let Status::RollingBack { name } = &snapshot.status else { return None };
    // What of the rollback wants a hand is not hidden behind that.
    let wants = |work: &WorkView| work.rollback.is_some() && (work.state != StepState::Verifying);
    if snapshot.work.as_ref().is_some_and(wants) {
        return None;
    }
    let acted = snapshot.outage.as_ref().is_some_and(|outage| outage.acted.is_some() && outage.ended.is_none());
    let skip = if snapshot.drill.is_some() { "   (. skips ahead)" } else { "" };
    acted.then(|| format!("rollback '{name}': calls in sync; waiting until users are served again{skip}"))
}

fn push_section(lines: &mut Vec<Line<'static>>, section: Vec<Line<'static>>) {
    if !section.is_empty() {
        lines.push(Line::default());
        lines.extend(section);
    }
}

fn head(lines: &mut Vec<Line<'static>>, snapshot: &Snapshot, work: &WorkView, theme: &Theme, width: usize) {
    let (glyph, style) = theme.step(work.state);
    let mut state = if work.state == StepState::Pending { "next" } else { work.state.word() }.to_owned();
    if let (Some(since), false) = (work.since, work.state == StepState::Pending) {
        state = format!("{state} {}", text::stopwatch(snapshot.now - since));
    }
    for (row, part) in text::wrap(&work.title, width.saturating_sub(text::width(glyph) + state.len() + 2)).into_iter().enumerate()
    {
        let left = Line::styled(part, theme.strong());
        let right = if row == 0 { Line::styled(format!("{glyph} {state}"), style) } else { Line::default() };
        lines.push(strip::sides(left, right, width, theme.glyphs.ellipsis));
    }
    let expected = if work.expected_ms > 0 { format!(", takes about {}", text::span(work.expected_ms)) } else { String::new() };
    lines.push(Line::styled(text::cut(&format!("{}{expected}", work.id), width, theme.glyphs.ellipsis), theme.dim()));
    let mut paragraph = |content: &str, style| {
        lines.extend(text::wrap(content, width).into_iter().map(|part| Line::styled(part, style)));
    };
    // While the step is shut out, what blocks it says so.
    if let Some(window) = work.window.as_ref().filter(|window| window.open || work.state != StepState::Pending) {
        let style = if window.fits == Some(false) { theme.caution() } else { theme.dim() };
        paragraph(&format!("window {}: {}", window.text, window.words), style);
    }
    if let Status::Held { reason, by, .. } = &snapshot.status {
        paragraph(&format!("held by {by}: {reason}"), theme.caution());
    }
    // That a step which is going on blocks the next one is nothing to be told.
    let going = matches!(work.state, StepState::Running | StepState::Verifying) || matches!(snapshot.status, Status::Held { .. });
    if let Some(blocked) = work.blocked.as_ref().filter(|_| !going) {
        paragraph(&format!("blocked: {blocked}"), theme.caution());
    }
    // What a failed step of a rollback says has been said by the hold that it caused.
    let said = work.rollback.is_some() && work.state == StepState::Failed;
    if !work.doing.is_empty() && !said {
        paragraph(&work.doing, theme.plain());
    }
}

fn approvals(work: &WorkView, theme: &Theme) -> Vec<Line<'static>> {
    let Some((people, needed)) = &work.approvals else { return Vec::new() };
    let names = if people.is_empty() { "nobody yet".to_owned() } else { people.join(", ") };
    vec![Line::from(vec![Span::styled(format!("approved by {} of {needed}: ", people.len()), theme.dim()), Span::raw(names)])]
}

fn item_line(item: &str, done: bool, selected: bool, theme: &Theme, width: usize) -> Line<'static> {
    let (pointer, style) = if selected { (theme.glyphs.pointer, theme.strong()) } else { (" ", theme.plain()) };
    let tick = if done { theme.glyphs.tick } else { " " };
    let item = text::cut(item, width.saturating_sub(6), theme.glyphs.ellipsis);
    Line::from(vec![
        Span::styled(format!("{pointer} "), theme.key()),
        Span::styled(format!("[{tick}] "), if done { theme.good() } else { theme.plain() }),
        Span::styled(item, if done && !selected { theme.dim() } else { style }),
    ])
}

/// The change set, with what replaces or removes something standing out.
#[must_use]
pub fn changes(work: &WorkView, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    let mut out = Vec::new();
    if work.change_set.is_empty() {
        return out;
    }
    out.push(Line::styled("change set: nothing is changed before it is executed", theme.dim()));
    for change in &work.change_set {
        let replaces = matches!(change.replacement.as_str(), "True" | "Conditional");
        let style = if change.action == "Remove" || replaces { theme.caution() } else { theme.plain() };
        let replacement = match change.replacement.as_str() {
            "True" => "  REPLACED",
            "Conditional" => "  replaced, perhaps",
            _ => "",
        };
        let line = format!("{:<7} {}  {}{replacement}", change.action, change.logical_id, change.resource_type);
        out.push(Line::styled(text::cut(&line, width, theme.glyphs.ellipsis), style));
    }
    out
}
