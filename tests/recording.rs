//! Recordings of the cockpit, read by a parser and a small terminal of the test's own: what a player would show.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A folder, and headless drills that keep everything in it.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Desk {
        Desk { folder: tempfile::tempdir().unwrap() }
    }

    fn cast(&self) -> PathBuf {
        self.folder.path().join("drill.cast")
    }

    /// A headless drill; gives the exit code, its report, and what it said beside it.
    fn drill(&self, plan: &str, more: &[&str]) -> (i32, Value, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_cutover"))
            .args(["drill", plan, "--auto", "--json"])
            .args(more)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("TERM", "xterm-256color")
            .env("CUTOVER_STATE_DIR", self.folder.path().join("runs"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code().unwrap(), report, String::from_utf8(output.stderr).unwrap())
    }

    fn recorded(&self, plan: &str, scenario: &str, more: &[&str]) -> (Cast, Value) {
        let cast = self.cast();
        let args = ["--scenario", scenario, "--record", cast.to_str().unwrap()];
        let (_, report, said) = self.drill(plan, &[&args, more].concat());
        assert!(said.contains("recorded: "), "{said}");
        (Cast::read(&cast), report)
    }
}

/// A recording as a player reads it.
struct Cast {
    head: Value,
    events: Vec<(f64, String, String)>,
}

impl Cast {
    fn read(path: &Path) -> Cast {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.ends_with('\n'));
        let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let head = lines.next().unwrap();
        let event = |line: Value| {
            let [time, kind, data] = line.as_array().unwrap().as_slice() else { panic!("no event: {line}") };
            (time.as_f64().unwrap(), kind.as_str().unwrap().to_owned(), data.as_str().unwrap().to_owned())
        };
        Cast { head, events: lines.map(event).collect() }
    }

    /// What the terminal shows after so many seconds.
    fn screen_at(&self, seconds: f64) -> String {
        let size = |name: &str| usize::try_from(self.head[name].as_u64().unwrap()).unwrap();
        let mut terminal = Terminal::new(size("width"), size("height"));
        for (_, kind, data) in self.events.iter().take_while(|event| event.0 <= seconds) {
            assert_eq!(kind, "o");
            terminal.feed(data);
        }
        terminal.text()
    }

    fn last_screen(&self) -> String {
        self.screen_at(f64::MAX)
    }

    fn seconds(&self) -> f64 {
        self.events.last().unwrap().0
    }

    /// Whether some frame shows this.
    fn ever_shows(&self, needle: &str) -> bool {
        self.events.iter().any(|event| self.screen_at(event.0).contains(needle))
    }
}

/// As much of a terminal as a frame needs: places, erasing, and text. Anything else is an error of the recording.
struct Terminal {
    cells: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Terminal {
    fn new(width: usize, height: usize) -> Terminal {
        Terminal { cells: vec![vec![' '; width]; height], row: 0, column: 0 }
    }

    fn feed(&mut self, data: &str) {
        let mut rest = data.chars();
        while let Some(c) = rest.next() {
            if c != '\x1b' {
                assert!(!c.is_control(), "a control character {c:?} in a frame");
                self.cells[self.row][self.column] = c;
                self.column += 1;
                continue;
            }
            assert_eq!(rest.next(), Some('['), "only CSI sequences are expected");
            let mut parameters = String::new();
            let last = loop {
                match rest.next().unwrap() {
                    last @ '@'..='~' => break last,
                    other => parameters.push(other),
                }
            };
            let number = |index: usize| parameters.split(';').nth(index).and_then(|n| n.parse::<usize>().ok()).unwrap_or(1);
            match (last, parameters.as_str()) {
                ('H', _) => (self.row, self.column) = (number(0) - 1, number(1) - 1),
                ('J', "2") => self.cells.iter_mut().for_each(|row| row.fill(' ')),
                ('m', _) | ('h' | 'l', "?25") => {}
                other => panic!("{other:?} is not expected in a frame"),
            }
        }
    }

    fn text(&self) -> String {
        self.cells.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned() + "\n").collect()
    }
}

#[test]
fn a_headless_drill_is_recorded_as_a_cockpit_that_can_be_watched_in_a_minute() {
    let (cast, report) = Desk::new().recorded("medzen", "region-outage", &[]);
    assert_eq!(
        (cast.head["version"].as_u64(), cast.head["width"].as_u64(), cast.head["height"].as_u64()),
        (Some(2), Some(120), Some(40))
    );
    assert!(cast.head["timestamp"].as_u64().unwrap() > 1_700_000_000);
    assert_eq!(cast.head["env"]["TERM"], "xterm-256color");
    assert!(cast.head["title"].as_str().unwrap().contains("SIMULATED"));
    assert!(cast.events.is_sorted_by(|a, b| a.0 <= b.0), "time runs backwards");
    assert!((10.0..=60.0).contains(&cast.seconds()), "{} s", cast.seconds());
    // The rollback as a person would have seen it: shown, then confirmed.
    assert!(cast.ever_shows("Roll back? '"));
    assert!(cast.ever_shows("ROLLING BACK"));
    assert!(cast.ever_shows("OUTAGE 00:"));
    let last = cast.last_screen();
    for needle in ["Result (SIMULATED)", "ROLLED BACK", "RTO", "failed requests", "detect"] {
        assert!(last.contains(needle), "{needle} is not on the last frame:\n{last}");
    }
    let failed = report["failed_requests"].as_u64().unwrap();
    assert!(failed > 0 && last.contains(&failed.to_string()), "{failed} is not on the last frame:\n{last}");
    let frames = cast.events.iter().filter(|event| event.2.len() > 50).count();
    assert!(frames > 100, "only {frames} frames");
}

#[test]
fn recording_changes_nothing_in_the_journal() {
    let (_, plain, _) = Desk::new().drill("failover-drill", &["--scenario", "region-outage"]);
    let (cast, recorded) = Desk::new().recorded("failover-drill", "region-outage", &["--ascii"]);
    assert_eq!(plain["journal_head"], recorded["journal_head"]);
    assert!(plain["journal_head"].is_string());
    assert!(cast.last_screen().is_ascii(), "{}", cast.last_screen());
}

#[test]
fn a_drill_without_an_outage_ends_with_its_card_too() {
    let (cast, _) = Desk::new().recorded("failover-drill", "calm", &[]);
    let last = cast.last_screen();
    assert!(last.contains("COMPLETED") && last.contains("no outage was measured"), "{last}");
}

#[test]
fn a_file_that_is_there_is_refused_before_anything_begins() {
    let desk = Desk::new();
    fs::write(desk.cast(), "precious").unwrap();
    let (code, report, said) = desk.drill("failover-drill", &["--record", desk.cast().to_str().unwrap()]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("is there already"), "{said}");
    assert_eq!(report, Value::Null);
    assert_eq!(fs::read_to_string(desk.cast()).unwrap(), "precious");
    // The log for diagnostics may be there already.
    let folders = fs::read_dir(desk.folder.path().join("runs")).into_iter().flatten().flatten();
    let begun = folders.filter(|entry| entry.path().is_dir()).count();
    assert_eq!(begun, 0, "a run was begun");
    let nowhere = desk.folder.path().join("no/such/folder.cast");
    let (code, _, said) = desk.drill("failover-drill", &["--record", nowhere.to_str().unwrap()]);
    assert_eq!(code, 2, "{said}");
}
