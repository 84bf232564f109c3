//! What the plan says beside its steps: how far each part is, what has to be true in the end, what may go wrong, what it
//! costs, whom to call.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::Popup;
use crate::run::snapshot::{AboutView, Snapshot, StepState, Verdict};
use crate::ui::text;
use crate::ui::theme::Theme;

/// All of it, under each other.
#[must_use]
pub fn popup(snapshot: &Snapshot, theme: &Theme, width: usize) -> Popup {
    let about = &snapshot.about;
    let mut lines = Vec::new();
    let sections = [
        escalation(about, snapshot, theme, width),
        success(about, theme, width),
        risks(about, snapshot, theme, width),
        cost(about, theme, width),
        parts(about, theme, width),
    ];
    for section in sections {
        if !section.is_empty() && !lines.is_empty() {
            lines.push(Line::default());
        }
        lines.extend(section);
    }
    if lines.is_empty() {
        lines.push(Line::styled("the plan says nothing beside its steps", theme.dim()));
    }
    let keys = vec![Line::from(vec![
        Span::styled("j k", theme.key()),
        Span::raw(" scroll   "),
        Span::styled("y", theme.key()),
        Span::raw(" copies the support case   "),
        Span::styled("Esc", theme.key()),
        Span::raw(" back"),
    ])];
    Popup { title: "About the plan".to_owned(), style: theme.frame(true), lines, keys, home: None }
}

/// The support case as one text, if the plan has one.
#[must_use]
pub fn support_case(snapshot: &Snapshot) -> Option<String> {
    let (subject, body) = snapshot.about.escalation.as_ref()?.support_case.as_ref()?;
    Some(format!("{subject}\n\n{body}"))
}

fn escalation(about: &AboutView, snapshot: &Snapshot, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    let Some(view) = &about.escalation else { return Vec::new() };
    let mut lines = vec![Line::styled("escalation", theme.strong())];
    for (id, title, response_ms, contacts) in &view.levels {
        let clock = match view.since {
            None => format!("answers within {}", text::span(*response_ms)),
            Some(since) if snapshot.now - since <= *response_ms => {
                format!("must have answered in {}", text::span(since + response_ms - snapshot.now))
            }
            Some(since) => format!("should have answered {} ago", text::span(snapshot.now - since - response_ms)),
        };
        let style = if view.since.is_some() { theme.caution() } else { theme.plain() };
        wrapped(&mut lines, &format!("{id}  {title}: {}; {clock}", contacts.join(", ")), style, width);
    }
    if let Some((subject, _)) = &view.support_case {
        wrapped(&mut lines, &format!("support case: {subject}"), theme.dim(), width);
    }
    lines
}

fn success(about: &AboutView, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    if about.success.is_empty() {
        return Vec::new();
    }
    let met = about.success.iter().filter(|c| c.verdict == Some(Verdict::Pass)).count();
    let mut lines = vec![Line::styled(format!("success criteria: {met} of {} are met", about.success.len()), theme.strong())];
    for criterion in &about.success {
        let (word, why, style) = match &criterion.verdict {
            Some(Verdict::Pass) => ("ok", String::new(), theme.good()),
            Some(Verdict::Fail(why)) => ("FAIL", why.clone(), theme.caution()),
            Some(Verdict::Unknown(why)) => ("UNKNOWN", why.clone(), theme.dim()),
            None => ("by hand", String::new(), theme.dim()),
        };
        let why = if why.is_empty() { why } else { format!(" ({why})") };
        wrapped(&mut lines, &format!("{word:<8} {}{why}", criterion.title), style, width);
    }
    lines
}

fn risks(about: &AboutView, snapshot: &Snapshot, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    if about.risks.is_empty() {
        return Vec::new();
    }
    let now = snapshot.current.and_then(|step| snapshot.steps.get(step)).map(|step| step.phase);
    let mut lines = vec![Line::styled("risks", theme.strong())];
    for risk in &about.risks {
        let phase = snapshot.phases.get(risk.phase).map(|phase| phase.title.clone()).unwrap_or_default();
        let style = if Some(risk.phase) == now { theme.caution() } else { theme.plain() };
        wrapped(
            &mut lines,
            &format!("{}: likelihood {}, impact {}  ({phase})", risk.title, risk.likelihood, risk.impact),
            style,
            width,
        );
        let done = risk.steps.iter().filter(|(_, state)| *state == StepState::Done).count();
        let steps = if risk.steps.is_empty() { String::new() } else { format!("  [{done} of {} steps done]", risk.steps.len()) };
        wrapped(&mut lines, &format!("  {}{steps}", risk.mitigation), theme.dim(), width);
    }
    lines
}

fn cost(about: &AboutView, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    let Some(cost) = &about.cost else { return Vec::new() };
    let mut lines = vec![Line::styled(format!("cost of a month in {}", cost.currency), theme.strong())];
    let row = |name: &str, before: i64, after: i64| {
        let name = text::cut(name, width.saturating_sub(34), theme.glyphs.ellipsis);
        format!("{} {:>10} {:>10}", text::pad(&name, width.saturating_sub(34)), amount(before), amount(after))
    };
    for (name, _, before, after) in &cost.items {
        lines.push(Line::styled(row(name, *before, *after), theme.dim()));
    }
    for (group, before, after, change, good) in &cost.sums {
        let (style, word) = if *good { (theme.good(), "ok") } else { (theme.caution(), "TOO MUCH") };
        lines.push(Line::styled(format!("{} {change} {word}", row(group, *before, *after)), style));
    }
    lines
}

fn parts(about: &AboutView, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    if about.parts.is_empty() {
        return Vec::new();
    }
    let over = |steps: &[(String, StepState)]| steps.iter().filter(|(_, state)| state.is_over()).count();
    let done = about.parts.iter().filter(|part| over(&part.steps) == part.steps.len()).count();
    let mut lines = vec![Line::styled(format!("parts: {done} of {} are done", about.parts.len()), theme.strong())];
    for part in &about.parts {
        let (have, all) = (over(&part.steps), part.steps.len());
        let style = if have == all { theme.good() } else { theme.plain() };
        wrapped(&mut lines, &format!("{have:>2} of {all:<2} {}", part.title), style, width);
    }
    lines
}

fn wrapped(lines: &mut Vec<Line<'static>>, content: &str, style: Style, width: usize) {
    lines.extend(text::wrap(content, width).into_iter().map(|part| Line::styled(part, style)));
}

/// Hundredths of a currency.
fn amount(hundredths: i64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths.abs() % 100)
}
