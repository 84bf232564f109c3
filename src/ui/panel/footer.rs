//! The last two lines: what to do next, and the keys that work now.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::now::draining;
use super::signals::outage_running;
use crate::run::command::Verb;
use crate::run::snapshot::{Armed, Snapshot, Status, StepState, Verdict, WorkView};
use crate::ui::app::{Allowed, App, allowed, rehearsing, stuck};
use crate::ui::keymap::{self, Meaning};
use crate::ui::text;
use crate::ui::theme::Theme;
use crate::ui::widget::strip::{self, Field};

/// More than the key table has lines.
const TABLE_MAX: u8 = 100;

/// One sentence: the key that matters most now and what it would do, or why it is blocked.
#[must_use]
pub fn prompt(snapshot: &Snapshot, app: &App, width: usize) -> Line<'static> {
    let theme = app.theme();
    let mark = theme.glyphs.ellipsis;
    if let Some(notice) = app.notice() {
        return strip::cut_line(Line::styled(notice.text.clone(), theme.level(notice.level)), width, mark);
    }
    let (key, sentence, style) = advice(snapshot, app, theme);
    let mut spans = Vec::new();
    if let Some(key) = key {
        spans.push(Span::styled(key, theme.key()));
        spans.push(Span::raw("  "));
    }
    spans.push(Span::styled(sentence, style));
    strip::cut_line(Line::from(spans), width, mark)
}

