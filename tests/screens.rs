//! What the screen looks like, at the sizes that matter; colours are asserted apart, because text has none.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use common::{
    ASCII, PLAIN, UNICODE, backing_off, blocked, calm, change_set, checklist, conflicted, control_plane_away, disconnected,
    draining, failed, finished, in_the_calendar, keys, offered, outage, paint, proof_missing, rehearsing, rollback_conflicted,
    rollback_failed, shut, stale, text,
};
use cutover::run::command::Verb;
use cutover::run::snapshot::{ServerView, Snapshot, Status, StepState, Verdict};
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
fn the_way_back_without_its_control_plane() {
    all_sizes("control_plane_away", &control_plane_away(), "4");
    insta::assert_snapshot!("control_plane_away_zoom_80x24", text(&screen(ASCII, &control_plane_away(), "4+", 80, 24)));
    all_sizes("without_region", &control_plane_away(), ":without us<enter>");
}

#[test]
fn a_conflict_is_shown_with_both_sides() {
    all_sizes("conflict", &conflicted(), "R");
    all_sizes("conflict_in_a_rollback", &rollback_conflicted(), "c");
    let mut step = failed();
    step.work.as_mut().unwrap().conflict = rollback_conflicted().work.unwrap().conflict;
    all_sizes("conflict_of_a_step", &step, "n");
}

#[test]
fn choices_when_the_plans_own_way_does_not_go_on() {
    all_sizes("failed", &failed(), "");
    all_sizes("override", &shut(), "O");
    all_sizes("override_review", &shut(), "Oseen at the bucket itself: nothing is missing<enter>");
    all_sizes("skip", &failed(), "sthe record was set by hand at 02:40, see the incident<enter>");
    all_sizes("by_hand", &failed(), "d");
    all_sizes("back_off", &backing_off(), "b");
}

#[test]
fn a_rollback_that_wants_a_hand() {
    all_sizes("rollback_failed", &rollback_failed(), "");
    all_sizes("rollback_skip", &rollback_failed(), "s");
    all_sizes("proof_missing", &proof_missing(), "");
}

#[test]
fn the_command_palette() {
    all_sizes("palette", &shut(), ":");
    insta::assert_snapshot!("palette_found_80x24", text(&screen(ASCII, &shut(), ":fau", 80, 24)));
}

