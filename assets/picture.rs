//! Makes the pictures in README.md: `cargo run --example picture` writes assets/screen.svg and assets/rollback.svg.
//!
//! Each is a frame of a real drill: the same engine, simulated cloud and screen, with a fixed seed, run id and driver,
//! so that the same source gives the same picture on every machine. tests/pictures.rs compares.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use cutover::commands;
use cutover::drill::auto::{self, Until};
use cutover::drill::operator::Operator;
use cutover::drill::{Drill, EPOCH};
use cutover::engine::Engine;
use cutover::journal::Meta;
use cutover::run::command::{Command, Verb};
use cutover::run::event::Event;
use cutover::run::snapshot::{Snapshot, Status, StepState};
use cutover::ui::app::{Action, App};
use cutover::ui::keymap::Key;
use cutover::ui::{Options, render};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

/// Size of the screen in cells.
const SIZE: (u16, u16) = (160, 45);
/// Size of a cell in pixels of the picture.
const CELL: (f32, f32) = (8.4, 18.0);
/// Free space around the screen in pixels.
const MARGIN: f32 = 12.0;
const BACKGROUND: &str = "#11151c";
const FOREGROUND: &str = "#d8dee9";
const SEED: u64 = 1;
const SPEED: u32 = 20;
/// The step at which both pictures are taken.
const STEP: &str = "shift-50";
/// Events after which a moment that does not come is given up.
const EVENTS_MAX: u32 = 200_000;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[allow(dead_code, reason = "the test uses the rest of this file")]
fn main() -> Result<()> {
    for (name, svg) in pictures()? {
        std::fs::write(path(name), svg)?;
        println!("assets/{name}");
    }
    Ok(())
}

/// Where a picture is kept.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name)
}

/// Every picture: its file's name and what belongs into it.
///
/// # Errors
/// When the drill cannot be kept in a temporary folder, or never comes to the moment that is to be seen.
pub fn pictures() -> Result<Vec<(&'static str, String)>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { Ok(vec![("screen.svg", half().await?), ("rollback.svg", rollback().await?)]) })
}

/// Half of the traffic is in Frankfurt and is being watched.
async fn half() -> Result<String> {
    let (_folder, mut engine) = at_step("cutover-day").await?;
    let seen = until(&mut engine, |seen| {
        let arrived = seen.traffic.iter().any(|t| t.seen.is_some_and(|share| (45..=55).contains(&share)));
        arrived && seen.work.as_ref().is_some_and(|w| w.id == STEP && w.state == StepState::Verifying)
    })
    .await?;
    Ok(svg(&paint(&mut App::new(&OPTIONS), seen)?, "cutover in a drill: half of the traffic is in Frankfurt"))
}

/// Frankfurt has failed, somebody has pressed R, and nothing is sent yet.
async fn rollback() -> Result<String> {
    let (_folder, mut engine) = at_step("region-outage").await?;
    let detected = |seen: &Snapshot| seen.outage.as_ref().is_some_and(|o| seen.now - o.detected > 15_000);
    let seen = until(&mut engine, detected).await?;
    let mut app = App::new(&OPTIONS);
    app.resize(Rect::new(0, 0, SIZE.0, SIZE.1));
    app.observe(&seen, 0);
    for action in app.handle(Key::Char('R'), &seen, 0) {
        if let Action::Send(command) = action {
            engine.command(command);
        }
    }
    let seen = until(&mut engine, |seen| seen.offer.as_ref().is_some_and(|o| o.fingerprint.is_some())).await?;
    Ok(svg(&paint(&mut app, seen)?, "cutover in a drill: a region has failed, and the rollback is shown before anything is sent"))
}

const OPTIONS: Options = Options { ascii: false, color: true };