type Advice = (Option<&'static str>, String, Style);

fn advice(snapshot: &Snapshot, app: &App, theme: &Theme) -> Advice {
    let undo = &snapshot.undo;
    if rehearsing(snapshot) {
        let sentence = "rehearsing the days before the opening step; the keys wait for it";
        return (None, sentence.to_owned(), theme.strong());
    }
    if snapshot.result.is_some() {
        return (Some("q"), "leave: the run has ended and its journal is closed".to_owned(), theme.strong());
    }
    if let Some(said) = draining(snapshot) {
        return (None, said, theme.strong());
    }
    if let Status::RollingBack { name } = &snapshot.status {
        return match &snapshot.work {
            Some(WorkView { blocked: Some(why), step, state: StepState::Pending, .. }) => {
                let why = why.trim_start_matches("waits for its proof: ");
                let said = format!("'{step}' waits for its proof (O starts it anyway, s skips it): {why}");
                (None, said, theme.caution())
            }
            work => {
                let doing = work.as_ref().map_or("", |work| work.doing.as_str());
                (None, format!("rolling back '{name}': {doing}"), theme.strong())
            }
        };
    }
    if let Some(offer) = &snapshot.offer {
        return (Some("R"), format!("the rollback '{}' is frozen and ready to be looked at", offer.name), theme.caution());
    }
    if let Some(WorkView { rollback: Some(_), conflict: Some(_), step, .. }) = &snapshot.work {
        let said = format!("look at it and go on: somebody else has changed what '{step}' puts back");
        return (Some("c"), said, theme.caution());
    }
    if let Some(WorkView { rollback: Some(name), state: StepState::Failed, step, .. }) = &snapshot.work {
        let said = format!("try again: '{step}' of rollback '{name}' failed (s skips it, with a reason)");
        return (Some("c"), said, theme.warning());
    }
    if outage_running(snapshot).is_some() {
        return match &undo.armed {
            Armed::Armed => {
                let calls = text::count(undo.calls, "call", "calls");
                let about = text::span(undo.expected_ms);
                (
                    Some("R"),
                    format!("roll back to {}: {calls}, about {about}, at risk: {}", undo.to, undo.at_risk),
                    theme.warning(),
                )
            }
            Armed::NotArmed(reason) => (Some("R"), format!("rollback NOT ARMED: {reason}"), theme.warning()),
            Armed::Nothing => (Some("space"), "hold: no rollback applies yet".to_owned(), theme.warning()),
        };
    }
    if let Status::Held { reason, by, .. } = &snapshot.status {
        return (Some("c"), format!("continue (held by {by}: {reason})"), theme.caution());
    }
    step_advice(snapshot, app, theme)
}

fn step_advice(snapshot: &Snapshot, app: &App, theme: &Theme) -> Advice {
    let Some(work) = &snapshot.work else {
        return (None, String::new(), theme.dim());
    };
    if allowed(snapshot, Verb::Tick) == Allowed::Yes
        && let Some((item, done)) = app.selected_item(work).and_then(|index| work.items.get(index))
    {
        let left = work.items.iter().filter(|(_, done)| !done).count();
        let verb = if *done { "untick" } else { "tick" };
        return (Some("i"), format!("{verb} '{item}' ({left} of {} left)", work.items.len()), theme.strong());
    }
    if allowed(snapshot, Verb::Approve) == Allowed::Yes {
        return (Some("A"), format!("approve: {}", work.title), theme.strong());
    }
    let next = allowed(snapshot, Verb::Next);
    let skip = if snapshot.drill.is_some() { "   (. skips ahead)" } else { "" };
    if next != Allowed::Yes && matches!(work.state, StepState::Running | StepState::Verifying) {
        let doing = if work.doing.is_empty() { "going on" } else { &work.doing };
        return (None, format!("{} {doing}{}{skip}", work.id, waits_for(work)), theme.plain());
    }
    match next {
        Allowed::Yes if App::change_set_waits(snapshot) => {
            let count = text::count(work.change_set.len(), "change", "changes");
            (Some("n"), format!("execute the change set: {count}"), theme.strong())
        }
        Allowed::Yes => {
            let again = match work.state {
                StepState::Failed | StepState::Interrupted => "try again: ",
                StepState::Undone => "start again: ",
                _ => "",
            };
            (Some("n"), format!("{again}{}", work.title), theme.strong())
        }
        Allowed::Blocked(reason) => (Some("n"), format!("next: blocked: {reason}{skip}"), theme.caution()),
        Allowed::No => (None, work.title.clone(), theme.plain()),
    }
}

/// The first thing that a step which is going on still waits for.
fn waits_for(work: &WorkView) -> String {
    let Some(condition) = work.verify.iter().find(|condition| matches!(condition.verdict, Verdict::Fail(_))) else {
        return String::new();
    };
    if condition.held_ms > 0 && condition.for_ms > condition.held_ms {
        let left = text::span((condition.for_ms - condition.held_ms) / 1000 * 1000);
        return format!(": {} has to hold for {left} more", condition.what);
    }
    format!(": waits for {} {}, now {}", condition.what, condition.want, condition.now)
}

/// Whether a key is one of the ways on when the plan's own does not go on.
fn is_choice(meaning: Meaning) -> bool {
    matches!(meaning, Meaning::BackOff | Meaning::Override | Meaning::SkipStep | Meaning::ByHand)
}

/// The keys that work now, and in grey the ones that are blocked.
#[must_use]
pub fn keys(snapshot: &Snapshot, app: &App, width: usize) -> Line<'static> {
    let theme = app.theme();
    let mut fields = Vec::new();
    for (order, binding) in keymap::TABLE.iter().enumerate().filter(|(_, binding)| !binding.short.is_empty()) {
        let always = matches!(binding.meaning, Meaning::Hold | Meaning::Rollback | Meaning::Help);
        let state = binding.verb.map_or(Allowed::Yes, |verb| allowed(snapshot, verb));
        if binding.meaning == Meaning::Span && app.charted(snapshot).is_none() {
            continue;
        }
        let style = match state {
            // What is seldom wanted is shown when it can be had; the help and the palette have it always.
            _ if is_choice(binding.meaning)
                && !(state == Allowed::Yes && (stuck(snapshot) || binding.meaning == Meaning::BackOff)) =>
            {
                continue;
            }
            Allowed::Yes => theme.plain(),
            Allowed::Blocked(_) => theme.dim(),
            Allowed::No if always => theme.dim(),
            Allowed::No => continue,
        };
        let key = if state == Allowed::Yes || always { theme.key() } else { theme.dim() };
        // On a narrow screen what is blocked goes before what works; the prompt says what comes next anyway.
        let later = if state == Allowed::Yes || binding.meaning == Meaning::Next { 0 } else { TABLE_MAX };
        let rank = if always { 0 } else { u8::try_from(order).unwrap_or(u8::MAX).saturating_add(later) };
        fields
            .push(Field::spans(rank, vec![Span::styled(binding.label, key), Span::styled(format!(" {}", binding.short), style)]));
    }
    // The narrowest screens keep hold and rollback even where the help has no room.
    if width < 28 {
        fields.truncate(2);
    }
    strip::line(fields, width)
}
