//! What the screen looks like, at the sizes that matter; colours are asserted apart, because text has none.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use common::{
    ASCII, PLAIN, UNICODE, blocked, calm, change_set, checklist, disconnected, draining, finished, keys, offered, outage, paint,
    rehearsing, stale, text,
};
use cutover::run::command::Verb;
use cutover::run::snapshot::{Snapshot, Status, StepState, Verdict};
use cutover::ui::Options;
use cutover::ui::app::App;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

const SIZES: [(u16, u16); 4] = [(160, 45), (120, 40), (80, 24), (40, 12)];

fn screen(options: Options, snapshot: &Snapshot, script: &str, width: u16, height: u16) -> Buffer {
    let mut app = App::new(&options);
    app.resize(Rect::new(0, 0, width, height));
    app.observe(snapshot, 0);
    for (index, key) in keys(script).into_iter().enumerate() {
        app.handle(key, snapshot, (index as u64 + 1) * 1_000);
        app.observe(snapshot, (index as u64 + 1) * 1_000 + 1);
    }
    paint(&app, snapshot, width, height)
}

fn all_sizes(name: &str, snapshot: &Snapshot, script: &str) {
    for (width, height) in SIZES {
        let painted = text(&screen(ASCII, snapshot, script, width, height));
        insta::assert_snapshot!(format!("{name}_{width}x{height}"), painted);
    }
}

#[test]
fn calm_and_ready() {
    all_sizes("calm", &calm(), "");
}

#[test]
fn calm_in_unicode() {
    insta::assert_snapshot!("calm_unicode_120x40", text(&screen(UNICODE, &calm(), "", 120, 40)));
}

#[test]
fn a_gate_that_does_not_open() {
    all_sizes("blocked", &blocked(), "");
}

#[test]
fn the_rollback_dialog() {
    all_sizes("rollback", &offered(), "R");
}

#[test]
fn an_outage() {
    all_sizes("outage", &outage(), "");
}

#[test]
fn monitors_that_have_gone_silent() {
    all_sizes("stale", &stale(), "3");
}

#[test]
fn the_result_card() {
    all_sizes("result", &finished(), "");
}

#[test]
fn the_other_dialogs() {
    let cases = [
        ("start", calm(), "n"),
        ("execute", change_set(), "neu-ce"),
        ("inject", calm(), "f2"),
        ("quit_drill", calm(), "q"),
        ("quit_live", stale(), "q"),
        ("note", calm(), "mphones are calm"),
        ("go_on", calm(), "N"),
        ("checklist", checklist(), "j"),
    ];
    for (name, snapshot, script) in cases {
        insta::assert_snapshot!(format!("{name}_80x24"), text(&screen(ASCII, &snapshot, script, 80, 24)));
    }
}

#[test]
fn the_days_before_are_being_rehearsed() {
    for (width, height) in [(160, 45), (80, 24)] {
        let painted = text(&screen(ASCII, &rehearsing(), "", width, height));
        assert!(painted.contains("rehearsing the days before"), "{painted}");
        assert!(!painted.contains("n  Send"), "{painted}");
    }
}

#[test]
fn names_stay_readable_beside_long_values() {
    for (width, height) in [(160, 45), (120, 40), (80, 24), (40, 30)] {
        let painted = text(&screen(ASCII, &disconnected(), "3", width, height));
        for name in ["api from Germany", "recordings lag", "Chime stack Irelan"] {
            assert!(painted.contains(name), "{name} is cut at {width}x{height}:\n{painted}");
        }
    }
    let zoomed = text(&screen(ASCII, &disconnected(), "3+", 60, 40));
    assert!(zoomed.contains("  vantage germany is not connected: this release "), "{zoomed}");
    assert!(zoomed.contains("  measures from local only"), "{zoomed}");
}

#[test]
fn every_moment_of_a_step_says_what_it_waits_for() {
    let prompt = |snapshot: &Snapshot| {
        let painted = text(&screen(ASCII, snapshot, "", 160, 45));
        painted.lines().nth(43).unwrap().to_owned()
    };
    let mut verifying = outage();
    verifying.outage = None;
    verifying.work.as_mut().unwrap().doing = "verifying".into();
    let verify = &mut verifying.work.as_mut().unwrap().verify[0];
    (verify.now, verify.verdict) = ("21ms".into(), Verdict::Fail("21ms".into()));
    assert_eq!(prompt(&verifying), "half verifying: waits for api from Germany p95 < 20ms, now 21ms   (. skips ahead)");
    verifying.work.as_mut().unwrap().verify[0].held_ms = 240_000;
    assert_eq!(prompt(&verifying), "half verifying: api from Germany p95 has to hold for 6m more   (. skips ahead)");
    let said = "rollback 'immediate': calls in sync; waiting until users are served again   (. skips ahead)";
    assert_eq!(prompt(&draining()), said);
    let mut undone = calm();
    undone.work.as_mut().unwrap().state = StepState::Undone;
    let mut going = calm();
    going.status = cutover::run::snapshot::Status::Running;
    common::block(&mut going, cutover::run::command::Verb::GoOn, "going on already");
    assert!(text(&screen(ASCII, &going, "", 80, 24)).contains("GOING ON BY ITSELF"));
    let mut waiting = checklist();
    waiting.verbs.push((cutover::run::command::Verb::GoOn, Some("going on already".into())));
    assert!(text(&screen(ASCII, &waiting, "", 80, 24)).contains("GOING ON, WAITS FOR YOU"));
    assert_eq!(prompt(&undone), "n  start again: Send 50 % of the traffic to Frankfurt");
}

