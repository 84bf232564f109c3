//! Charts of one monitor: what they look like, and the keys that lead there.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::collections::VecDeque;
use std::sync::Arc;

use common::{ASCII, NOW, PLAIN, UNICODE, calm, keys, paint, text};
use cutover::run::minute::Gathering;
use cutover::run::snapshot::{ChartView, Freshness, History, Snapshot};
use cutover::ui::Options;
use cutover::ui::app::{Action, App};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;

/// The sizes that matter, and the narrowest.
const SIZES: [(u16, u16); 4] = [(160, 45), (120, 40), (80, 24), (40, 12)];

/// Presses keys a second apart; nothing on a chart sends anything.
fn press(app: &mut App, script: &str, snapshot: &Snapshot) -> Vec<Action> {
    let mut out = Vec::new();
    for (index, key) in keys(script).into_iter().enumerate() {
        out.extend(app.handle(key, snapshot, (index as u64 + 1) * 1_000));
    }
    out
}

fn desk(snapshot: &Snapshot) -> App {
    let mut app = App::new(&ASCII);
    app.observe(snapshot, 0);
    app
}

fn screen(options: Options, snapshot: &Snapshot, script: &str, width: u16, height: u16) -> Buffer {
    let mut app = App::new(&options);
    app.resize(Rect::new(0, 0, width, height));
    app.observe(snapshot, 0);
    press(&mut app, script, snapshot);
    paint(&app, snapshot, width, height)
}

fn all_sizes(name: &str, snapshot: &Snapshot, script: &str) {
    for (width, height) in SIZES {
        let painted = text(&screen(ASCII, snapshot, script, width, height));
        insta::assert_snapshot!(format!("{name}_{width}x{height}"), painted);
    }
}

/// The index of the monitor of [`charted`].
const CHARTED: usize = 4;

/// A probe of twenty hours: around 12 ms, a rise over its limit, failures, and five minutes in which nobody looked.
fn charted() -> Snapshot {
    let mut snapshot = calm();
    snapshot.started = NOW - 20 * 3_600_000;
    let (mut past, mut gathering) = (History::default(), Gathering::default());
    let mut samples = VecDeque::new();
    for ordinal in 0..20 * 720_i64 {
        let at = snapshot.started + ordinal * 5_000;
        let back = (NOW - at) / 1_000;
        if (240..540).contains(&back) {
            continue;
        }
        let wave = 11_000 + ordinal * 37 % 2_000;
        let number = match back {
            60..90 | 7_200..7_320 => None,
            90..180 => Some(wave + 14_000 - (back - 135).abs() * 200),
            _ => Some(wave),
        };
        if let Some(minute) = gathering.add(at, number) {
            past.add(&minute);
        }
        if back < 700 {
            samples.push_back((at, number));
        } else if back < 6 * 3_600 {
            past.recall((at, number));
        }
    }
    let monitor = &mut snapshot.monitors[CHARTED];
    monitor.spark = samples.iter().rev().take(60).rev().map(|sample| sample.1).collect();
    monitor.limit_at = Some(20_000);
    monitor.limit = "p95 < 20ms".into();
    monitor.chart = ChartView { samples: Arc::new(samples), past: Arc::new(past) };
    snapshot
}

#[test]
fn a_chart_of_one_monitor() {
    let chosen = |script: &str| format!("3+{}<enter>{script}", "j".repeat(CHARTED));
    all_sizes("chart", &charted(), &chosen(""));
    insta::assert_snapshot!("chart_unicode_120x40", text(&screen(UNICODE, &charted(), &chosen(""), 120, 40)));
    for (name, script) in [("hours", "v"), ("run", "vv")] {
        insta::assert_snapshot!(format!("chart_{name}_80x24"), text(&screen(ASCII, &charted(), &chosen(script), 80, 24)));
        let unicode = text(&screen(UNICODE, &charted(), &chosen(script), 80, 24));
        insta::assert_snapshot!(format!("chart_{name}_unicode_80x24"), unicode);
    }
    insta::assert_snapshot!("chart_chosen_80x24", text(&screen(ASCII, &charted(), "3+jj", 80, 24)));
}

#[test]
fn a_chart_needs_no_colour_and_no_size_breaks_it() {
    let script = format!("3+{}<enter>", "j".repeat(CHARTED));
    let plain = screen(PLAIN, &charted(), &script, 80, 24);
    assert_eq!(text(&plain), text(&screen(ASCII, &charted(), &script, 80, 24)));
    assert!(plain.content.iter().all(|cell| cell.fg == Color::Reset));
    for (width, height) in [(40, 24), (40, 8), (20, 24), (12, 9), (1, 1), (300, 90)] {
        for spans in ["", "v", "vv"] {
            for options in [ASCII, UNICODE] {
                screen(options, &charted(), &format!("{script}{spans}"), width, height);
                screen(options, &calm(), &format!("{script}{spans}"), width, height);
            }
        }
    }
    let mut stale = charted();
    stale.monitors[CHARTED].freshness = Freshness::Stale;
    assert!(text(&screen(ASCII, &stale, &script, 80, 24)).contains("STALE"));
}

