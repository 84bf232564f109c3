//! The state of the screen: focus, scroll, selection, open dialog, notice. Pure: a key goes in, actions come
//! out; time is a parameter; nothing is read and nothing is sent here.

use ratatui::layout::Rect;

use super::Options;
use super::dialog::choice::What;
use super::dialog::rollback::Of;
use super::dialog::{Choice, Dialog, Palette, Rollback, Turn};
use super::keymap::{self, Binding, Key, Meaning};
use super::layout;
use super::panel::chart::Span;
use super::panel::{self, Panel};
use super::text;
use super::theme::Theme;
use crate::run::command::{Command, DrillCommand, Reply, Verb};
use crate::run::snapshot::{Conflict, Level, MonitorView, Snapshot, StepState, WorkView};

/// Keys typed ahead into a dialog that asks for a confirmation are ignored for this long.
pub const DEAD_TIME_MS: u64 = 300;
/// A notice goes with the next key, or with the first snapshot after this long; one that is only good to know
/// gives way sooner to what comes next.
const NOTICE_MS: u64 = 8_000;
const QUIET_NOTICE_MS: u64 = 3_000;
/// A skip has happened when more virtual time than this has passed since the key.
const SKIPPED_MS: i64 = 5_000;
/// The fastest drill: an hour a second.
const SPEED_MAX: u32 = 3_600;
/// Cells and rows of what is copied, where that depends on the size of the screen.
const COPIED: (usize, usize) = (120, 30);
/// Lines that page up and page down move.
const PAGE: usize = 10;

/// What the loop has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send a command to the engine.
    Send(Command),
    /// Put a text on the clipboard.
    Copy(String),
    /// Ring the bell.
    Bell,
    /// Paint everything again.
    Redraw,
    /// Hand the terminal back to the shell until it comes to the foreground again.
    Suspend,
    /// Leave.
    Quit,
}

/// A line for the person, shown in place of the prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The text.
    pub text: String,
    /// How grave it is.
    pub level: Level,
    since_ms: u64,
}

/// Whether a verb is possible now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// It is.
    Yes,
    /// It makes sense but cannot be done, and why.
    Blocked(String),
    /// It makes no sense now.
    No,
}

/// Whether a verb is possible now, as the engine says.
#[must_use]
pub fn allowed(snapshot: &Snapshot, verb: Verb) -> Allowed {
    match snapshot.verbs.iter().find(|(other, _)| *other == verb) {
        Some((_, None)) => Allowed::Yes,
        Some((_, Some(reason))) => Allowed::Blocked(reason.clone()),
        None => Allowed::No,
    }
}

/// Whether the plan's own way does not go on: a step failed, a gate is shut, or a rollback waits for somebody. Then the
/// other choices are worth a place in the footer.
#[must_use]
pub fn stuck(snapshot: &Snapshot) -> bool {
    let work = snapshot.work.as_ref();
    let failed = work.is_some_and(|work| matches!(work.state, StepState::Failed | StepState::Interrupted));
    failed || allowed(snapshot, Verb::Override) == Allowed::Yes
}

/// Whether the days before a drill's opening step are still being rehearsed: what is shown is the moment before.
#[must_use]
pub fn rehearsing(snapshot: &Snapshot) -> bool {
    // The engine publishes nothing meanwhile, so this is a snapshot of which nothing is durable yet.
    snapshot.ledger.durable == 0 && snapshot.drill.as_ref().is_some_and(|drill| drill.skipping_to.is_some())
}

/// The item after this one that is open, counted round; this one when all others are ticked.
fn next_open(work: &WorkView, item: usize) -> usize {
    let count = work.items.len();
    (1..count).map(|by| (item + by) % count).find(|index| !work.items[*index].1).unwrap_or(item)
}

/// What is looked at in the zoomed signals.
#[derive(Debug, Default)]
struct Charting {
    /// The monitor that is chosen, by its place.
    monitor: usize,
    /// Whether its chart is shown.
    open: bool,
    span: Span,
}

/// The state of the screen.
#[derive(Debug)]
pub struct App {
    theme: Theme,
    focus: Panel,
    zoom: bool,
    /// First line of each panel; `None` follows the run.
    scroll: [Option<usize>; Panel::ALL.len()],
    /// Selected item of a checklist; `None`: the first that is not ticked.
    item: Option<usize>,
    charting: Charting,
    work: String,
    dialog: Option<Dialog>,
    dialog_scroll: usize,
    opened_ms: u64,
    notice: Option<Notice>,
    /// The conflict that was asked about last.
    conflict: Option<Conflict>,
    result_seen: bool,
    result_open: bool,
    rung: Option<i64>,
    /// Since when, and after which entry, the drill has been asked to skip ahead.
    skip: Option<(i64, u64)>,
    area: Rect,
}

