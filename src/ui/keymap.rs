//! The keys: one table, from which the footer and the help are made.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::run::command::Verb;

/// A key as the cockpit sees it. Shift is part of the character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A character.
    Char(char),
    /// A character with control held.
    Ctrl(char),
    /// Enter.
    Enter,
    /// Escape.
    Esc,
    /// Tab.
    Tab,
    /// Tab with shift held.
    BackTab,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Home.
    Home,
    /// End.
    End,
    /// Backspace.
    Backspace,
}

impl Key {
    /// The key of a terminal event; `None` for releases and for keys that mean nothing here.
    #[must_use]
    pub fn of(event: &KeyEvent) -> Option<Key> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        if event.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::SUPER | KeyModifiers::META) {
            return None;
        }
        Some(match event.code {
            KeyCode::Char(c) if event.modifiers.contains(KeyModifiers::CONTROL) => Key::Ctrl(c.to_ascii_lowercase()),
            KeyCode::Char(c) => Key::Char(c),
            KeyCode::Enter => Key::Enter,
            KeyCode::Esc => Key::Esc,
            KeyCode::Tab => Key::Tab,
            KeyCode::BackTab => Key::BackTab,
            KeyCode::Up => Key::Up,
            KeyCode::Down => Key::Down,
            KeyCode::PageUp => Key::PageUp,
            KeyCode::PageDown => Key::PageDown,
            KeyCode::Home => Key::Home,
            KeyCode::End => Key::End,
            KeyCode::Backspace => Key::Backspace,
            _ => return None,
        })
    }
}

/// What a key means outside a dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Stop starting anything.
    Hold,
    /// Freeze and show the rollback.
    Rollback,
    /// Start the next step or execute the change set that is shown.
    Next,
    /// End a hold.
    Continue,
    /// Approve the current step.
    Approve,
    /// Tick or untick an item.
    Tick,
    /// Go on by itself.
    GoOn,
    /// Take back one step.
    Undo,
    /// Take the ramp back one stage.
    BackOff,
    /// Start behind a shut gate.
    Override,
    /// Leave out a step.
    SkipStep,
    /// Say that a step was done by hand.
    ByHand,
    /// Silence an alert.
    Acknowledge,
    /// Write a note.
    Note,
    /// Drill: faster.
    Faster,
    /// Drill: slower.
    Slower,
    /// Drill: skip ahead.
    Skip,
    /// Drill: inject a fault.
    Inject,
    /// Focus the next panel.
    NextPanel,
    /// Focus the panel before.
    PreviousPanel,
    /// Focus a panel by number, from 0.
    Panel(usize),
    /// Let the focused panel fill the screen.
    Zoom,
    /// Details: tick in a checklist, the chart of a monitor in the zoomed signals, zoom elsewhere.
    Details,
    /// Another span of a chart.
    Span,
    /// Back: close, unzoom, scroll home.
    Back,
    /// One line down.
    Down,
    /// One line up.
    Up,
    /// Ten lines down.
    PageDown,
    /// Ten lines up.
    PageUp,
    /// First line.
    Top,
    /// Last line.
    Bottom,
    /// Copy the focused panel's text.
    Copy,
    /// Find a verb and run it.
    Palette,
    /// Show all keys.
    Help,
    /// What the plan says beside its steps.
    About,
    /// The plan day by day.
    Calendar,
    /// Leave.
    Quit,
    /// Stop the process, as the shell's job control does.
    Suspend,
    /// Paint everything again.
    Redraw,
}

/// Where the help lists a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Keys that act on the run.
    Run,
    /// Keys that only a drill has.
    Drill,
    /// Keys that change what is shown.
    Look,
    /// Everything else.
    Cockpit,
}

impl Group {
    /// Heading in the help.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Group::Run => "The run",
            Group::Drill => "Only in a drill",
            Group::Look => "Look around",
            Group::Cockpit => "The cockpit",
        }
    }
}