/// A drill that the auto-operator has brought to the step, and the folder of its journal.
async fn at_step(scenario: &str) -> Result<(tempfile::TempDir, Engine<Drill>)> {
    let failed = |f: cutover::exit::Failed| f.message;
    let loaded = commands::load("medzen").map_err(failed)?;
    let scenario = commands::scenario(&loaded, scenario).map_err(failed)?;
    let step = loaded.plan.steps.iter().position(|s| s.id == STEP).ok_or("the step is not in the plan")?;
    let meta = Meta {
        run_id: cutover::journal::new_run_id(EPOCH, 0x5eed_c0de_5eed_c0de_5eed),
        plan_name: loaded.plan.name.clone(),
        plan_ref: "medzen".into(),
        plan_hash: loaded.plan.manifest.hash.clone(),
        drill: true,
        scenario: Some(scenario.name.clone()),
        seed: Some(SEED),
        day_one: None,
        created_at: EPOCH,
        cutover_version: env!("CARGO_PKG_VERSION").into(),
        workdir: PathBuf::new(),
    };
    let folder = tempfile::tempdir()?;
    let run = folder.path().join("run");
    let mut engine = commands::drill::build(&loaded, &scenario, &run, &meta, "oncall@ops".into()).map_err(failed)?;
    auto::drive(&mut engine, &mut Operator::new(SEED), Until::Step(step)).await;
    Ok((folder, engine))
}

/// Lets the step be started, and time pass, until the screen shows what is wanted.
async fn until(engine: &mut Engine<Drill>, wanted: impl Fn(&Snapshot) -> bool) -> Result<Snapshot> {
    for _ in 0..EVENTS_MAX {
        engine.settle().await;
        let seen = engine.snapshot();
        if wanted(&seen) {
            return Ok(seen);
        }
        let next = seen.work.as_ref().filter(|w| w.id == STEP && seen.status == Status::Ready);
        if let Some(work) = next
            && seen.verbs.iter().any(|(verb, why)| *verb == Verb::Next && why.is_none())
        {
            engine.command(Command::Start { step: work.id.clone() });
            continue;
        }
        let event: Event = engine.backend.pop(engine.wake());
        engine.handle(event);
    }
    Err("the moment for the picture has not come".into())
}

fn paint(app: &mut App, mut seen: Snapshot) -> Result<Buffer> {
    // The picture is made as fast as the machine can; the screen says what a drill's speed is for a person.
    if let Some(drill) = &mut seen.drill {
        drill.speed = SPEED;
    }
    let seen = &seen;
    app.resize(Rect::new(0, 0, SIZE.0, SIZE.1));
    // Long after any key, so that nothing is still waiting for its dead time to pass.
    app.observe(seen, 60_000);
    let mut terminal = Terminal::new(TestBackend::new(SIZE.0, SIZE.1))?;
    terminal.draw(|frame| render(frame, app, seen))?;
    Ok(terminal.backend().buffer().clone())
}

/// The screen as SVG. Every run of cells has its place, so that no font can push a column aside; frames are drawn
/// as lines, because their characters leave gaps in most fonts.
fn svg(buffer: &Buffer, title: &str) -> String {
    let (width, height) = (f32::from(buffer.area.width) * CELL.0, f32::from(buffer.area.height) * CELL.1);
    let (outer_width, outer_height) = (width + 2.0 * MARGIN, height + 2.0 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" viewBox=\"0 0 {outer_width} {outer_height}\" \
         width=\"{outer_width}\" height=\"{outer_height}\">\n<title>{title}</title>\n\
         <style>text{{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace}}\
         path{{fill:none}}.b{{font-weight:bold}}.d{{opacity:.62}}</style>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n\
         <g transform=\"translate({MARGIN} {MARGIN})\">\n"
    );
    for y in 0..buffer.area.height {
        let mut x = 0;
        while x < buffer.area.width {
            let first = &buffer[(x, y)];
            let mut end = x + 1;
            while end < buffer.area.width && belongs(first, &buffer[(end, y)]) {
                end += 1;
            }
            let text: String = (x..end).map(|column| buffer[(column, y)].symbol()).collect();
            run(&mut out, first, &text, (x, y), end - x);
            x = end;
        }
    }
    out.push_str("</g>\n</svg>\n");
    out
}

/// Whether a cell goes on with the run that another one has begun.
fn belongs(first: &Cell, cell: &Cell) -> bool {
    let alike = (first.fg, first.bg, first.modifier) == (cell.fg, cell.bg, cell.modifier);
    let straight = ["─", "━"].contains(&first.symbol()) && first.symbol() == cell.symbol();
    alike && (straight || (first.symbol().is_ascii() && cell.symbol().is_ascii()))
}

