//! The dialogs: each says what would happen, takes keys, and gives at most one command.
//!
//! The key that confirms is `Y` and never the key that opened the dialog; Enter confirms nothing in the cloud;
//! Esc always goes back.

pub mod about;
mod approve;
pub mod calendar;
pub mod choice;
mod conflict;
pub mod execute;
pub mod go_on;
pub mod help;
pub mod inject;
pub mod note;
pub mod palette;
pub mod quit;
pub mod result;
pub mod resume;
pub mod rollback;
pub mod start;
pub mod without;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear};

pub use choice::Choice;
pub use palette::Palette;
pub use rollback::Rollback;

use super::app::{Action, Allowed, App, allowed};
use super::keymap::{Key, Meaning};
use super::text;
use super::theme::Theme;
use crate::run::command::{Command, Verb};
use crate::run::snapshot::{ResultView, Snapshot};

/// An open dialog and what was typed into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialog {
    /// All keys.
    Help,
    /// Start this step?
    Start {
        /// Step id.
        step: String,
    },
    /// Go on by itself?
    GoOn,
    /// End the hold?
    Continue {
        /// What was typed where a word is asked for.
        word: String,
    },
    /// Execute the change set of this step?
    Execute {
        /// Step id.
        step: String,
        /// What was typed where a word is asked for.
        word: String,
    },
    /// Approve this step?
    Approve {
        /// Step id.
        step: String,
    },
    /// Run this rollback, undo this step, or back off one stage?
    Rollback(Rollback),
    /// Start behind a shut gate, leave a step out, or take it as done by hand?
    Choice(Choice),
    /// Which verb?
    Palette(Palette),
    /// What still works without this region.
    Without {
        /// The region.
        region: String,
    },
    /// What the plan says beside its steps.
    About,
    /// The plan day by day.
    Calendar,
    /// A note for the journal.
    Note {
        /// What was typed.
        text: String,
    },
    /// Which fault?
    Inject {
        /// The one that was picked.
        chosen: Option<usize>,
    },
    /// Leave?
    Quit,
}

/// What a key does to a dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It stays open.
    Stay,
    /// It stays open and asks something else: what is confirmed is what was seen, so the dead time starts again.
    Anew,
    /// It stays open and scrolls.
    Scroll(isize),
    /// It stays open and a command is sent.
    Send(Command),
    /// It closes.
    Close,
    /// It closes and something is done.
    Finish(Action),
    /// It closes and a key's meaning is performed.
    Perform(Meaning),
    /// Another one opens in its place.
    Open(Dialog),
}

impl Turn {
    fn finish(command: Command) -> Turn {
        Turn::Finish(Action::Send(command))
    }
}

impl Dialog {
    /// Whether keys are text: then nothing but Esc has a meaning of its own.
    #[must_use]
    pub fn takes_text(&self) -> bool {
        match self {
            Dialog::Note { .. } | Dialog::Palette(_) => true,
            Dialog::Choice(choice) => choice.is_typing(),
            _ => false,
        }
    }

    /// Whether it asks for a confirmation, so that keys typed ahead are ignored.
    #[must_use]
    pub fn asks(&self) -> bool {
        !self.takes_text() && !matches!(self, Dialog::Help | Dialog::About | Dialog::Calendar | Dialog::Without { .. })
    }

    /// Whether it shows a rollback or an undo.
    #[must_use]
    pub fn is_rollback(&self) -> bool {
        matches!(self, Dialog::Rollback(_))
    }

    /// Whether its confirmation is on its way already.
    #[must_use]
    pub fn confirmed(&self) -> bool {
        matches!(self, Dialog::Rollback(dialog) if dialog.confirmed())
    }

    /// Whether the state that justified it has vanished.
    #[must_use]
    pub fn overtaken(&self, snapshot: &Snapshot) -> bool {
        let current =
            |step: &str| snapshot.current.and_then(|index| snapshot.steps.get(index)).is_some_and(|current| current.id == step);
        let no = |verb| allowed(snapshot, verb) != Allowed::Yes;
        match self {
            Dialog::Start { step } => no(Verb::Next) || !current(step) || App::change_set_waits(snapshot),
            Dialog::Execute { step, .. } => {
                no(Verb::Next) || !App::change_set_waits(snapshot) || snapshot.work.as_ref().is_none_or(|work| work.id != *step)
            }
            Dialog::Approve { step } => no(Verb::Approve) || !current(step),
            Dialog::GoOn => no(Verb::GoOn),
            Dialog::Continue { .. } => no(Verb::Continue),
            Dialog::Rollback(dialog) => dialog.overtaken(snapshot),
            Dialog::Choice(choice) => choice.overtaken(snapshot),
            Dialog::Inject { .. } => snapshot.drill.is_none(),
            Dialog::Help
            | Dialog::About
            | Dialog::Calendar
            | Dialog::Note { .. }
            | Dialog::Palette(_)
            | Dialog::Without { .. }
            | Dialog::Quit => false,
        }
    }

