//! The cockpit: paints snapshots, turns keys into commands, and keeps only its own state.
//!
//! It sees snapshots, commands, the key map and the theme, and nothing of the cloud.

pub mod app;
pub mod cast;
pub mod dialog;
pub mod film;
pub mod keymap;
pub mod layout;
pub mod panel;
pub mod terminal;
pub mod text;
pub mod theme;
pub mod widget;

use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crossterm::event::{Event, EventStream};
use futures_util::{Stream, StreamExt};
use ratatui::backend::Backend;
use ratatui::layout::{Rect, Size};
use ratatui::{Frame, Terminal};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use app::{Action, App};
use keymap::Key;
use terminal::Host;

pub use crate::link::{Link, Request};
use crate::run::command::{Command, Reply};
use crate::run::snapshot::{Level, Snapshot};

/// How the screen looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Only ASCII characters.
    pub ascii: bool,
    /// Colours; false for `NO_COLOR`.
    pub color: bool,
}

/// Why the screen ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The person left.
    Quit,
    /// The engine sends nothing any more, and had not said how the run ended.
    EngineGone,
    /// A signal asked for it.
    Signal(i32),
}

/// Snapshots and resizes are painted at most this often; keys at once.
const FRAME: Duration = Duration::from_millis(100);

/// Paints one frame.
pub fn render(frame: &mut Frame, app: &App, snapshot: &Snapshot) {
    let area = frame.area();
    let theme = app.theme();
    let areas = layout::areas(area, app.focus(), app.zoomed());
    let width = usize::from(area.width);
    for (panel, rect) in &areas.panels {
        panel::draw(frame, *panel, *rect, areas.tabs, app, snapshot);
    }
    let lines = [
        (areas.identity, panel::identity::line(snapshot, theme, width)),
        (areas.alert, panel::alert::line(snapshot, theme, width)),
        (areas.phases, panel::phases::line(snapshot, theme, width)),
        (areas.undo, panel::undo::line(snapshot, theme, width)),
        (areas.prompt, panel::footer::prompt(snapshot, app, width)),
        (areas.keys, panel::footer::keys(snapshot, app, width)),
    ];
    for (rect, line) in lines {
        if !rect.is_empty() {
            frame.render_widget(line, rect);
        }
    }
    // Identity and alert stay in sight behind every dialog.
    let top = if area.height > 10 { 2 } else { 0 };
    let room = Rect::new(area.x, area.y + top, area.width, area.height - top);
    if let Some(dialog) = app.dialog() {
        dialog::draw(frame, room, dialog, app.dialog_scroll(), snapshot, theme);
    } else if let (true, Some(view)) = (app.result_open(), &snapshot.result) {
        dialog::draw_result(frame, room, view, snapshot, theme);
    }
}

/// Runs the screen until the person leaves, the engine goes or a signal comes. A tape is told of other sizes.
///
/// # Errors
///
/// When the terminal cannot be read or written, or a background task has panicked and given it back.
pub async fn run<B>(terminal: &mut Terminal<B>, link: Link, options: Options, tape: Option<cast::Tape>) -> io::Result<Exit>
where
    B: Backend,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    drive(terminal, link, options, EventStream::new(), terminal::Stdout { tape }).await
}

/// The loop of [`run`] with events and a terminal of the caller's: how a test drives it.
///
/// # Errors
///
/// As [`run`].
pub async fn drive<B>(
    terminal: &mut Terminal<B>,
    link: Link,
    options: Options,
    events: impl Stream<Item = io::Result<Event>> + Unpin,
    host: impl Host,
) -> io::Result<Exit>
where
    B: Backend,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let mut signals = Signals::new()?;
    let mut events = events;
    let mut screen = Loop::new(terminal, link, options, host);
    screen.observe()?;
    screen.draw()?;
    loop {
        tokio::select! {
            biased;
            number = signals.next() => return Ok(Exit::Signal(number)),
            event = events.next() => {
                let mut next = event;
                // Everything that is there already is handled before one frame is painted.
                loop {
                    let Some(event) = next else { return Err(io::ErrorKind::UnexpectedEof.into()) };
                    if let Some(exit) = screen.event(&event?)? {
                        return Ok(exit);
                    }
                    match ready(&mut events).await {
                        Poll::Ready(more) => next = more,
                        Poll::Pending => break,
                    }
                }
            }
            Some(answer) = screen.replies.join_next() => screen.replied(answer),
            changed = screen.link.snapshots.changed(), if !screen.engine_gone => {
                if changed.is_ok() {
                    screen.observe()?;
                } else if screen.snapshot.result.is_some() {
                    // The run has ended and so has its engine; the result stays until the person leaves.
                    screen.engine_gone = true;
                } else {
                    return Ok(Exit::EngineGone);
                }
            }
            () = tokio::time::sleep_until(screen.due), if screen.dirty => screen.urgent = true,
        }
        if screen.urgent || (screen.dirty && Instant::now() >= screen.due) {
            screen.draw()?;
        }
    }
}

/// What the stream has right now. It is polled with the waker of this task and no other: crossterm's stream
/// keeps the waker of its first pending poll, and would wake nobody after a poll with an idle one.
async fn ready<S: Stream + Unpin>(events: &mut S) -> Poll<Option<S::Item>> {
    std::future::poll_fn(|context| Poll::Ready(events.poll_next_unpin(context))).await
}