impl App {
    /// The screen at its start: the current step has the focus.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        App {
            theme: Theme::new(options),
            focus: Panel::Now,
            zoom: false,
            scroll: [None; Panel::ALL.len()],
            item: None,
            charting: Charting::default(),
            work: String::new(),
            dialog: None,
            dialog_scroll: 0,
            opened_ms: 0,
            notice: None,
            conflict: None,
            result_seen: false,
            result_open: false,
            rung: None,
            skip: None,
            area: Rect::new(0, 0, 80, 24),
        }
    }

    /// Colours and glyphs.
    #[must_use]
    pub fn theme(&self) -> &Theme {
        &self.theme
    }

    /// The panel that has the focus.
    #[must_use]
    pub fn focus(&self) -> Panel {
        self.focus
    }

    /// Whether the focused panel fills the screen.
    #[must_use]
    pub fn zoomed(&self) -> bool {
        self.zoom
    }

    /// The first line of a panel, if somebody has scrolled it.
    #[must_use]
    pub fn scrolled(&self, panel: Panel) -> Option<usize> {
        self.scroll[panel.index()]
    }

    /// The monitor that is chosen, by its place: only where the signals fill the screen.
    #[must_use]
    pub fn chosen(&self, snapshot: &Snapshot) -> Option<usize> {
        let last = snapshot.monitors.len().checked_sub(1)?;
        (self.zoom && self.focus == Panel::Signals).then(|| self.charting.monitor.min(last))
    }

    /// The monitor whose chart is shown.
    #[must_use]
    pub fn charted<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a MonitorView> {
        snapshot.monitors.get(self.chosen(snapshot).filter(|_| self.charting.open)?)
    }

    /// How much time a chart shows.
    #[must_use]
    pub fn span(&self) -> Span {
        self.charting.span
    }

    /// The dialog that is open.
    #[must_use]
    pub fn dialog(&self) -> Option<&Dialog> {
        self.dialog.as_ref()
    }

    /// The first line of the dialog.
    #[must_use]
    pub fn dialog_scroll(&self) -> usize {
        self.dialog_scroll
    }

    /// The line for the person.
    #[must_use]
    pub fn notice(&self) -> Option<&Notice> {
        self.notice.as_ref()
    }

    /// Whether the result card is shown.
    #[must_use]
    pub fn result_open(&self) -> bool {
        self.result_open
    }

    /// The item of the checklist that `i` ticks.
    #[must_use]
    pub fn selected_item(&self, work: &WorkView) -> Option<usize> {
        let last = work.items.len().checked_sub(1)?;
        let open = || work.items.iter().position(|(_, done)| !done);
        Some(self.item.or_else(open).unwrap_or(0).min(last))
    }

    /// Whether a change set is shown and waits to be executed.
    #[must_use]
    pub fn change_set_waits(snapshot: &Snapshot) -> bool {
        snapshot.work.as_ref().is_some_and(|work| !work.change_set.is_empty() && work.state == StepState::Running)
    }

    /// Says something to the person.
    pub fn say(&mut self, text: impl Into<String>, level: Level, now_ms: u64) {
        self.notice = Some(Notice { text: text.into(), level, since_ms: now_ms });
    }

    /// The screen has another size.
    pub fn resize(&mut self, area: Rect) {
        self.area = area;
    }

    /// A new snapshot: closes what it has overtaken, opens the result card, rings for a new alert.
    pub fn observe(&mut self, snapshot: &Snapshot, now_ms: u64) -> Vec<Action> {
        let lasts = |notice: &Notice| if notice.level == Level::Ok { QUIET_NOTICE_MS } else { NOTICE_MS };
        if self.notice.as_ref().is_some_and(|notice| now_ms.saturating_sub(notice.since_ms) > lasts(notice)) {
            self.notice = None;
        }
        self.skipped(snapshot, now_ms);
        let work = snapshot.work.as_ref().map_or("", |work| work.id.as_str());
        if self.work != work {
            work.clone_into(&mut self.work);
            self.item = None;
        }
        if snapshot.result.is_some() && !self.result_seen {
            self.result_seen = true;
            self.result_open = true;
        }
        self.ask_about_conflict(snapshot, now_ms);
        if let Some(dialog) = &mut self.dialog {
            if dialog.overtaken(snapshot) {
                // What was confirmed here is not something that has changed behind the person's back.
                let said = if dialog.confirmed() { "confirmed" } else { "closed: what it asked for has changed meanwhile" };
                self.dialog = None;
                self.say(said, Level::Ok, now_ms);
            } else if dialog.refreshed(snapshot) {
                // What is confirmed is what was seen: the dead time starts again with new content.
                self.opened_ms = now_ms;
            }
        }
        let grave = snapshot.alerts.iter().filter(|alert| alert.level >= Level::Caution && !alert.acknowledged);
        let newest = grave.map(|alert| alert.since).max();
        let ring = newest > self.rung;
        self.rung = newest.max(self.rung);
        if ring { vec![Action::Bell] } else { Vec::new() }
    }

    /// A rollback that has met somebody else's change asks by itself, once, when nothing else is being asked.
    fn ask_about_conflict(&mut self, snapshot: &Snapshot, now_ms: u64) {
        let of_rollback = snapshot.work.as_ref().filter(|work| work.rollback.is_some());
        let found = of_rollback.and_then(|work| work.conflict.clone());
        if found == self.conflict || self.dialog.is_some() {
            return;
        }
        self.conflict = found;
        if self.conflict.is_some() && allowed(snapshot, Verb::Continue) == Allowed::Yes {
            self.open(Dialog::Continue { word: String::new() }, now_ms);
        }
    }

    /// After a skip: how far it went, and what ended it.
    fn skipped(&mut self, snapshot: &Snapshot, now_ms: u64) {
        let Some((from, seq)) = self.skip else { return };
        let skipping = snapshot.drill.as_ref().is_some_and(|drill| drill.skipping_to.is_some());
        if skipping || snapshot.now - from < SKIPPED_MS {
            return;
        }
        self.skip = None;
        let ahead = text::span((snapshot.now - from) / 1_000 * 1_000);
        let written = snapshot.journal.last().filter(|line| line.seq > seq).map(|line| line.text.as_str());
        let alert = || snapshot.alerts.iter().find(|alert| alert.level >= Level::Caution && alert.since > from);
        let news = written.or_else(|| alert().map(|alert| alert.text.as_str()));
        self.say(format!("skipped {ahead} ahead: {}", news.unwrap_or("nothing was written meanwhile")), Level::Ok, now_ms);
    }

    /// The engine's answer to a command.
    pub fn replied(&mut self, command: &Command, reply: Reply, now_ms: u64) {
        let refused = matches!(reply, Reply::Refused(_));
        let (Reply::Ok(text) | Reply::Refused(text)) = reply;
        if let (true, Some(Dialog::Rollback(dialog))) = (refused, &mut self.dialog)
            && dialog.refused(command, &text)
        {
            self.dialog = None;
        }
        if refused {
            self.say(format!("refused: {text}"), Level::Caution, now_ms);
        } else if !text.is_empty() {
            self.say(text, Level::Ok, now_ms);
        }
    }

    /// A key. The actions are to be done in their order.
    pub fn handle(&mut self, key: Key, snapshot: &Snapshot, now_ms: u64) -> Vec<Action> {
        self.notice = None;
        match key {
            Key::Ctrl('l') => return vec![Action::Redraw],
            Key::Ctrl('z') => return vec![Action::Suspend],
            _ => {}
        }
        if let Some(dialog) = self.dialog.take() {
            return self.in_dialog(dialog, key, snapshot, now_ms);
        }
        keymap::find(key).map_or_else(Vec::new, |binding| self.mean(binding, snapshot, now_ms))
    }

    fn mean(&mut self, binding: &Binding, snapshot: &Snapshot, now_ms: u64) -> Vec<Action> {
        // A key now would mean a step that is not the one it will find.
        if binding.verb.is_some_and(|verb| verb != Verb::Hold) && rehearsing(snapshot) {
            self.say("the days before are being rehearsed: a moment", Level::Ok, now_ms);
            return Vec::new();
        }
        self.perform(binding.meaning, snapshot, now_ms)
    }

    fn in_dialog(&mut self, mut dialog: Dialog, key: Key, snapshot: &Snapshot, now_ms: u64) -> Vec<Action> {
        // Stopping and going back are never in the way of a dialog, unless a text is being typed.
        if !dialog.takes_text() {
            match key {
                Key::Char(' ') if dialog.is_rollback() => {
                    self.dialog = Some(dialog);
                    return Self::hold();
                }
                Key::Char(' ') => return Self::hold(),
                Key::Char('R') if !matches!(&dialog, Dialog::Rollback(shown) if shown.is_of_plan()) => {
                    return self.perform(Meaning::Rollback, snapshot, now_ms);
                }
                _ => {}
            }
        }
        let young = now_ms.saturating_sub(self.opened_ms) < DEAD_TIME_MS;
        if young && dialog.asks() && !matches!(key, Key::Esc | Key::Ctrl(_)) {
            self.dialog = Some(dialog);
            return Vec::new();
        }
        match dialog.handle(key, snapshot) {
            Turn::Stay => self.dialog = Some(dialog),
            Turn::Anew => self.open(dialog, now_ms),
            Turn::Open(other) => self.open(other, now_ms),
            Turn::Perform(meaning) => {
                return keymap::binding(meaning).map_or_else(Vec::new, |binding| self.mean(binding, snapshot, now_ms));
            }
            Turn::Scroll(lines) => {
                self.dialog = Some(dialog);
                self.scroll_dialog(lines, snapshot);
            }
            Turn::Send(command) => {
                self.dialog = Some(dialog);
                return vec![Action::Send(command)];
            }
            Turn::Close => {}
            Turn::Finish(action) => return vec![action],
        }
        Vec::new()
    }

    fn scroll_dialog(&mut self, lines: isize, snapshot: &Snapshot) {
        let Some(dialog) = &self.dialog else { return };
        let last = super::dialog::overflow(dialog, snapshot, &self.theme, self.area);
        self.dialog_scroll = self.dialog_scroll.min(last).saturating_add_signed(lines).min(last);
    }

    fn hold() -> Vec<Action> {
        vec![Action::Send(Command::Hold { reason: "by hand".to_owned() })]
    }

    fn open(&mut self, dialog: Dialog, now_ms: u64) {
        self.dialog = Some(dialog);
        self.dialog_scroll = 0;
        self.opened_ms = now_ms;
    }

    /// Opens a dialog if the verb is possible, or says why it is not.
    fn ask(&mut self, verb: Verb, dialog: Option<Dialog>, snapshot: &Snapshot, now_ms: u64) -> Vec<Action> {
        match (allowed(snapshot, verb), dialog) {
            (Allowed::Yes, Some(dialog)) => self.open(dialog, now_ms),
            (Allowed::Blocked(reason), _) => self.say(format!("blocked: {reason}"), Level::Caution, now_ms),
            (Allowed::Yes, None) | (Allowed::No, _) => self.say("not possible now", Level::Ok, now_ms),
        }
        Vec::new()
    }

    fn perform(&mut self, meaning: Meaning, snapshot: &Snapshot, now_ms: u64) -> Vec<Action> {
        let current = snapshot.current.and_then(|index| snapshot.steps.get(index)).map(|step| step.id.clone());
        match meaning {
            Meaning::Hold => return Self::hold(),
            Meaning::Rollback => {
                // Always sent, whatever this screen believes: whether it is possible is the engine's to say.
                self.open(Dialog::Rollback(Rollback::new(Of::Plan)), now_ms);
                return vec![Action::Send(Command::PrepareRollback { name: None })];
            }
            Meaning::Next => {
                let dialog = if Self::change_set_waits(snapshot) {
                    snapshot.work.as_ref().map(|work| Dialog::Execute { step: work.id.clone(), word: String::new() })
                } else {
                    current.map(|step| Dialog::Start { step })
                };
                return self.ask(Verb::Next, dialog, snapshot, now_ms);
            }
            Meaning::Continue => {
                return self.ask(Verb::Continue, Some(Dialog::Continue { word: String::new() }), snapshot, now_ms);
            }
            Meaning::GoOn => return self.ask(Verb::GoOn, Some(Dialog::GoOn), snapshot, now_ms),
            Meaning::Approve => {
                let dialog = current.map(|step| Dialog::Approve { step });
                return self.ask(Verb::Approve, dialog, snapshot, now_ms);
            }
            Meaning::Undo => return self.undo(snapshot, now_ms),
            Meaning::BackOff => {
                return self.take_back(Verb::BackOff, Of::Stage, Some(Command::PrepareBackOff), snapshot, now_ms);
            }
            Meaning::Override => return self.choose(What::Override, snapshot, now_ms),
            Meaning::SkipStep => return self.choose(What::Skip, snapshot, now_ms),
            Meaning::ByHand => return self.choose(What::ByHand, snapshot, now_ms),
            Meaning::Tick => return self.tick(snapshot, now_ms),
            Meaning::Acknowledge => {
                if snapshot.alerts.iter().any(|alert| !alert.acknowledged) {
                    return vec![Action::Send(Command::Acknowledge)];
                }
                self.say("nothing to acknowledge", Level::Ok, now_ms);
            }
            Meaning::Note => self.open(Dialog::Note { text: String::new() }, now_ms),
            Meaning::Faster | Meaning::Slower | Meaning::Skip | Meaning::Inject => {
                return self.drill(meaning, snapshot, now_ms);
            }
            Meaning::Palette => self.open(Dialog::Palette(Palette::default()), now_ms),
            Meaning::About => self.open(Dialog::About, now_ms),
            Meaning::Calendar => {
                self.open(Dialog::Calendar, now_ms);
                self.dialog_scroll = super::dialog::opening(&Dialog::Calendar, snapshot, &self.theme, self.area);
            }
            Meaning::Help => self.open(Dialog::Help, now_ms),
            Meaning::Quit if snapshot.result.is_some() => return vec![Action::Quit],
            Meaning::Quit => self.open(Dialog::Quit, now_ms),
            Meaning::Suspend => return vec![Action::Suspend],
            Meaning::Redraw => return vec![Action::Redraw],
            Meaning::Details if self.ticks_here(snapshot) => return self.tick(snapshot, now_ms),
            Meaning::Copy => {
                let lines = panel::content(self.focus, self, snapshot, COPIED).lines;
                let text: Vec<String> = lines.iter().map(|line| line.to_string().trim_end().to_owned()).collect();
                return vec![Action::Copy(text.join("\n"))];
            }
            Meaning::Span if self.charted(snapshot).is_none() => {
                self.say("only in a monitor's chart: 3, then enter twice", Level::Ok, now_ms);
            }
            _ => self.look(meaning, snapshot),
        }
        Vec::new()
    }

    fn undo(&mut self, snapshot: &Snapshot, now_ms: u64) -> Vec<Action> {
        // "This step" is the one that has been started last and changes something: a step that is only next has nothing to
        // undo, and neither has an approval.
        let upto = snapshot.current.map_or(snapshot.steps.len(), |current| current + 1).min(snapshot.steps.len());
        let started = |state: StepState| !matches!(state, StepState::Pending | StepState::Undone);
        let step = snapshot.steps[..upto].iter().rev().find(|step| step.changes && started(step.state));
        let command = step.map(|step| Command::PrepareUndo { step: step.id.clone() });
        self.take_back(Verb::Undo, Of::Step, command, snapshot, now_ms)
    }

    /// Asks the engine to show what taking something back would do, and opens the dialog that will show it.
    fn take_back(&mut self, verb: Verb, of: Of, command: Option<Command>, snapshot: &Snapshot, now_ms: u64) -> Vec<Action> {
        let dialog = command.is_some().then(|| Dialog::Rollback(Rollback::new(of)));
        self.ask(verb, dialog, snapshot, now_ms);
        command.filter(|_| self.dialog.is_some()).map(Action::Send).into_iter().collect()
    }

    /// Opens the dialog of a choice that wants a reason.
    fn choose(&mut self, what: What, snapshot: &Snapshot, now_ms: u64) -> Vec<Action> {
        let work = snapshot.work.as_ref().filter(|work| !work.step.is_empty());
        let dialog = work.map(|work| Dialog::Choice(Choice::new(what, work.step.clone())));
        self.ask(what.verb(), dialog, snapshot, now_ms)
    }

    fn ticks_here(&self, snapshot: &Snapshot) -> bool {
        self.focus == Panel::Now && snapshot.work.as_ref().is_some_and(|work| !work.items.is_empty())
    }

    fn tick(&mut self, snapshot: &Snapshot, now_ms: u64) -> Vec<Action> {
        let item = snapshot.work.as_ref().and_then(|work| {
            let item = self.selected_item(work)?;
            Some((work.id.clone(), item, work.items.get(item)?.1))
        });
        match (allowed(snapshot, Verb::Tick), item) {
            (Allowed::Yes, Some((step, item, done))) => {
                if let (false, Some(work)) = (done, &snapshot.work) {
                    self.item = Some(next_open(work, item));
                }
                return vec![Action::Send(Command::Tick { step, item, done: !done })];
            }
            (Allowed::Blocked(reason), _) => self.say(format!("blocked: {reason}"), Level::Caution, now_ms),
            (Allowed::Yes | Allowed::No, _) => self.say("no checklist is open", Level::Ok, now_ms),
        }
        Vec::new()
    }

    fn drill(&mut self, meaning: Meaning, snapshot: &Snapshot, now_ms: u64) -> Vec<Action> {
        let Some(view) = &snapshot.drill else {
            self.say("only in a drill", Level::Ok, now_ms);
            return Vec::new();
        };
        let what = match meaning {
            Meaning::Faster => DrillCommand::Speed(view.speed.saturating_mul(2).clamp(1, SPEED_MAX)),
            Meaning::Slower => DrillCommand::Speed((view.speed / 2).clamp(1, SPEED_MAX)),
            Meaning::Skip => {
                self.skip = Some((snapshot.now, snapshot.ledger.seq));
                DrillCommand::SkipAhead
            }
            _ => {
                self.open(Dialog::Inject { chosen: None }, now_ms);
                return Vec::new();
            }
        };
        vec![Action::Send(Command::Drill { what })]
    }

    fn look(&mut self, meaning: Meaning, snapshot: &Snapshot) {
        let count = Panel::ALL.len();
        let turn = |by: usize| Panel::ALL[(self.focus.index() + by) % count];
        match meaning {
            Meaning::NextPanel => self.turn_to(turn(1)),
            Meaning::PreviousPanel => self.turn_to(turn(count - 1)),
            Meaning::Panel(number) => self.turn_to(Panel::ALL.get(number).copied().unwrap_or(self.focus)),
            Meaning::Details if self.chosen(snapshot).is_some() => self.charting.open = !self.charting.open,
            Meaning::Zoom | Meaning::Details => {
                self.zoom = !self.zoom;
                self.charting.open = false;
            }
            Meaning::Span => self.charting.span = self.charting.span.next(),
            Meaning::Back if self.result_open => self.result_open = false,
            Meaning::Back if self.charting.open => self.charting.open = false,
            Meaning::Back => {
                self.zoom = false;
                self.scroll[self.focus.index()] = None;
                self.item = None;
            }
            Meaning::Down => self.shift(1, snapshot),
            Meaning::Up => self.shift(-1, snapshot),
            Meaning::PageDown => self.shift(PAGE.cast_signed(), snapshot),
            Meaning::PageUp => self.shift(-PAGE.cast_signed(), snapshot),
            Meaning::Top => self.shift(isize::MIN, snapshot),
            Meaning::Bottom => self.shift(isize::MAX, snapshot),
            _ => {}
        }
    }

    fn turn_to(&mut self, panel: Panel) {
        self.focus = panel;
        self.charting.open = false;
    }

    /// Chooses another monitor, if that is what moves here. Below the last one the panel is scrolled like any other.
    fn choose_monitor(&mut self, by: isize, snapshot: &Snapshot) -> bool {
        let Some(at) = self.chosen(snapshot) else { return false };
        let to = at.saturating_add_signed(by).min(snapshot.monitors.len() - 1);
        if !self.charting.open && to == at && by > 0 {
            return false;
        }
        let scrolled = self.scroll[self.focus.index()].take().is_some();
        // What was scrolled away comes back first.
        if !scrolled || by > 0 {
            self.charting.monitor = to;
        }
        true
    }

    /// Moves the selection of a checklist, chooses a monitor, or scrolls the focused panel.
    fn shift(&mut self, by: isize, snapshot: &Snapshot) {
        if self.ticks_here(snapshot)
            && let Some(work) = &snapshot.work
            && let Some(item) = self.selected_item(work)
        {
            self.item = Some(item.saturating_add_signed(by).min(work.items.len() - 1));
            return;
        }
        if self.choose_monitor(by, snapshot) {
            return;
        }
        let areas = layout::areas(self.area, self.focus, self.zoom);
        let Some((_, rect)) = areas.panels.iter().find(|(panel, _)| *panel == self.focus) else { return };
        let inner = layout::inner(*rect);
        let rows = usize::from(inner.height);
        let content = panel::content(self.focus, self, snapshot, (usize::from(inner.width), rows));
        let last = content.lines.len().saturating_sub(rows);
        let at = content.offset(self.scrolled(self.focus), rows);
        let to = at.saturating_add_signed(by).min(last);
        // At the end of the journal the screen follows it again.
        let follow = self.focus == Panel::Journal && to == last;
        self.scroll[self.focus.index()] = (!follow).then_some(to);
    }
}
