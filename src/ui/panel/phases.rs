//! The line under the alert: what the run is doing, an outage's clock, the phases, the error budget.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::run::command::Verb;
use crate::run::snapshot::{Outcome, Snapshot, Status};
use crate::ui::app::{Allowed, App, allowed, rehearsing};
use crate::ui::text;
use crate::ui::theme::Theme;
use crate::ui::widget::strip::{self, Field};

/// One line.
#[must_use]
pub fn line(snapshot: &Snapshot, theme: &Theme, width: usize) -> Line<'static> {
    let (word, style) = status(snapshot, theme);
    let mut fields = vec![Field::new(0, word, style)];
    if let Some(since) = super::signals::outage_running(snapshot) {
        fields.push(Field::new(0, format!("OUTAGE {}", text::stopwatch(since)), theme.warning()));
    }
    let current = snapshot.current.and_then(|index| snapshot.steps.get(index)).map(|step| step.phase);
    let phases = phases(snapshot, current, theme, false);
    let right = budget(snapshot, theme);
    let left = strip::line(fields, width);
    // All phases when there is room for all of them, else the current one only.
    let mut whole = left.clone();
    whole.spans.push(Span::raw("  "));
    whole.spans.extend(phases);
    if whole.width() + right.width() + 2 <= width {
        return strip::sides(whole, right, width, theme.glyphs.ellipsis);
    }
    let mut one = left;
    one.spans.push(Span::raw("  "));
    one.spans.extend(self::phases(snapshot, current, theme, true));
    if one.width() + right.width() + 2 <= width {
        return strip::sides(one, right, width, theme.glyphs.ellipsis);
    }
    strip::cut_line(one, width, theme.glyphs.ellipsis)
}

/// What the run is doing, in a word or two.
#[must_use]
pub fn status(snapshot: &Snapshot, theme: &Theme) -> (String, Style) {
    let going_on = || allowed(snapshot, Verb::GoOn) != Allowed::Yes && snapshot.verbs.iter().any(|(verb, _)| *verb == Verb::GoOn);
    match &snapshot.status {
        _ if rehearsing(snapshot) => ("REHEARSING".to_owned(), theme.strong()),
        // Neither held nor rolled back and still not to be had: it has been asked for already.
        Status::Ready | Status::Running if going_on() && waits_for_person(snapshot) => {
            ("GOING ON, WAITS FOR YOU".to_owned(), theme.strong())
        }
        Status::Ready | Status::Running if going_on() => ("GOING ON BY ITSELF".to_owned(), theme.strong()),
        Status::Ready => ("READY".to_owned(), theme.strong()),
        Status::Running => ("RUNNING".to_owned(), theme.strong()),
        Status::Held { since, .. } => (format!("HELD {}", text::stopwatch(snapshot.now - since)), theme.caution()),
        Status::RollingBack { name } => (format!("ROLLING BACK {name}"), theme.caution()),
        Status::Finished(outcome) => (outcome_word(*outcome).to_owned(), theme.strong()),
    }
}

/// Whether a checklist, an approval or a change set wants a hand.
fn waits_for_person(snapshot: &Snapshot) -> bool {
    let yes = |verb| allowed(snapshot, verb) == Allowed::Yes;
    yes(Verb::Tick) || yes(Verb::Approve) || App::change_set_waits(snapshot)
}

/// How a run ended, in words.
#[must_use]
pub fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "COMPLETED",
        Outcome::RolledBack => "ROLLED BACK",
        Outcome::Held => "ENDED ON HOLD",
    }
}

fn phases(snapshot: &Snapshot, current: Option<usize>, theme: &Theme, only_current: bool) -> Vec<Span<'static>> {
    let mut spans = Vec::new();
    for (index, phase) in snapshot.phases.iter().enumerate() {
        let here = current == Some(index);
        if only_current && !here {
            continue;
        }
        if !spans.is_empty() {
            spans.push(Span::styled(" > ", theme.dim()));
        }
        let name = format!("{} {}", index + 1, phase.title);
        if here {
            spans.push(Span::styled(format!("[{name} {}/{}]", phase.done, phase.total), theme.strong()));
        } else if phase.done == phase.total {
            spans.push(Span::styled(name, theme.plain()));
            spans.push(Span::styled(format!(" {}", theme.glyphs.passed), theme.good()));
        } else {
            spans.push(Span::styled(name, theme.dim()));
        }
    }
    spans
}

fn budget(snapshot: &Snapshot, theme: &Theme) -> Line<'static> {
    // The clock of an outage runs while the probes' minutes are still being counted: whichever has seen more.
    let availability = &snapshot.availability;
    let left = snapshot.budget_ms - availability.burnt_ms - snapshot.downtime_ms.max(availability.service.certain_ms);
    let style = if left < 0 { theme.warning() } else { theme.plain() };
    Line::from(vec![
        Span::styled(format!("T+{}  budget ", text::stopwatch(snapshot.now - snapshot.started)), theme.dim()),
        Span::styled(text::span(left / 1000 * 1000), style),
        Span::styled(format!(" of {}", text::span(snapshot.budget_ms / 1000 * 1000)), theme.dim()),
    ])
}