#[test]
fn all_keys() {
    insta::assert_snapshot!("help_100x60", text(&screen(ASCII, &blocked(), "?", 100, 60)));
}

#[test]
fn panels_one_by_one_on_a_small_screen() {
    for (number, name) in [("1", "plan"), ("3", "signals"), ("4", "undo"), ("5", "journal")] {
        insta::assert_snapshot!(format!("panel_{name}_80x24"), text(&screen(ASCII, &calm(), number, 80, 24)));
    }
}

/// The style where a text stands on the screen.
fn style_of(buffer: &Buffer, needle: &str) -> Style {
    for y in 0..buffer.area.height {
        let row: String = (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect();
        if let Some(x) = row.find(needle) {
            return buffer[(u16::try_from(x).unwrap(), y)].style();
        }
    }
    panic!("{needle} is not on the screen:\n{}", text(buffer));
}

#[test]
fn trouble_is_red_or_amber_and_bold_and_nothing_else_is() {
    let buffer = screen(ASCII, &outage(), "", 120, 40);
    for needle in ["! WARNING", "OUTAGE 00:38"] {
        let style = style_of(&buffer, needle);
        assert_eq!(style.fg, Some(Color::Red), "{needle}");
        assert!(style.add_modifier.contains(Modifier::BOLD), "{needle}");
    }
    assert_eq!(style_of(&screen(ASCII, &blocked(), "", 120, 40), "! CAUTION").fg, Some(Color::Yellow));
    let calm = screen(ASCII, &calm(), "", 160, 45);
    let loud = calm.content.iter().filter(|cell| matches!(cell.fg, Color::Red | Color::Yellow)).count();
    assert_eq!(loud, 0, "a calm screen is quiet");
}

#[test]
fn stale_is_dim_and_marked_and_never_green() {
    let buffer = screen(ASCII, &stale(), "", 120, 40);
    for needle in ["? recordings lag", "- health records", "12s?"] {
        let style = style_of(&buffer, needle);
        assert!(style.add_modifier.contains(Modifier::DIM), "{needle}");
        assert_ne!(style.fg, Some(Color::Green), "{needle}");
    }
}

#[test]
fn without_colours_there_are_none_and_in_ascii_nothing_else() {
    for snapshot in [calm(), blocked(), outage(), offered(), stale(), finished(), checklist(), change_set()] {
        for script in ["", "?", "R", "q"] {
            let buffer = screen(PLAIN, &snapshot, script, 160, 45);
            assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
            assert!(buffer.content.iter().all(|cell| cell.symbol().is_ascii()), "{}", text(&buffer));
        }
    }
}

#[test]
fn every_size_down_to_one_cell_is_painted_and_keeps_what_matters() {
    for snapshot in [calm(), outage(), offered(), finished(), checklist()] {
        for width in (1..=170).step_by(13) {
            for height in (1..=50).step_by(3) {
                for script in ["", "R", "5+"] {
                    screen(UNICODE, &snapshot, script, width, height);
                }
            }
        }
    }
    let tiny = text(&screen(ASCII, &outage(), "", 40, 5));
    for needle in ["[DRILL]", "WARNING", "space HOLD", "R ROLLBACK"] {
        assert!(tiny.contains(needle), "{needle} is missing:\n{tiny}");
    }
}

#[test]
fn an_open_checklist_comes_before_its_verify() {
    let mut snapshot = checklist();
    snapshot.work.as_mut().unwrap().verify = calm().work.unwrap().verify;
    let painted = text(&screen(ASCII, &snapshot, "", 80, 24));
    let (items, verify) = (painted.find("phones are answered").unwrap(), painted.find("verify to be done").unwrap());
    assert!(items < verify, "{painted}");
}

#[test]
fn a_journal_that_cannot_be_written_says_where_its_entries_are() {
    let mut snapshot = draining();
    snapshot.ledger.failed = Some("no space left on device".into());
    (snapshot.ledger.durable, snapshot.ledger.spool.entries) = (405, 7);
    for (width, height) in [(160, 45), (80, 24)] {
        let script = if width < 100 { "5" } else { "" };
        let painted = text(&screen(ASCII, &snapshot, script, width, height));
        assert!(painted.contains("7 in the spool, CANNOT BE WRITTEN"), "{painted}");
    }
    snapshot.ledger.spool.failed = Some("gone".into());
    snapshot.ledger.spool.told = 3;
    let painted = text(&screen(ASCII, &snapshot, "", 160, 45));
    assert!(painted.contains("7 in the spool, 3 on stderr, CANNOT BE WRITTEN, NOR CAN THE SPOOL"), "{painted}");

    let mut held = snapshot.clone();
    held.status = Status::Held { reason: "neither can be written".into(), by: "engine".into(), since: held.now - 5_000 };
    held.verbs = vec![(Verb::Continue, None)];
    held.ledger.spool.word = Some("eu-west-1".into());
    let painted = text(&screen(ASCII, &held, "ceu", 80, 24));
    assert!(painted.contains("type eu-west-1 to confirm: eu") && painted.contains("neither journal nor spool"), "{painted}");
}