fn run(out: &mut String, style: &Cell, text: &str, (column, row): (u16, u16), cells: u16) {
    let (x, y, width) = (f32::from(column) * CELL.0, f32::from(row) * CELL.1, f32::from(cells) * CELL.0);
    let (mut ink, mut paper) = (color(style.fg, FOREGROUND), color(style.bg, BACKGROUND));
    if style.modifier.contains(Modifier::REVERSED) {
        std::mem::swap(&mut ink, &mut paper);
    }
    let height = CELL.1;
    // Writing to a string cannot fail.
    if paper != BACKGROUND {
        let _ = writeln!(out, "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{paper}\"/>");
    }
    if text.trim().is_empty() {
        return;
    }
    let dim = if style.modifier.contains(Modifier::DIM) { "d" } else { "" };
    if let Some((shape, thick)) = frame(text, width) {
        let _ = writeln!(out, "<path class=\"{dim}\" d=\"M{x:.1} {y:.1}{shape}\" stroke=\"{ink}\" stroke-width=\"{thick}\"/>");
        return;
    }
    let bold = if style.modifier.contains(Modifier::BOLD) { "b" } else { "" };
    let class = [bold, dim].join(" ");
    // Not every viewer keeps spaces: none begins or ends a text, and no two stand side by side within one.
    let mut at = 0;
    for piece in text.split("  ") {
        let words = piece.trim();
        let (from, length) = (at + piece.len() - piece.trim_start().len(), words.chars().count());
        at += piece.len() + 2;
        if words.is_empty() {
            continue;
        }
        let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = writeln!(
            out,
            "<text class=\"{}\" x=\"{:.1}\" y=\"{:.1}\" textLength=\"{:.1}\" lengthAdjust=\"spacingAndGlyphs\" \
             fill=\"{ink}\">{words}</text>",
            class.trim(),
            x + columns(from),
            y + 13.5,
            columns(length)
        );
    }
}

/// The width of so many cells.
fn columns(count: usize) -> f32 {
    f32::from(u16::try_from(count).unwrap_or(u16::MAX)) * CELL.0
}

/// A character of a frame as a line: where it goes from the cell's corner, and how thick it is.
fn frame(text: &str, width: f32) -> Option<(String, f32)> {
    let thick = if text.starts_with(['━', '┃', '┏', '┓', '┗', '┛']) { 2.2 } else { 1.0 };
    let (right, bottom) = (CELL.0, CELL.1);
    let (middle, half) = (right / 2.0, bottom / 2.0);
    let shape = match text.chars().next()? {
        '─' | '━' => format!("m0 {half}h{width:.1}"),
        '│' | '┃' => format!("m{middle} 0v{bottom}"),
        '╭' => format!("m{middle} {bottom}v-{}q0-4 4-4h{:.1}", half - 4.0, middle - 4.0),
        '╮' => format!("m{middle} {bottom}v-{}q0-4-4-4h-{:.1}", half - 4.0, middle - 4.0),
        '╰' => format!("m{middle} 0v{}q0 4 4 4h{:.1}", half - 4.0, middle - 4.0),
        '╯' => format!("m{middle} 0v{}q0 4-4 4h-{:.1}", half - 4.0, middle - 4.0),
        '┏' => format!("m{middle} {bottom}v-{half}h{middle}"),
        '┓' => format!("m{middle} {bottom}v-{half}h-{middle}"),
        '┗' => format!("m{middle} 0v{half}h{middle}"),
        '┛' => format!("m{middle} 0v{half}h-{middle}"),
        _ => return None,
    };
    Some((shape, thick))
}

/// A colour of the theme as it looks in most terminals.
fn color(color: Color, otherwise: &'static str) -> &'static str {
    match color {
        Color::Red => "#ff6b6b",
        Color::Green => "#8fce7a",
        Color::Yellow => "#f2c14e",
        Color::Magenta => "#d48fd8",
        Color::Cyan => "#62c8d8",
        _ => otherwise,
    }
}
