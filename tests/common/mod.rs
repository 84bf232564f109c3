//! Hand-built snapshots and a way to look at a screen, shared by the tests of the screen.

#![allow(dead_code, reason = "every test file uses its own part of this")]
#![allow(clippy::unwrap_used, clippy::too_many_lines, reason = "this is test data")]

use cutover::cloud::ResourceChange;
use cutover::plan::{FaultKind, Unit};
use cutover::run::command::Verb;
use cutover::run::snapshot::*;
use cutover::ui::app::App;
use cutover::ui::keymap::Key;
use cutover::ui::{Options, render};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

pub const START: i64 = 1_750_000_000_000;
pub const NOW: i64 = START + 8_047_000;
pub const ASCII: Options = Options { ascii: true, color: true };
pub const UNICODE: Options = Options { ascii: false, color: true };
pub const PLAIN: Options = Options { ascii: true, color: false };

/// The screen as it is painted for this app and snapshot.
pub fn paint(app: &App, snapshot: &Snapshot, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| render(frame, app, snapshot)).unwrap();
    terminal.backend().buffer().clone()
}

/// The rows of a buffer as text.
pub fn text(buffer: &Buffer) -> String {
    let area = buffer.area;
    let mut out = String::new();
    for y in 0..area.height {
        let row: String = (0..area.width).map(|x| buffer[(x, y)].symbol()).collect();
        out.push_str(row.trim_end());
        out.push('\n');
    }
    out
}