    /// Takes over what a new snapshot brings; true when what would be confirmed is not what was shown before.
    pub fn refreshed(&mut self, snapshot: &Snapshot) -> bool {
        match self {
            Dialog::Rollback(dialog) => dialog.refreshed(snapshot),
            _ => false,
        }
    }

    /// A key, after the dead time.
    pub fn handle(&mut self, key: Key, snapshot: &Snapshot) -> Turn {
        if let Dialog::Rollback(dialog) = self {
            return dialog.handle(key, snapshot);
        }
        match key {
            Key::Ctrl('c') if *self == Dialog::Quit => return Turn::Finish(Action::Quit),
            Key::Esc | Key::Ctrl('c') => return Turn::Close,
            _ => {}
        }
        let confirmed = key == Key::Char('Y');
        match self {
            Dialog::Start { step } if confirmed => Turn::finish(Command::Start { step: step.clone() }),
            Dialog::GoOn if confirmed => Turn::finish(Command::GoOn),
            Dialog::Continue { word } => resume::handle(word, key, snapshot),
            Dialog::Approve { step } if confirmed => Turn::finish(Command::Approve { step: step.clone() }),
            Dialog::Quit if confirmed => Turn::Finish(Action::Quit),
            Dialog::Execute { step, word } => execute::handle(step, word, key, snapshot),
            Dialog::Note { text } => note::handle(text, key),
            Dialog::Inject { chosen } => inject::handle(chosen, key, snapshot),
            Dialog::Choice(choice) => choice.handle(key, snapshot),
            Dialog::Palette(palette) => palette.handle(key, snapshot),
            Dialog::Help if matches!(key, Key::Char('?' | 'q')) => Turn::Close,
            Dialog::About if matches!(key, Key::Char('p' | 'q')) => Turn::Close,
            Dialog::Calendar if matches!(key, Key::Char('w' | 'q')) => Turn::Close,
            Dialog::About if key == Key::Char('y') => {
                about::support_case(snapshot).map_or(Turn::Stay, |text| Turn::Finish(Action::Copy(text)))
            }
            _ => scrolling(key),
        }
    }
}

/// What a key does in a dialog that does not know it.
fn scrolling(key: Key) -> Turn {
    match key {
        Key::Char('j') | Key::Down => Turn::Scroll(1),
        Key::Char('k') | Key::Up => Turn::Scroll(-1),
        Key::PageDown => Turn::Scroll(10),
        Key::PageUp => Turn::Scroll(-10),
        Key::Char('g') | Key::Home => Turn::Scroll(isize::MIN),
        Key::Char('G') | Key::End => Turn::Scroll(isize::MAX),
        _ => Turn::Stay,
    }
}

/// Types a character into a word, or takes one away; true when the key was used.
fn type_into(text: &mut String, key: Key, longest: usize) -> bool {
    match key {
        Key::Char(c) if text.chars().count() < longest && !c.is_control() => text.push(c),
        Key::Backspace => {
            text.pop();
        }
        Key::Ctrl('u') => text.clear(),
        _ => return false,
    }
    true
}

/// What a dialog shows.
#[derive(Debug)]
pub struct Popup {
    /// Its name.
    pub title: String,
    /// Style of the frame and the name.
    pub style: Style,
    /// The text; scrolls when there is no room.
    pub lines: Vec<Line<'static>>,
    /// The keys; always in sight.
    pub keys: Vec<Line<'static>>,
    /// The line to keep in sight; `None` where the person scrolls.
    pub home: Option<usize>,
}

/// Widest a dialog becomes.
const WIDEST: u16 = 96;

fn popup(dialog: &Dialog, snapshot: &Snapshot, theme: &Theme, width: usize) -> Popup {
    match dialog {
        Dialog::Help => help::popup(snapshot, theme, width),
        Dialog::About => about::popup(snapshot, theme, width),
        Dialog::Calendar => calendar::popup(snapshot, theme, width),
        Dialog::Start { step } => start::popup(step, snapshot, theme, width),
        Dialog::GoOn => go_on::popup(theme, width),
        Dialog::Continue { word } => resume::popup(word, snapshot, theme, width),
        Dialog::Execute { word, .. } => execute::popup(word, snapshot, theme, width),
        Dialog::Approve { .. } => approve::popup(snapshot, theme, width),
        Dialog::Rollback(dialog) => rollback::popup(dialog, snapshot, theme, width),
        Dialog::Choice(dialog) => choice::popup(dialog, snapshot, theme, width),
        Dialog::Palette(palette) => palette::popup(palette, snapshot, theme, width),
        Dialog::Without { region } => without::popup(region, snapshot, theme, width),
        Dialog::Note { text } => note::popup(text, theme, width),
        Dialog::Inject { chosen } => inject::popup(*chosen, snapshot, theme, width),
        Dialog::Quit => quit::popup(snapshot, theme, width),
    }
}

fn inner_width(area: Rect) -> u16 {
    area.width.saturating_sub(4).min(WIDEST - 4)
}

/// How many lines of a dialog do not fit.
#[must_use]
pub fn overflow(dialog: &Dialog, snapshot: &Snapshot, theme: &Theme, area: Rect) -> usize {
    let popup = popup(dialog, snapshot, theme, usize::from(inner_width(area)));
    popup.lines.len().saturating_sub(room(&popup, area))
}