/// One line of the table.
#[derive(Debug)]
pub struct Binding {
    /// The keys.
    pub keys: &'static [Key],
    /// The keys for people.
    pub label: &'static str,
    /// What it does.
    pub meaning: Meaning,
    /// The verb that decides whether it is possible now.
    pub verb: Option<Verb>,
    /// Where the help lists it.
    pub group: Group,
    /// A word for the footer; empty when the footer does not show it.
    pub short: &'static str,
    /// A line for the help.
    pub help: &'static str,
}

const fn run(
    keys: &'static [Key],
    label: &'static str,
    meaning: Meaning,
    verb: Option<Verb>,
    short: &'static str,
    help: &'static str,
) -> Binding {
    Binding { keys, label, meaning, verb, group: Group::Run, short, help }
}

const fn drill(key: &'static [Key], label: &'static str, meaning: Meaning, short: &'static str, help: &'static str) -> Binding {
    Binding { keys: key, label, meaning, verb: Some(Verb::Drill), group: Group::Drill, short, help }
}

const fn look(key: &'static [Key], label: &'static str, meaning: Meaning, short: &'static str, help: &'static str) -> Binding {
    Binding { keys: key, label, meaning, verb: None, group: Group::Look, short, help }
}

const fn cockpit(key: &'static [Key], label: &'static str, meaning: Meaning, short: &'static str, help: &'static str) -> Binding {
    Binding { keys: key, label, meaning, verb: None, group: Group::Cockpit, short, help }
}