#[test]
fn a_gap_in_a_chart_stays_a_gap() {
    let script = format!("3+{}<enter>", "j".repeat(CHARTED));
    for options in [ASCII, UNICODE] {
        let painted = screen(options, &charted(), &script, 120, 40);
        let (rows, bar) = (text(&painted), if options.ascii { '|' } else { '│' });
        // Rows of the plot have a value or nothing, then a bar; the frame has one as well.
        let plot: Vec<Vec<char>> = rows
            .lines()
            .filter(|row| row.matches(bar).count() == if options.ascii { 3 } else { 1 })
            .map(|row| row.chars().collect())
            .collect();
        assert!(plot.len() > 10, "{rows}");
        let sample = |c: char| matches!(c, '*' | '+') || ('\u{2801}'..'\u{2900}').contains(&c);
        let columns: Vec<usize> = (0..120).filter(|x| plot.iter().any(|row| row.get(*x).is_some_and(|c| sample(*c)))).collect();
        let widest = columns.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        // Five of fifteen minutes of some hundred columns.
        assert!((30..45).contains(&widest), "{widest}\n{rows}");
    }
}

#[test]
fn a_sparkline_shows_how_near_the_limit_is() {
    let mut over = charted();
    over.monitors[CHARTED].spark = vec![None, Some(2_000), Some(10_000), Some(20_000), Some(20_001)];
    let painted = text(&screen(ASCII, &over, "3", 120, 40));
    assert!(painted.contains("x_=#!"), "{painted}");
}

#[test]
fn a_monitor_is_chosen_in_the_zoomed_signals_and_its_chart_opened_and_closed() {
    let snapshot = charted();
    let mut desk = desk(&snapshot);
    let shown = |desk: &App| desk.charted(&snapshot).map(|monitor| monitor.name.clone());
    assert_eq!(press(&mut desk, "3jj", &snapshot), []);
    assert_eq!(desk.chosen(&snapshot), None, "nothing is chosen where the signals do not fill the screen");
    press(&mut desk, "<enter>", &snapshot);
    assert_eq!((desk.chosen(&snapshot), shown(&desk)), (Some(0), None));
    press(&mut desk, &format!("{}<enter>", "j".repeat(CHARTED)), &snapshot);
    assert_eq!(shown(&desk), Some(snapshot.monitors[CHARTED].name.clone()));
    // Within the chart j and k lead to its neighbours.
    press(&mut desk, "j", &snapshot);
    assert_eq!(shown(&desk), Some(snapshot.monitors[CHARTED + 1].name.clone()));
    press(&mut desk, "G", &snapshot);
    assert_eq!(shown(&desk), snapshot.monitors.last().map(|monitor| monitor.name.clone()));
    press(&mut desk, "jg", &snapshot);
    assert_eq!(shown(&desk), Some(snapshot.monitors[0].name.clone()));
    // Back leads out one by one, and another panel has no chart.
    press(&mut desk, "<esc>", &snapshot);
    assert_eq!((shown(&desk), desk.zoomed()), (None, true));
    press(&mut desk, "<esc>", &snapshot);
    assert!(!desk.zoomed());
    press(&mut desk, "3<enter><enter>", &snapshot);
    assert!(shown(&desk).is_some());
    press(&mut desk, "13", &snapshot);
    assert_eq!((shown(&desk), desk.zoomed()), (None, true));
    press(&mut desk, "<enter>+", &snapshot);
    assert_eq!((shown(&desk), desk.zoomed()), (None, false));
}

#[test]
fn v_is_for_charts_and_is_in_the_footer_only_there() {
    let snapshot = charted();
    let footer = |desk: &App| text(&paint(desk, &snapshot, 160, 45)).lines().last().unwrap().to_owned();
    let mut desk = desk(&snapshot);
    press(&mut desk, "v", &snapshot);
    assert!(desk.notice().unwrap().text.contains("3, then enter twice"));
    assert!(!footer(&desk).contains("v span"), "{}", footer(&desk));
    let spans: Vec<_> = ["3<enter><enter>", "v", "v", "v"]
        .iter()
        .map(|script| {
            assert_eq!(press(&mut desk, script, &snapshot), []);
            desk.span()
        })
        .collect();
    assert_eq!(spans[0], spans[3]);
    assert!(spans[0] != spans[1] && spans[1] != spans[2] && spans[2] != spans[0]);
    assert!(footer(&desk).contains("v span"), "{}", footer(&desk));
    press(&mut desk, "y", &snapshot);
}

#[test]
fn what_a_stack_tells_is_a_word_and_nothing_is_drawn_of_it() {
    let mut snapshot = calm();
    let stack = snapshot.monitors.iter().position(|m| m.kind == "stack").unwrap();
    snapshot.monitors[stack].detail = "Api UPDATE_FAILED: no such subnet".into();
    let painted = text(&screen(ASCII, &snapshot, &format!("3+{}<enter>", "j".repeat(stack)), 120, 40));
    assert!(painted.contains("a word and no number"), "{painted}");
    assert!(painted.contains("Api UPDATE_FAILED: no such subnet"), "{painted}");
    assert!(!painted.contains("nothing was observed"), "{painted}");
}