/// How far a dialog is scrolled when it opens.
#[must_use]
pub fn opening(dialog: &Dialog, snapshot: &Snapshot, theme: &Theme, area: Rect) -> usize {
    if *dialog != Dialog::Calendar {
        return 0;
    }
    let popup = popup(dialog, snapshot, theme, usize::from(inner_width(area)));
    calendar::scroll(snapshot, &popup, area).min(popup.lines.len().saturating_sub(room(&popup, area)))
}

fn room(popup: &Popup, area: Rect) -> usize {
    usize::from(area.height).saturating_sub(popup.keys.len() + 2)
}

/// Paints the open dialog over everything else.
pub fn draw(frame: &mut Frame, area: Rect, dialog: &Dialog, scroll: usize, snapshot: &Snapshot, theme: &Theme) {
    let popup = popup(dialog, snapshot, theme, usize::from(inner_width(area)));
    paint(frame, area, &popup, scroll, theme);
}

/// Paints the result card over the panels.
pub fn draw_result(frame: &mut Frame, area: Rect, view: &ResultView, snapshot: &Snapshot, theme: &Theme) {
    let mut popup = result::popup(view, snapshot, theme, usize::from(inner_width(area)));
    // The card takes no keys and so cannot be scrolled; all of it is in the panel once it is put away.
    let room = room(&popup, area);
    popup.lines.truncate(room);
    paint(frame, area, &popup, 0, theme);
}

fn paint(frame: &mut Frame, area: Rect, popup: &Popup, scroll: usize, theme: &Theme) {
    if area.is_empty() {
        return;
    }
    let room = room(popup, area);
    let shown = popup.lines.len().min(room);
    let scroll = popup.home.map_or(scroll, |home| (home + 1).saturating_sub(shown)).min(popup.lines.len() - shown);
    let content = popup.lines.iter().chain(&popup.keys).map(Line::width).max().unwrap_or(0);
    let content = content.max(text::width(&popup.title) + 2);
    let width = u16::try_from(content).unwrap_or(u16::MAX).min(inner_width(area)).saturating_add(4).min(area.width);
    let height = u16::try_from(shown + popup.keys.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let rect = Rect::new(area.x + (area.width - width) / 2, area.y + (area.height - height) / 2, width, height);
    let mut block = Block::bordered()
        .border_set(theme.glyphs.focused)
        .border_style(popup.style)
        .title(Span::styled(format!(" {} ", popup.title), popup.style));
    let below = popup.lines.len() - shown - scroll;
    if below > 0 || scroll > 0 {
        let more = format!(" j k: {scroll} above, {below} below ");
        block = block.title_bottom(Line::styled(more, theme.caution()).right_aligned());
    }
    frame.render_widget(Clear, rect);
    frame.render_widget(block, rect);
    let inner = Rect::new(rect.x + 2.min(width), rect.y + 1, width.saturating_sub(4), height.saturating_sub(2));
    // The keys are painted first: where there is hardly any room, they are what is kept.
    let keys = u16::try_from(popup.keys.len()).unwrap_or(u16::MAX).min(inner.height);
    for (line, row) in popup.keys.iter().zip(inner.rows().skip(usize::from(inner.height - keys))) {
        frame.render_widget(line, row);
    }
    for (line, row) in popup.lines.iter().skip(scroll).zip(inner.rows().take(usize::from(inner.height - keys))) {
        frame.render_widget(line, row);
    }
}

/// The line with the keys of a dialog that asks.
fn confirm_keys(what: &str, theme: &Theme) -> Vec<Line<'static>> {
    vec![
        Line::default(),
        Line::from(vec![
            Span::styled("Y", theme.key()),
            Span::raw(format!(" {what}   ")),
            Span::styled("Esc", theme.key()),
            Span::raw(" back"),
        ]),
    ]
}

/// A paragraph.
fn paragraph(lines: &mut Vec<Line<'static>>, content: &str, style: Style, width: usize) {
    lines.extend(text::wrap(content, width).into_iter().map(|part| Line::styled(part, style)));
}

/// A label and a paragraph beside it.
fn labelled(lines: &mut Vec<Line<'static>>, label: &str, content: &str, style: Style, theme: &Theme, width: usize) {
    const INDENT: usize = 15;
    for (row, part) in text::wrap(content, width.saturating_sub(INDENT)).into_iter().enumerate() {
        let label = if row == 0 { label } else { "" };
        lines.push(Line::from(vec![Span::styled(text::pad(label, INDENT), theme.dim()), Span::styled(part, style)]));
    }
}

/// A line into which a word is typed.
fn word_line(wanted: &str, typed: &str, theme: &Theme) -> Line<'static> {
    let style = if typed == wanted { theme.good() } else { theme.strong() };
    Line::from(vec![
        Span::styled(format!("type {wanted} to confirm: "), theme.caution()),
        Span::styled(typed.to_owned(), style),
        Span::styled(" ", theme.selected()),
    ])
}