struct Loop<'t, B: Backend, H> {
    terminal: &'t mut Terminal<B>,
    host: H,
    link: Link,
    app: App,
    snapshot: Arc<Snapshot>,
    replies: JoinSet<(Command, Reply)>,
    engine_gone: bool,
    started: Instant,
    /// The size of the last frame.
    size: Size,
    /// When the next frame may be painted for a snapshot.
    due: Instant,
    dirty: bool,
    urgent: bool,
}

impl<'t, B, H> Loop<'t, B, H>
where
    B: Backend,
    B::Error: std::error::Error + Send + Sync + 'static,
    H: Host,
{
    fn new(terminal: &'t mut Terminal<B>, mut link: Link, options: Options, host: H) -> Self {
        let snapshot = link.snapshots.borrow_and_update().clone();
        let now = Instant::now();
        // Who cannot tell yet will with the first frame.
        let size = terminal.size().unwrap_or_default();
        Loop {
            terminal,
            host,
            link,
            app: App::new(&options),
            snapshot,
            replies: JoinSet::new(),
            engine_gone: false,
            started: now,
            size,
            due: now,
            dirty: true,
            urgent: false,
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn observe(&mut self) -> io::Result<()> {
        self.snapshot = self.link.snapshots.borrow_and_update().clone();
        self.dirty = true;
        let actions = self.app.observe(&self.snapshot, self.now_ms());
        self.perform(actions).map(|_| ())
    }

    fn event(&mut self, event: &Event) -> io::Result<Option<Exit>> {
        match event {
            Event::Key(key) => {
                let Some(key) = Key::of(key) else { return Ok(None) };
                self.urgent = true;
                // The keys need to know how much is seen, and a resize may not have been painted yet.
                let size = self.terminal.size().map_err(io::Error::other)?;
                self.app.resize(Rect::new(0, 0, size.width, size.height));
                let actions = self.app.handle(key, &self.snapshot, self.now_ms());
                self.perform(actions)
            }
            Event::Resize(..) => {
                self.dirty = true;
                Ok(None)
            }
            // A paste is never a key script, and the mouse is not used.
            Event::Paste(_) | Event::Mouse(_) | Event::FocusGained | Event::FocusLost => Ok(None),
        }
    }

    fn perform(&mut self, actions: Vec<Action>) -> io::Result<Option<Exit>> {
        for action in actions {
            match action {
                Action::Quit => return Ok(Some(Exit::Quit)),
                Action::Send(command) => self.send(command),
                Action::Bell => self.host.bell()?,
                Action::Redraw => self.repaint()?,
                Action::Suspend => {
                    self.host.suspend()?;
                    self.repaint()?;
                }
                Action::Copy(text) => {
                    self.host.copy(&text)?;
                    let now_ms = self.now_ms();
                    self.app.say("sent to the clipboard (OSC 52)", Level::Ok, now_ms);
                }
            }
        }
        Ok(None)
    }

    fn repaint(&mut self) -> io::Result<()> {
        self.urgent = true;
        // Terminal::clear would ask the terminal for its cursor, whose answer the event stream would swallow.
        // Instead the screen is wiped and the remembered frame forgotten, so that the next one is painted whole.
        self.terminal.backend_mut().clear().map_err(io::Error::other)?;
        self.terminal.swap_buffers();
        Ok(())
    }

    fn send(&mut self, command: Command) {
        let (reply, answer) = oneshot::channel();
        match self.link.commands.try_send(Request { command: command.clone(), reply }) {
            Ok(()) => {
                self.replies.spawn(async move {
                    let gone = || Reply::Refused("the engine is gone".to_owned());
                    (command, answer.await.unwrap_or_else(|_| gone()))
                });
            }
            Err(refused) => {
                // A command is never queued behind others for later: by then it may not be meant any more.
                let why = match refused {
                    tokio::sync::mpsc::error::TrySendError::Full(_) => "not sent: the engine is busy, press again",
                    tokio::sync::mpsc::error::TrySendError::Closed(_) => "not sent: the engine is gone",
                };
                let now_ms = self.now_ms();
                self.app.replied(&command, Reply::Refused(why.to_owned()), now_ms);
            }
        }
    }

    fn replied(&mut self, answer: Result<(Command, Reply), tokio::task::JoinError>) {
        if let Ok((command, reply)) = answer {
            let now_ms = self.now_ms();
            self.app.replied(&command, reply, now_ms);
            self.urgent = true;
        }
    }

    fn draw(&mut self) -> io::Result<()> {
        if !self.host.ours() {
            return Err(io::Error::other("a background task has failed and given the terminal back"));
        }
        let size = self.terminal.size().map_err(io::Error::other)?;
        if size != self.size {
            self.size = size;
            self.host.resized(size.width, size.height);
        }
        self.host.begin_frame()?;
        let (app, snapshot) = (&self.app, &self.snapshot);
        self.terminal.draw(|frame| render(frame, app, snapshot)).map_err(io::Error::other)?;
        self.host.end_frame()?;
        self.dirty = false;
        self.urgent = false;
        self.due = Instant::now() + FRAME;
        Ok(())
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
            _ = self.hangup.recv() => SignalKind::hangup().as_raw_value(),
        }
    }
}