/// Every key. The footer shows those with a short word, in this order.
pub static TABLE: &[Binding] = &[
    run(&[Key::Char(' ')], "space", Meaning::Hold, Some(Verb::Hold), "HOLD", "hold at once: nothing new starts; always free"),
    run(
        &[Key::Char('R')],
        "R",
        Meaning::Rollback,
        Some(Verb::Rollback),
        "ROLLBACK",
        "freeze and show the rollback; Y runs it, Esc puts it away",
    ),
    run(
        &[Key::Char('n')],
        "n",
        Meaning::Next,
        Some(Verb::Next),
        "next",
        "show the next step or change set; Y starts or executes it",
    ),
    run(&[Key::Char('c')], "c", Meaning::Continue, Some(Verb::Continue), "continue", "end the hold (Y)"),
    run(&[Key::Char('A')], "A", Meaning::Approve, Some(Verb::Approve), "approve", "approve the current step (Y)"),
    run(&[Key::Char('i')], "i", Meaning::Tick, Some(Verb::Tick), "tick", "tick or untick the selected item of a checklist"),
    run(
        &[Key::Char('N')],
        "N",
        Meaning::GoOn,
        Some(Verb::GoOn),
        "go on",
        "go on by itself (Y) until a gate, an approval, a one-way step or a failure",
    ),
    run(
        &[Key::Char('u')],
        "u",
        Meaning::Undo,
        Some(Verb::Undo),
        "undo",
        "freeze and show what undoing this step would do; Y runs it",
    ),
    run(
        &[Key::Char('b')],
        "b",
        Meaning::BackOff,
        Some(Verb::BackOff),
        "back off",
        "freeze and show what taking the ramp back one stage would do; Y runs it",
    ),
    run(
        &[Key::Char('O')],
        "O",
        Meaning::Override,
        Some(Verb::Override),
        "override",
        "start the step behind its shut gate: a reason, a second look, Y",
    ),
    run(
        &[Key::Char('s')],
        "s",
        Meaning::SkipStep,
        Some(Verb::Skip),
        "skip step",
        "leave the step out: a reason, a second look, Y",
    ),
    run(
        &[Key::Char('d')],
        "d",
        Meaning::ByHand,
        Some(Verb::DoneByHand),
        "done by hand",
        "say that you did the step's action yourself (a reason, Y); its verify still runs",
    ),
    run(
        &[Key::Char('a')],
        "a",
        Meaning::Acknowledge,
        Some(Verb::Acknowledge),
        "ack",
        "acknowledge the alert: silences the bell, nothing else",
    ),
    run(&[Key::Char('m')], "m", Meaning::Note, None, "", "write a note into the journal"),
    drill(&[Key::Char('.')], ".", Meaning::Skip, "ahead", "skip ahead to the next thing that wants a human, or ten minutes"),
    drill(&[Key::Char('f')], "f", Meaning::Inject, "fault", "make something go wrong: a number, then Y"),
    drill(&[Key::Char('[')], "[", Meaning::Slower, "", "half the speed"),
    drill(&[Key::Char(']')], "]", Meaning::Faster, "", "twice the speed"),
    look(&[Key::Tab], "tab", Meaning::NextPanel, "panel", "next panel; shift-tab: the one before"),
    look(&[Key::BackTab], "", Meaning::PreviousPanel, "", ""),
    look(&[Key::Char('1')], "1-5", Meaning::Panel(0), "", "plan, now, signals, undo, journal"),
    look(&[Key::Char('2')], "", Meaning::Panel(1), "", ""),
    look(&[Key::Char('3')], "", Meaning::Panel(2), "", ""),
    look(&[Key::Char('4')], "", Meaning::Panel(3), "", ""),
    look(&[Key::Char('5')], "", Meaning::Panel(4), "", ""),
    look(&[Key::Char('+')], "+", Meaning::Zoom, "zoom", "let the panel fill the screen, and back"),
    look(
        &[Key::Enter],
        "enter",
        Meaning::Details,
        "",
        "details: tick in a checklist, a monitor's chart in the zoomed signals, zoom elsewhere; never confirms",
    ),
    look(&[Key::Esc], "esc", Meaning::Back, "", "back: close, unzoom, follow the run again"),
    look(&[Key::Char('v')], "v", Meaning::Span, "span", "another span of a chart: 15 minutes, 6 hours, the whole run"),
    look(
        &[Key::Char('j'), Key::Down],
        "j k",
        Meaning::Down,
        "",
        "line down, line up (also the arrow keys); in the zoomed signals another monitor",
    ),
    look(&[Key::Char('k'), Key::Up], "", Meaning::Up, "", ""),
    look(&[Key::PageDown], "pgdn", Meaning::PageDown, "", "ten lines down; pgup: ten lines up"),
    look(&[Key::PageUp], "", Meaning::PageUp, "", ""),
    look(&[Key::Char('g'), Key::Home], "g G", Meaning::Top, "", "first line, last line"),
    look(&[Key::Char('G'), Key::End], "", Meaning::Bottom, "", ""),
    cockpit(&[Key::Char('y')], "y", Meaning::Copy, "copy", "copy the panel's text to the clipboard (OSC 52)"),
    cockpit(
        &[Key::Char(':')],
        ":",
        Meaning::Palette,
        "command",
        "find a verb by key or word and run it; 'without REGION' shows what still works when it is away",
    ),
    cockpit(
        &[Key::Char('w')],
        "w",
        Meaning::Calendar,
        "",
        "when: the calendar, each day planned and actual, windows, when it ends",
    ),
    cockpit(
        &[Key::Char('p')],
        "p",
        Meaning::About,
        "",
        "about the plan: escalation, success criteria, risks, cost, how far each part is",
    ),
    cockpit(&[Key::Char('?')], "?", Meaning::Help, "keys", "these keys"),
    cockpit(&[Key::Char('q'), Key::Ctrl('c')], "q", Meaning::Quit, "quit", "leave (asks first; also ctrl-c)"),
    cockpit(&[Key::Ctrl('l')], "ctrl-l", Meaning::Redraw, "", "paint the screen again"),
    cockpit(&[Key::Ctrl('z')], "ctrl-z", Meaning::Suspend, "", "to the shell; fg comes back"),
];

/// What a key means outside a dialog.
#[must_use]
pub fn find(key: Key) -> Option<&'static Binding> {
    TABLE.iter().find(|binding| binding.keys.contains(&key))
}

/// The line of the table for a meaning.
#[must_use]
pub fn binding(meaning: Meaning) -> Option<&'static Binding> {
    TABLE.iter().find(|binding| binding.meaning == meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things() {
        for (index, binding) in TABLE.iter().enumerate() {
            for key in binding.keys {
                assert!(!TABLE[..index].iter().any(|other| other.keys.contains(key)), "{key:?} is bound twice");
            }
        }
    }

    #[test]
    fn the_confirming_key_triggers_nothing() {
        assert!(find(Key::Char('Y')).is_none());
    }
}