#[test]
fn the_other_dialogs() {
    let cases = vec![
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

/// A shift under way: some resolvers have moved, one is silent, and the zone's own servers are ahead of all of them.
fn moving() -> Snapshot {
    let server = |name: &str, zone, to: Option<&str>, ttl_s, answer: Option<&str>, trouble: Option<&str>| ServerView {
        name: name.into(),
        zone,
        answer: answer.map(Into::into),
        region: to.map(Into::into),
        moved: to == Some("Frankfurt"),
        ttl_s,
        trouble: trouble.map(Into::into),
    };
    let mut snapshot = calm();
    let monitor = &mut snapshot.monitors[0];
    (monitor.title, monitor.kind) = ("DNS of the API".into(), "dns".into());
    (monitor.value, monitor.limit) = ("1/4 moved, ttl 41s".into(), String::new());
    monitor.servers = vec![
        server("quad9", false, Some("Frankfurt"), Some(58), Some("192.0.2.10"), None),
        server("google", false, Some("Ireland"), Some(41), Some("192.0.2.20"), None),
        server("hotel", false, None, Some(7_200), Some("198.51.100.1"), Some("leads nowhere known")),
        server("lan", false, None, None, None, Some("no answer within 2000ms")),
        server("ns-1.example.org", true, Some("Frankfurt"), Some(60), Some("192.0.2.10"), None),
    ];
    snapshot
}

#[test]
fn what_each_name_server_says_is_one_key_away() {
    all_sizes("dns", &moving(), "3");
    for (width, height) in [(160, 45), (80, 40), (40, 40)] {
        insta::assert_snapshot!(format!("dns_zoom_{width}x{height}"), text(&screen(ASCII, &moving(), "3+", width, height)));
    }
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
fn the_calendar_has_a_line_for_each_day_at_every_width() {
    all_sizes("calendar", &in_the_calendar(), "w");
    insta::assert_snapshot!("calendar_end_80x24", text(&screen(ASCII, &in_the_calendar(), "wG", 80, 24)));
    insta::assert_snapshot!("calendar_unicode_120x40", text(&screen(UNICODE, &in_the_calendar(), "w", 120, 40)));
    for width in 40..=160 {
        let painted = text(&screen(ASCII, &in_the_calendar(), "w", width, 60));
        // A day without steps has a dash, one that slipped has by how much, and today is marked.
        let days: Vec<&str> =
            painted.lines().skip_while(|line| !line.contains(" day ") || !line.contains("steps")).skip(1).collect();
        for (day, line) in (1..=21).zip(&days) {
            assert!(line.contains(&format!(" {day:>2} ")) && line.contains("06-"), "{width}: {line} in {painted}");
            assert_eq!(line.contains(">  "), day == 7, "{width}: {painted}");
        }
        let has = |day: usize, needle: &str| days[day - 1].contains(needle);
        assert!(has(7, "Sun") && has(7, "1/4") && has(7, "begun") && has(9, " - "), "{width}: {painted}");
        assert!(has(6, "1d late") || has(6, "+1d"), "{width}: {painted}");
        assert!(has(2, "1d early") || has(2, "-1d"), "{width}: {painted}");
        assert!(painted.contains("opens Sun 2025-06-15"), "{width}: {painted}");
    }
    for options in [ASCII, PLAIN] {
        let buffer = screen(options, &in_the_calendar(), "w", 160, 45);
        let late = style_of(&buffer, "06-14  3 Migration");
        assert_eq!(late.fg, if options.color { Some(Color::Yellow) } else { Some(Color::Reset) });
        assert!(late.add_modifier.contains(Modifier::BOLD));
        // What is over is history, however late it was.
        assert_eq!(style_of(&buffer, "06-13  3 Migration").add_modifier, Modifier::DIM);
    }
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
    let snapshots: [fn() -> Snapshot; 9] =
        [calm, blocked, outage, offered, stale, finished, checklist, change_set, in_the_calendar];
    for snapshot in snapshots {
        let snapshot = snapshot();
        for script in ["", "?", "R", "q", "w"] {
            let buffer = screen(PLAIN, &snapshot, script, 160, 45);
            assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
            assert!(buffer.content.iter().all(|cell| cell.symbol().is_ascii()), "{}", text(&buffer));
        }
    }
}

#[test]
fn every_size_down_to_one_cell_is_painted_and_keeps_what_matters() {
    let snapshots: [fn() -> Snapshot; 6] = [calm, outage, offered, finished, checklist, in_the_calendar];
    for snapshot in snapshots {
        let snapshot = snapshot();
        for width in (1..=170).step_by(13) {
            for height in (1..=50).step_by(3) {
                for script in ["", "R", "5+", "w"] {
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
fn the_credentials_time_is_quiet_then_a_caution_then_a_word() {
    let line = |left: Option<i64>| {
        let mut snapshot = calm();
        snapshot.credentials_expire = left.map(|left| snapshot.now + left);
        screen(ASCII, &snapshot, "", 120, 40)
    };
    let first = |buffer: &Buffer| text(buffer).lines().next().unwrap().to_owned();
    assert!(first(&line(Some(7_500_000))).contains(" creds 2h05m "));
    assert!(!first(&line(None)).contains("creds"));
    let low = line(Some(29 * 60_000 + 30_000));
    assert!(first(&low).contains("! creds 29m "), "{}", first(&low));
    assert_eq!(style_of(&low, "! creds").fg, Some(Color::Yellow));
    let over = line(Some(-5_000));
    assert_eq!(style_of(&over, "creds EXPIRED").fg, Some(Color::Red));
    // Trouble with them is kept where the calm figure gives way.
    assert!(first(&screen(ASCII, &calm(), "", 80, 24)).contains("DRILL"));
    let mut small = calm();
    small.credentials_expire = Some(small.now - 1);
    assert!(first(&screen(ASCII, &small, "", 80, 24)).contains("creds EXPIRED"));
}

#[test]
fn what_is_not_armed_or_cannot_be_done_is_amber_with_a_word() {
    let rollback = screen(ASCII, &conflicted(), "R", 120, 40);
    for needle in ["! NOT ARMED", "Nothing proves", "will not undo  ", "type eu-west-1"] {
        let style = style_of(&rollback, needle);
        let amber = style.fg == Some(Color::Yellow) || needle.starts_with("will");
        assert!(amber, "{needle}: {style:?}");
    }
    let undo = screen(ASCII, &conflicted(), "4", 120, 40);
    for needle in ["NOT ARMED", "[!] NO", "[?] unknown"] {
        assert_eq!(style_of(&undo, needle).fg, Some(Color::Yellow), "{needle}");
    }
    let over = screen(ASCII, &shut(), "O", 120, 40);
    for needle in ["! FAIL", "It takes 2 people", "why?"] {
        assert_eq!(style_of(&over, needle).fg, Some(Color::Yellow), "{needle}");
    }
    let without = screen(ASCII, &control_plane_away(), ":without us-east-1<enter>", 120, 40);
    assert_eq!(style_of(&without, "[!] needs it").fg, Some(Color::Yellow));
    assert_eq!(style_of(&without, "[x] works").fg, Some(Color::Green));
    let mut late = finished();
    late.result.as_mut().unwrap().objective_rto_ms = 60_000;
    let missed = screen(ASCII, &late, "", 120, 40);
    assert_eq!(style_of(&missed, "[!] MISSED").fg, Some(Color::Red));
    assert_eq!(style_of(&missed, "[x] met").fg, Some(Color::Green));
}

#[test]
fn a_journal_that_has_failed_is_said_where_the_rollback_is_confirmed() {
    let mut snapshot = offered();
    snapshot.ledger.failed = Some("no space left on device".into());
    let painted = text(&screen(ASCII, &snapshot, "R", 80, 24));
    assert!(painted.contains("! the journal cannot be written (no space left on device)"), "{painted}");
    assert!(painted.contains("spool"), "{painted}");
    snapshot.ledger.spool.failed = Some("it is full".into());
    let painted = text(&screen(ASCII, &snapshot, "R", 120, 40));
    assert!(painted.contains("nor the spool (it is full)") && painted.contains("standard error"), "{painted}");
}

#[test]
fn the_footer_shows_the_other_choices_when_the_plans_way_does_not_go_on_and_not_before() {
    let footer = |snapshot: &Snapshot| text(&screen(ASCII, snapshot, "", 160, 45)).lines().nth(44).unwrap().to_owned();
    let mut calm = calm();
    calm.verbs.extend(failed().verbs);
    calm.verbs.retain(|(verb, _)| *verb != cutover::run::command::Verb::BackOff);
    for choice in ["O override", "s skip step", "d done by hand", "b back off"] {
        assert!(!footer(&calm).contains(choice), "{choice}");
    }
    for choice in ["s skip step", "d done by hand", "b back off"] {
        assert!(footer(&failed()).contains(choice), "{choice}");
    }
    assert!(!footer(&failed()).contains("O override"), "its gate is open");
    assert!(footer(&shut()).contains("O override"));
    assert!(footer(&rollback_failed()).contains("c continue  s skip step"));
}

#[test]
fn without_a_region_says_what_leads_into_it_and_what_it_would_silence() {
    let mut snapshot = calm();
    snapshot.monitors[1].region = Some("eu-west-1".into());
    let painted = text(&screen(ASCII, &snapshot, ":without eu-west-1<enter>", 100, 40));
    assert!(painted.contains("1 of 3 rollbacks work"), "{painted}");
    assert!(painted.contains("immediate [!] leads to it"), "{painted}");
    assert!(painted.contains("may go silent, and keep their gates shut: Chime stack Ireland"), "{painted}");
    let nowhere = text(&screen(ASCII, &snapshot, ":without ap-south-2<enter>", 100, 40));
    assert!(nowhere.contains("Without ap-south-2") && nowhere.contains("3 of 3 rollbacks work"), "{nowhere}");
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