/// Keys of a script: characters, and `<enter>`, `<esc>`, `<tab>`, `<bs>`, `<c-x>` for the others.
pub fn keys(script: &str) -> Vec<Key> {
    let mut out = Vec::new();
    let mut rest = script;
    while let Some(c) = rest.chars().next() {
        if c == '<'
            && let Some(end) = rest.find('>')
        {
            out.push(match &rest[1..end] {
                "enter" => Key::Enter,
                "esc" => Key::Esc,
                "tab" => Key::Tab,
                "bs" => Key::Backspace,
                name if name.starts_with("c-") => Key::Ctrl(name.chars().nth(2).unwrap()),
                name => panic!("no key is called {name}"),
            });
            rest = &rest[end + 1..];
        } else {
            out.push(Key::Char(c));
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

fn step(id: &str, title: &str, phase: usize, day: u32, action: &str, state: StepState) -> StepView {
    let done = matches!(state, StepState::Done);
    StepView {
        id: id.into(),
        title: title.into(),
        phase,
        day,
        action: action.into(),
        state,
        reason: String::new(),
        one_way: None,
        changes: true,
        control_planes: if action == "shift" { vec!["us-east-1".into()] } else { vec![] },
        expected_ms: 120_000,
        started: done.then_some(START),
        ended: done.then_some(START + 98_000),
        calendar: CalendarView::default(),
    }
}

fn condition(what: &str, want: &str, now: &str, held_ms: i64, for_ms: i64, verdict: Verdict) -> ConditionView {
    ConditionView { what: what.into(), want: want.into(), now: now.into(), held_ms, for_ms, verdict }
}

fn monitor(title: &str, kind: &str, value: &str, limit: &str, age_ms: i64) -> MonitorView {
    let wave = [4, 5, 4, 6, 5, 4, 5, 7, 6, 5, 4, 5];
    MonitorView {
        name: title.to_lowercase().replace(' ', "-"),
        title: title.into(),
        region: None,
        kind: kind.into(),
        value: value.into(),
        detail: String::new(),
        freshness: Freshness::Fresh,
        level: Level::Ok,
        age_ms: Some(age_ms),
        limit: limit.into(),
        spark: if kind == "stack" { vec![] } else { wave.iter().map(|v| Some(v * 1_000)).collect() },
        limit_at: None,
        unit: Unit::Time,
        chart: ChartView::default(),
        servers: vec![],
    }
}

fn proof(what: &str, seen: &str) -> ProofView {
    ProofView { what: what.into(), verdict: Verdict::Pass, seen: seen.into() }
}

fn rollback(name: &str, key: char, to: &str, armed: Armed, planes: &[&str]) -> RollbackView {
    RollbackView {
        name: name.into(),
        title: format!("rollback {name}"),
        key: Some(key),
        to: to.into(),
        armed,
        window_left_ms: Some(41 * 60_000),
        control_planes: planes.iter().map(|p| (*p).to_owned()).collect(),
        auto: false,
    }
}

pub fn shift_call(sent: bool) -> CallView {
    CallView {
        operation: "route53 ChangeResourceRecordSets".into(),
        control_plane: Some("us-east-1".into()),
        local: false,
        sent,
        state: if sent { "accepted" } else { "not sent" }.into(),
        lines: vec![
            DiffLine::Same("api.medzenhealth.app CNAME".into()),
            DiffLine::Minus("eu-central-1-primary  weight 10".into()),
            DiffLine::Plus("eu-central-1-primary  weight 50".into()),
            DiffLine::Minus("eu-west-1-failover    weight 90".into()),
            DiffLine::Plus("eu-west-1-failover    weight 50".into()),
        ],
    }
}

fn steps() -> (Vec<PhaseView>, Vec<StepView>) {
    use StepState::{Done, Pending};
    let phase =
        |title: &str, first_day, last_day, done, total| PhaseView { title: title.into(), first_day, last_day, done, total };
    let phases = vec![
        phase("Planning", 1, 2, 2, 2),
        phase("Preparation", 3, 4, 2, 2),
        phase("Migration", 5, 7, 3, 6),
        phase("Aftercare", 8, 10, 0, 2),
        phase("Testing", 11, 14, 0, 2),
        phase("Monitoring", 15, 21, 0, 1),
    ];
    let mut steps = vec![
        step("inventory", "Take stock of what runs in Ireland", 0, 1, "checklist", Done),
        step("budget", "Agree on downtime and cost", 0, 2, "approve", Done),
        step("ttl", "Lower the TTL of the API record to 60 s", 1, 3, "records", Done),
        step("backups", "Check the backups", 1, 4, "checklist", Done),
        step("stacks", "Create the Chime stack in Frankfurt", 2, 5, "stack", Done),
        step("replication", "Watch replication settle", 2, 6, "soak", Done),
        step("canary", "Send 10 % of the traffic to Frankfurt", 2, 7, "shift", Done),
        step("half", "Send 50 % of the traffic to Frankfurt", 2, 7, "shift", Pending),
        step("all", "Send all traffic to Frankfurt", 2, 7, "shift", Pending),
        step("go", "Approve the end of the migration", 2, 7, "approve", Pending),
        step("watch", "Watch for two days", 3, 8, "soak", Pending),
        step("close", "Delete the old stack", 3, 10, "stack", Pending),
        step("drill", "Rehearse the failover", 4, 11, "checklist", Pending),
        step("load", "Load test", 4, 14, "checklist", Pending),
        step("report", "Write the report", 5, 21, "checklist", Pending),
    ];
    steps[11].one_way = Some("a deleted stack is gone with what it held".into());
    (phases, steps)
}

/// A drill on its day of cutover: everything is well and the next step can be started.
pub fn calm() -> Snapshot {
    let (phases, steps) = steps();
    Snapshot {
        identity: Identity {
            drill: true,
            account: "558069890522".into(),
            plan: "medzen".into(),
            title: "MedZen moves from Ireland to Frankfurt".into(),
            plan_hash: "9f3c2b1a".into(),
            run: "01JD7K".into(),
            from: "eu-west-1".into(),
            to: "eu-central-1".into(),
            driver: "oncall-1".into(),
            epoch: 1,
            scenario: Some("first-minute".into()),
            seed: Some(7),
        },
        now: NOW,
        started: START,
        day: 7,
        days: 21,
        drill: Some(DrillView {
            speed: 10,
            skipping_to: None,
            faults: vec![
                ("Frankfurt answers nothing".into(), FaultKind::RegionDown("eu-central-1".into())),
                ("Ireland answers nothing".into(), FaultKind::RegionDown("eu-west-1".into())),
                ("recordings lag rises to 17m".into(), FaultKind::Lag(0, 1_020_000_000)),
            ],
        }),
        status: Status::Ready,
        phases,
        steps,
        current: Some(7),
        work: Some(WorkView {
            id: "half".into(),
            step: "half".into(),
            rollback: None,
            title: "Send 50 % of the traffic to Frankfurt".into(),
            note: "Half the patients are served from Frankfurt from here on; the support desk knows.".into(),
            action: "shift".into(),
            gives: Vec::new(),
            doing: String::new(),
            state: StepState::Pending,
            since: None,
            expected_ms: 120_000,
            window: None,
            gate: vec![
                condition("recordings lag max", "< 15m", "12s", 370_000, 300_000, Verdict::Pass),
                condition("api from Germany p95", "< 20ms", "14ms", 370_000, 300_000, Verdict::Pass),
                condition("Frankfurt errors", "< 0.1%", "0.03%", 370_000, 300_000, Verdict::Pass),
            ],
            verify: vec![condition("api from Germany p95", "< 20ms", "14ms", 0, 600_000, Verdict::Fail("not started".into()))],
            call: Some(shift_call(false)),
            items: vec![],
            approvals: None,
            change_set: vec![],
            confirm_word: None,
            output: vec![],
            conflict: None,
            blocked: None,
            override_people: 1,
            override_asked: vec![],
        }),
        traffic: vec![
            TrafficView {
                region: "eu-central-1".into(),
                label: "Frankfurt".into(),
                asked: Some(10),
                in_sync: Some(10),
                seen: Some(9),
                age_ms: Some(2_000),
            },
            TrafficView {
                region: "eu-west-1".into(),
                label: "Ireland".into(),
                asked: Some(90),
                in_sync: Some(90),
                seen: Some(91),
                age_ms: Some(2_000),
            },
        ],
        monitors: vec![
            monitor("Chime stack Frankfurt", "stack", "CREATE_COMPLETE", "", 4_000),
            monitor("Chime stack Ireland", "stack", "UPDATE_COMPLETE", "", 4_000),
            monitor("recordings lag", "metric", "12s", "max < 15m", 41_000),
            monitor("health records replica", "metric", "0.4s", "max < 60s", 9_000),
            monitor("api from Germany", "http", "9ms / 14ms", "p95 < 20ms", 1_000),
            monitor("api from Cameroon", "http", "88ms / 117ms", "p95 < 120ms", 3_000),
        ],
        undo: UndoView {
            armed: Armed::Armed,
            proofs: vec![
                proof("window open", "41m left"),
                proof("target healthy", "Ireland answers, 3s ago"),
                proof("records read, unchanged", "1 call(s), read 12s ago"),
                proof("credentials last", "2h5m left"),
            ],
            name: "immediate".into(),
            to: "eu-west-1".into(),
            window_left_ms: Some(41 * 60_000),
            calls: 1,
            expected_ms: 130_000,
            restores: "all traffic to Ireland, as before the canary".into(),
            will_not_undo: vec![],
            at_risk: "0 objects not yet replicated".into(),
        },
        rollbacks: vec![
            rollback("immediate", '1', "eu-west-1", Armed::Armed, &["us-east-1"]),
            rollback("switch", '2', "eu-west-1", Armed::Armed, &[]),
            rollback("forward", '3', "eu-central-1", Armed::NotArmed("Frankfurt is not healthy: timeout".into()), &["us-east-1"]),
        ],
        credentials_expire: Some(NOW + 7_500_000),
        rolling_back: false,
        rolled_back: false,
        offer: None,
        outage: None,
        alerts: vec![],
        budget_ms: 1_814_000,
        downtime_ms: 94_000,
        availability: availability(),
        calendar: DaysView::default(),
        about: cutover::run::snapshot::AboutView::default(),
        journal: (0..14)
            .map(|n| JournalLine {
                seq: 399 + n,
                at: NOW - (14 - i64::try_from(n).unwrap()) * 7_000,
                kind: ["gate", "intent", "outcome", "step"][usize::try_from(n % 4).unwrap()].into(),
                text: [
                    "canary: every condition holds",
                    "canary: route53 ChangeResourceRecordSets, token 5f2c",
                    "canary: accepted as C2682N5HXP0BZ4",
                    "canary: done in 1m38s",
                ][usize::try_from(n % 4).unwrap()]
                .into(),
            })
            .collect(),
        ledger: LedgerView { seq: 412, durable: 412, head: "5f2c9d0e11".into(), ..LedgerView::default() },
        verbs: vec![
            (Verb::Hold, None),
            (Verb::Rollback, None),
            (Verb::Next, None),
            (Verb::GoOn, None),
            (Verb::Undo, None),
            (Verb::Drill, None),
        ],
        result: None,
    }
}

/// The calendar on Sunday of the first week: one day was early, one a day late, and one that is late is not over.
pub fn in_the_calendar() -> Snapshot {
    let mut snapshot = calm();
    let weekdays = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let actual = [
        ("09:02 - 11:40", "done", 0),
        ("06-09 16:00 - 16:20", "06-09", -1),
        ("09:00 - 09:02", "done", 0),
        ("10:15 - 06-13 08:30", "06-13", 0),
        ("06-14 22:05 - 22:43", "06-14", 1),
        ("begun 06-15 05:10", "begun", 1),
        ("begun 14:31", "begun", 0),
    ];
    let day = |number: u32| {
        let index = usize::try_from(number - 1).unwrap();
        let steps: Vec<usize> = (0..snapshot.steps.len()).filter(|id| snapshot.steps[*id].day == number).collect();
        let (actual, short, slip_days) = *actual.get(index).unwrap_or(&("", "", 0));
        DayView {
            day: number,
            date: format!("2025-06-{:02}", number + 8),
            weekday: weekdays[index % 7].into(),
            today: number == 7,
            phases: (0..6)
                .filter(|id| (snapshot.phases[*id].first_day..=snapshot.phases[*id].last_day).contains(&number))
                .collect(),
            done: steps.iter().filter(|id| snapshot.steps[**id].state.is_over()).count(),
            expected_ms: 2_280_000 * i64::try_from(steps.len()).unwrap(),
            hours: if number == 7 { "22:00-04:00".into() } else { String::new() },
            began: (!actual.is_empty()).then_some(START),
            ended: (!actual.is_empty() && number < 6).then_some(NOW),
            actual: actual.into(),
            actual_short: short.into(),
            slip_days,
            steps,
        }
    };
    let mut days: Vec<DayView> = (1..=21).map(day).collect();
    (days[5].done, days[13].phases) = (0, vec![4, 5]);
    snapshot.calendar = DaysView {
        zone: "Europe/Berlin".into(),
        today: "day 7 of 21, Sun 2025-06-15 19:20 CEST".into(),
        days,
        windows: vec![
            OpeningView {
                text: "Sat-Sun 22:00-04:00 Europe/Berlin".into(),
                steps: vec![7, 8],
                left: 2,
                words: "shut, opens Sun 2025-06-15 22:00 CEST (in 2h40m)".into(),
                ..OpeningView::default()
            },
            OpeningView {
                text: "Mon-Fri 09:00-17:00 Europe/Berlin".into(),
                steps: vec![0],
                words: "shut, opens Mon 2025-06-16 09:00 CEST (in 13h40m)".into(),
                ..OpeningView::default()
            },
        ],
        end: EndView {
            planned: "2025-06-29".into(),
            slip_days: 1,
            words: "planned Sun 2025-06-29; at the earliest Mon 2025-06-30 09:38 CEST (in 14d14h, 1 day late)".into(),
            ..EndView::default()
        },
    };
    snapshot
}

pub fn block(snapshot: &mut Snapshot, verb: Verb, reason: &str) {
    for (other, why) in &mut snapshot.verbs {
        if *other == verb {
            *why = Some(reason.to_owned());
        }
    }
}

/// The gate of the next step does not open, and an alert says why.
pub fn blocked() -> Snapshot {
    let mut snapshot = calm();
    let why = "recordings lag 17m, must be < 15m";
    let work = snapshot.work.as_mut().unwrap();
    work.gate[0] = condition("recordings lag max", "< 15m", "17m", 0, 300_000, Verdict::Fail("17m".into()));
    work.gate[2] = condition("Frankfurt errors", "< 0.1%", "0.03%", 38_000, 300_000, Verdict::Fail("not yet".into()));
    work.blocked = Some(why.into());
    block(&mut snapshot, Verb::Next, why);
    snapshot.verbs.push((Verb::Acknowledge, None));
    snapshot.alerts = vec![
        AlertView {
            level: Level::Caution,
            text: "recordings lag 17m > 15m: the gate of 'half' does not open".into(),
            since: NOW - 240_000,
            acknowledged: false,
        },
        AlertView { level: Level::Advisory, text: "credentials end in 2h".into(), since: NOW - 60_000, acknowledged: true },
    ];
    snapshot.monitors[2].value = "17m".into();
    snapshot.monitors[2].level = Level::Caution;
    snapshot
}

/// Frankfurt fails while it has half of the traffic.
pub fn outage() -> Snapshot {
    let mut snapshot = calm();
    snapshot.status = Status::Running;
    snapshot.steps[7].state = StepState::Verifying;
    snapshot.steps[7].started = Some(NOW - 95_000);
    let work = snapshot.work.as_mut().unwrap();
    work.state = StepState::Verifying;
    work.since = Some(NOW - 60_000);
    work.doing = "waiting for the verify to hold".into();
    work.call = Some(shift_call(true));
    work.verify[0] = condition("api from Germany p95", "< 20ms", "-", 0, 600_000, Verdict::Unknown("no samples".into()));
    snapshot.traffic[0].asked = Some(50);
    snapshot.traffic[0].in_sync = Some(50);
    snapshot.traffic[0].seen = Some(44);
    snapshot.traffic[1].asked = Some(50);
    snapshot.traffic[1].in_sync = Some(50);
    snapshot.traffic[1].seen = Some(56);
    snapshot.outage = Some(OutageView {
        began: NOW - 38_000,
        detected: NOW - 18_000,
        decided: None,
        acted: None,
        ended: None,
        failing_ppm: 441_000,
    });
    snapshot.alerts = vec![AlertView {
        level: Level::Warning,
        text: "Frankfurt answers nothing: 44.1 % of requests fail".into(),
        since: NOW - 18_000,
        acknowledged: false,
    }];
    snapshot.monitors[4].value = "timeout".into();
    snapshot.monitors[4].level = Level::Warning;
    snapshot.monitors[4].spark = vec![Some(4), Some(5), Some(9), None, None, None];
    snapshot.undo.at_risk = "3 objects not yet replicated".into();
    snapshot.verbs = vec![
        (Verb::Hold, None),
        (Verb::Rollback, None),
        (Verb::Next, Some("'half' is going on".into())),
        (Verb::Undo, None),
        (Verb::Acknowledge, None),
        (Verb::Drill, None),
    ];
    snapshot
}

/// The rollback is shown and waits.
pub fn offered() -> Snapshot {
    let mut snapshot = outage();
    snapshot.status = Status::Held { reason: "rollback is being looked at".into(), by: "oncall-1".into(), since: NOW - 2_000 };
    snapshot.offer = Some(OfferView {
        name: "immediate".into(),
        to: "eu-west-1".into(),
        why: "'canary' started 19m ago, and 'immediate' applies for 1h after it".into(),
        calls: vec![CallView {
            lines: vec![
                DiffLine::Same("api.medzenhealth.app CNAME".into()),
                DiffLine::Minus("eu-central-1-primary  weight 50".into()),
                DiffLine::Plus("eu-central-1-primary  weight 0".into()),
                DiffLine::Minus("eu-west-1-failover    weight 50".into()),
                DiffLine::Plus("eu-west-1-failover    weight 100".into()),
            ],
            ..shift_call(false)
        }],
        by_hand: vec!["tell the support desk".into()],
        restores: "all traffic to Ireland, as before the canary".into(),
        will_not_undo: vec![],
        at_risk: "3 objects not yet replicated (lag 12s)".into(),
        expected_ms: 130_000,
        fingerprint: Some("f1".into()),
        confirm_word: None,
        caution: None,
        conflict: None,
    });
    snapshot
}

/// Two sources have gone silent.
pub fn stale() -> Snapshot {
    let mut snapshot = calm();
    snapshot.monitors[2].freshness = Freshness::Stale;
    snapshot.monitors[2].age_ms = Some(400_000);
    snapshot.monitors[3].freshness = Freshness::Missing;
    snapshot.monitors[3].value = String::new();
    snapshot.monitors[3].age_ms = None;
    snapshot.monitors[3].spark = vec![];
    snapshot.traffic[0].seen = None;
    snapshot.traffic[0].age_ms = None;
    let why = "recordings lag is unknown: last seen 6m40s ago";
    let work = snapshot.work.as_mut().unwrap();
    work.gate[0] = condition("recordings lag max", "< 15m", "-", 0, 300_000, Verdict::Unknown("stale".into()));
    work.blocked = Some(why.into());
    block(&mut snapshot, Verb::Next, why);
    snapshot.undo.armed = Armed::NotArmed("Ireland has not answered its probe for 31s".into());
    snapshot.identity.drill = false;
    snapshot.identity.scenario = None;
    snapshot.drill = None;
    snapshot.verbs.retain(|(verb, _)| *verb != Verb::Drill);
    snapshot
}

/// A minute and a half of downtime, most of it for certain.
fn availability() -> AvailabilityView {
    let down = |label: &str, certain_ms, possible_ms, unmeasured_ms| DownView {
        name: label.into(),
        label: label.into(),
        vantages: 3,
        quorum: 2,
        since: Some(NOW - 6 * 86_400_000),
        certain_ms,
        possible_ms,
        unmeasured_ms,
    };
    AvailabilityView {
        burnt_ms: 0,
        service: down("the service", 82_000, 94_000, 0),
        regions: vec![down("Ireland", 82_000, 94_000, 0), down("Frankfurt", 0, 240_000, 240_000)],
        projected_ms: Some((278_000, 319_000)),
        steps: vec![StepDownView { step: "canary".into(), certain_ms: 82_000, possible_ms: 94_000 }],
    }
}

/// It was rolled back, and this is what it took.
pub fn finished() -> Snapshot {
    let mut snapshot = calm();
    snapshot.status = Status::Finished(Outcome::RolledBack);
    snapshot.work = None;
    snapshot.steps[7].state = StepState::Undone;
    snapshot.steps[6].state = StepState::Undone;
    snapshot.verbs = vec![];
    snapshot.downtime_ms = 196_000;
    snapshot.availability.service.certain_ms = 184_000;
    snapshot.availability.service.possible_ms = 196_000;
    snapshot.outage = Some(OutageView {
        began: NOW - 200_000,
        detected: NOW - 180_000,
        decided: Some(NOW - 172_000),
        acted: Some(NOW - 169_000),
        ended: Some(NOW - 98_000),
        failing_ppm: 0,
    });
    snapshot.result = Some(ResultView {
        outcome: Outcome::RolledBack,
        rollback: Some(("immediate".into(), NOW - 172_000, 3_000)),
        rto: Some(RtoView { detect_ms: 20_000, decide_ms: 8_000, act_ms: 3_000, recover_ms: 71_000, total_ms: 102_000 }),
        rpo_ms: Some(12_000),
        downtime_ms: 196_000,
        budget_ms: 1_814_000,
        failed_requests: Some(1_312),
        objective_rto_ms: 600_000,
        objective_rpo_ms: 900_000,
    });
    snapshot
}

/// The first frame of a drill: the days before its opening step are still to be rehearsed.
pub fn rehearsing() -> Snapshot {
    let mut snapshot = calm();
    snapshot.drill.as_mut().unwrap().skipping_to = Some(NOW + 600_000);
    snapshot.ledger.durable = 0;
    snapshot
}

/// A live run without some of its vantages: a sentence stands where a number should be.
pub fn disconnected() -> Snapshot {
    let mut snapshot = stale();
    for monitor in &mut snapshot.monitors[4..] {
        monitor.freshness = Freshness::Missing;
        monitor.value = "vantage germany is not connected: this release measures from local only".into();
        monitor.spark = vec![];
    }
    snapshot
}

/// The rollback's calls are in sync, and users are not all served yet.
pub fn draining() -> Snapshot {
    let mut snapshot = outage();
    snapshot.status = Status::RollingBack { name: "immediate".into() };
    let outage = snapshot.outage.as_mut().unwrap();
    outage.decided = Some(NOW - 12_000);
    outage.acted = Some(NOW - 5_000);
    snapshot
}

/// A checklist is open.
pub fn checklist() -> Snapshot {
    let mut snapshot = calm();
    snapshot.status = Status::Running;
    snapshot.steps[7].state = StepState::Running;
    snapshot.steps[7].action = "checklist".into();
    let work = snapshot.work.as_mut().unwrap();
    work.state = StepState::Running;
    work.since = Some(NOW - 5_000);
    work.call = None;
    work.gate.clear();
    work.verify.clear();
    work.items =
        vec![("phones are answered".into(), true), ("status page is up".into(), false), ("backup is there".into(), false)];
    snapshot.verbs = vec![(Verb::Hold, None), (Verb::Rollback, None), (Verb::Tick, None)];
    snapshot
}

/// A change set is shown and waits to be executed; it replaces something.
pub fn change_set() -> Snapshot {
    let mut snapshot = calm();
    snapshot.status = Status::Running;
    snapshot.steps[7].state = StepState::Running;
    let change = |action: &str, logical_id: &str, resource_type: &str, replacement: &str| ResourceChange {
        action: action.into(),
        logical_id: logical_id.into(),
        resource_type: resource_type.into(),
        replacement: replacement.into(),
    };
    let work = snapshot.work.as_mut().unwrap();
    work.state = StepState::Running;
    work.since = Some(NOW - 5_000);
    work.call = None;
    work.gate.clear();
    work.verify.clear();
    work.doing = "the change set waits to be executed".into();
    work.change_set = vec![
        change("Add", "MediaBucket", "AWS::S3::Bucket", ""),
        change("Modify", "MeetingsTable", "AWS::DynamoDB::Table", "True"),
    ];
    work.confirm_word = Some("eu-central-1".into());
    snapshot
}

/// us-east-1 is away: what needs Route 53's control plane is not armed, and the data-plane switch is what applies.
pub fn control_plane_away() -> Snapshot {
    let mut snapshot = outage();
    let why = "Route 53's control plane (us-east-1): cannot read api.medzenhealth.app: no answer";
    snapshot.rollbacks[0].armed = Armed::NotArmed(why.into());
    snapshot.rollbacks[1].window_left_ms = None;
    snapshot.rollbacks[2].auto = true;
    let undo = &mut snapshot.undo;
    undo.name = "switch".into();
    undo.window_left_ms = None;
    undo.restores = "all traffic to Ireland, by the health check alone".into();
    undo.proofs = vec![
        proof("target healthy", "Ireland answers, 3s ago"),
        proof("records read, unchanged", "1 call(s)"),
        proof("regions' APIs answer", "eu-west-1"),
        proof("switch is wired", "hc-frankfurt on the record, read 4m ago"),
        proof("credentials last", "2h5m left"),
    ];
    undo.will_not_undo = vec!["Delete the old stack".into()];
    snapshot.alerts.push(AlertView {
        level: Level::Caution,
        text: "no answer from the cloud: us-east-1 cannot be reached".into(),
        since: NOW - 9_000,
        acknowledged: false,
    });
    snapshot
}

/// Somebody else has changed the record: the rollback is shown, not armed, with both sides.
pub fn conflicted() -> Snapshot {
    let mut snapshot = offered();
    let why = "somebody else changed it: this run left 'api.medzenhealth.app CNAME eu-central-1-primary weight 50', \
               now it is 'api.medzenhealth.app CNAME eu-central-1-primary weight 75'";
    snapshot.rollbacks[0].armed = Armed::NotArmed(why.into());
    snapshot.undo.armed = Armed::NotArmed(why.into());
    snapshot.undo.proofs[1].verdict = Verdict::Unknown("no fresh probe of Ireland".into());
    snapshot.undo.proofs[2].verdict = Verdict::Fail(why.into());
    let offer = snapshot.offer.as_mut().unwrap();
    offer.caution = Some(why.into());
    offer.will_not_undo = vec!["Delete the old stack".into()];
    offer.confirm_word = Some("eu-west-1".into());
    let record = |weight| format!("api.medzenhealth.app CNAME eu-central-1-primary weight {weight} -> d-1.example");
    offer.conflict = Some(Conflict { before: record(50), now: record(75), wanted: record(0) });
    snapshot
}

/// A step has failed: it can be tried again, left out, done by hand, or the ramp taken back.
pub fn failed() -> Snapshot {
    let mut snapshot = calm();
    let why = "conflict: the record is not as it was read";
    snapshot.steps[7].state = StepState::Failed;
    snapshot.steps[7].reason = why.into();
    let work = snapshot.work.as_mut().unwrap();
    work.state = StepState::Failed;
    work.since = Some(NOW - 20_000);
    work.doing = format!("failed: {why}");
    snapshot.alerts =
        vec![AlertView { level: Level::Warning, text: format!("half failed: {why}"), since: NOW - 20_000, acknowledged: false }];
    for verb in [Verb::BackOff, Verb::Skip, Verb::DoneByHand, Verb::Acknowledge] {
        snapshot.verbs.push((verb, None));
    }
    snapshot.verbs.push((Verb::Override, Some("its gate is open".into())));
    snapshot
}

/// The gate of the next step is shut, the plan wants two people for an override, and one has asked.
pub fn shut() -> Snapshot {
    let mut snapshot = blocked();
    let work = snapshot.work.as_mut().unwrap();
    work.gate[1].verdict = Verdict::Unknown("no fresh reading".into());
    work.override_people = 2;
    work.override_asked = vec![("lead-2".into(), "the lag is of yesterday's test".into())];
    for verb in [Verb::Override, Verb::Skip, Verb::DoneByHand, Verb::BackOff] {
        snapshot.verbs.push((verb, None));
    }
    snapshot
}

/// A step of a rollback has failed, and the rollback holds.
pub fn rollback_failed() -> Snapshot {
    let mut snapshot = outage();
    let why = "AccessDenied: not authorized to delete the stack";
    let hold = format!("rollback full-delete-chime failed: {why}");
    snapshot.status = Status::Held { reason: hold, by: "engine".into(), since: NOW - 20_000 };
    let work = snapshot.work.as_mut().unwrap();
    work.id = "rollback full-delete-chime".into();
    work.step = "full-delete-chime".into();
    work.rollback = Some("full".into());
    work.title = "Delete the Chime stack, keep key and buckets".into();
    work.note = String::new();
    work.state = StepState::Failed;
    work.doing = format!("failed: {why}");
    work.call = None;
    work.verify.clear();
    work.gate.clear();
    snapshot.verbs = vec![
        (Verb::Hold, Some("held already".into())),
        (Verb::Continue, None),
        (Verb::Rollback, Some("a rollback is going on".into())),
        (Verb::Skip, None),
        (Verb::Override, Some("nothing waits for its proof".into())),
        (Verb::DoneByHand, Some("a rollback is going on: skip its step, with what was done as the reason".into())),
    ];
    snapshot
}

/// Somebody changed the record between the confirmation of a rollback and its first call.
pub fn rollback_conflicted() -> Snapshot {
    let mut snapshot = rollback_failed();
    let record = |weight: u32| format!("api.medzenhealth.app A [eu-central-1-primary] weight {weight} alias d-frankfurt");
    let conflict = Conflict { before: record(50), now: record(70), wanted: record(0) };
    let why = format!("conflict: somebody else changed it: it was '{}', now it is '{}'", conflict.before, conflict.now);
    snapshot.status =
        Status::Held { reason: format!("rollback traffic-back failed: {why}"), by: "engine".into(), since: NOW - 20_000 };
    let work = snapshot.work.as_mut().unwrap();
    work.id = "rollback traffic-back".into();
    work.step = "traffic-back".into();
    work.rollback = Some("immediate".into());
    work.title = "All traffic back to Ireland".into();
    work.doing = format!("failed: {why}");
    work.conflict = Some(conflict);
    snapshot
}

/// A step of a rollback waits for the proof that nothing needs any more what it deletes.
pub fn proof_missing() -> Snapshot {
    let mut snapshot = rollback_failed();
    snapshot.status = Status::RollingBack { name: "full".into() };
    let work = snapshot.work.as_mut().unwrap();
    work.state = StepState::Pending;
    work.doing = String::new();
    work.gate = vec![condition(
        "requests in Frankfurt max",
        "< 1/min",
        "40/min",
        0,
        900_000,
        Verdict::Fail("requests in Frankfurt max is 40/min, must be < 1/min".into()),
    )];
    work.blocked = Some("waits for its proof: requests in Frankfurt max is 40/min, must be < 1/min".into());
    snapshot.verbs = vec![(Verb::Hold, None), (Verb::Override, None), (Verb::Skip, None)];
    snapshot
}

/// The last stage of the ramp is about to be taken back.
pub fn backing_off() -> Snapshot {
    let mut snapshot = offered();
    let offer = snapshot.offer.as_mut().unwrap();
    offer.name = "undo half".into();
    offer.to = String::new();
    offer.why = "takes back one step".into();
    offer.restores = "what the step changed".into();
    offer.by_hand.clear();
    offer.fingerprint = Some("b1".into());
    snapshot.verbs.push((Verb::BackOff, None));
    snapshot
}
