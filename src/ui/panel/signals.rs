//! What is really seen: traffic, monitors, the outage's clock, the error budget. Every number has its age.

use ratatui::text::{Line, Span};

use super::Content;
use crate::run::snapshot::{DownView, Freshness, Level, MonitorView, ServerView, Snapshot};
use crate::ui::text;
use crate::ui::theme::Theme;
use crate::ui::widget::table::{self, Cell, Column};

/// Cells of a traffic bar.
const BAR: usize = 10;
/// Cells of a sparkline.
const SPARK: usize = 12;

/// A value longer than this is a sentence and no number: it may be cut.
const VALUE: usize = 21;
/// As far as this no name is cut before everything else has given way.
const NAME: usize = 20;

/// The panel; when it fills the screen a monitor is `chosen`, and every sentence is there in full.
#[must_use]
pub fn content(snapshot: &Snapshot, theme: &Theme, chosen: Option<usize>, width: usize) -> Content {
    let mut lines = Vec::new();
    lines.extend(outage(snapshot, theme));
    lines.extend(traffic(snapshot, theme, width));
    lines.push(Line::default());
    if chosen.is_some() {
        lines.extend(availability(snapshot, theme, width));
    } else {
        lines.push(budget(snapshot, theme));
    }
    lines.push(Line::default());
    // The heading of the table comes before the first monitor.
    let home = chosen.filter(|chosen| *chosen > 0).map_or(0, |chosen| lines.len() + 1 + chosen);
    lines.extend(monitors(snapshot, theme, chosen, width));
    if chosen.is_some() {
        lines.extend(snapshot.monitors.iter().flat_map(|monitor| servers(monitor, theme, width)));
        lines.extend(in_full(snapshot, theme, width));
    }
    Content { lines, home }
}

/// What the table may have had to cut.
fn in_full(snapshot: &Snapshot, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    let mut out = Vec::new();
    let told = |monitor: &&MonitorView| text::width(&monitor.value) > VALUE || !monitor.detail.is_empty();
    for monitor in snapshot.monitors.iter().filter(told) {
        out.push(Line::default());
        out.push(Line::styled(text::cut(&monitor.title, width, theme.glyphs.ellipsis), theme.dim()));
        let style = theme.reading(monitor.freshness, monitor.level);
        for sentence in [&monitor.value, &monitor.detail].into_iter().filter(|sentence| !sentence.is_empty()) {
            let parts = text::wrap(sentence, width.saturating_sub(2));
            out.extend(parts.into_iter().map(|part| Line::styled(format!("  {part}"), style)));
        }
    }
    out
}

/// What each name server of a monitor said: the chosen resolvers, which keep what they have until its TTL is over, and the
/// zone's own, which show what is in sync.
fn servers(monitor: &MonitorView, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    if monitor.servers.is_empty() {
        return Vec::new();
    }
    let columns = [
        Column::fixed("", 0),
        Column::flexible("server", 9),
        Column::fixed("", 2),
        Column::flexible("leads to", 9),
        Column::fixed("ttl", 0).right(),
        Column::flexible("answer", 9),
    ];
    let row = |server: &ServerView| {
        let style = match (monitor.freshness, server.moved) {
            (Freshness::Fresh, true) => theme.plain(),
            (Freshness::Fresh, false) => theme.strong(),
            _ => theme.dim(),
        };
        let glyph = match (&server.answer, &server.region) {
            (None, _) => "-",
            (Some(_), None) => "?",
            (Some(_), Some(_)) => " ",
        };
        let said = match (&server.answer, &server.trouble) {
            (Some(answer), Some(trouble)) => format!("{answer}: {trouble}"),
            (Some(answer), None) => answer.clone(),
            (None, trouble) => trouble.clone().unwrap_or_default(),
        };
        vec![
            (glyph.to_owned(), style),
            (server.name.clone(), style),
            (if server.zone { "zone" } else { "" }.to_owned(), theme.dim()),
            (server.region.clone().unwrap_or_else(|| "?".to_owned()), style),
            (server.ttl_s.map_or_else(|| "-".to_owned(), |ttl| text::span(i64::from(ttl) * 1_000)), style),
            (said, theme.dim()),
        ]
    };
    let mut out = vec![Line::default(), Line::styled(text::cut(&monitor.title, width, theme.glyphs.ellipsis), theme.dim())];
    out.extend(table::lines(&columns, monitor.servers.iter().map(row).collect(), width, theme.dim(), theme.glyphs.ellipsis));
    out
}

/// For how long an outage has been running, if one is.
#[must_use]
pub fn outage_running(snapshot: &Snapshot) -> Option<i64> {
    let outage = snapshot.outage.as_ref()?;
    outage.ended.is_none().then_some(snapshot.now - outage.began)
}

fn outage(snapshot: &Snapshot, theme: &Theme) -> Vec<Line<'static>> {
    let Some(view) = &snapshot.outage else { return Vec::new() };
    if let Some(ended) = view.ended {
        let took = text::span((ended - view.began) / 1000 * 1000);
        return vec![Line::styled(format!("last outage {took}, ended {}", text::clock(ended)), theme.dim()), Line::default()];
    }
    let clock = Line::styled(
        format!("OUTAGE {}  {} of requests fail", text::stopwatch(snapshot.now - view.began), percent(view.failing_ppm)),
        theme.warning(),
    );
    let stage = match (view.decided, view.acted) {
        (_, Some(_)) => "the calls are in sync; resolvers still have to forget",
        (Some(_), None) => "the rollback is confirmed",
        (None, None) => "nothing is decided yet",
    };
    vec![clock, Line::raw(stage), Line::default()]
}

fn percent(ppm: i64) -> String {
    format!("{}.{} %", ppm / 10_000, ppm % 10_000 / 1_000)
}

fn traffic(snapshot: &Snapshot, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    let columns = [
        Column::flexible("traffic in %", 9),
        Column::fixed("asked", 0).right(),
        Column::fixed("in sync", 0).right(),
        Column::fixed("seen", 0).right(),
        Column::fixed("", 2),
        Column::fixed("age", 1).right(),
    ];
    let share = |value: Option<u32>| value.map_or_else(|| "?".to_owned(), |value| value.to_string());
    let rows = snapshot
        .traffic
        .iter()
        .map(|region| {
            let moving = region.asked != region.in_sync || region.asked != region.seen;
            let style = if moving { theme.strong() } else { theme.plain() };
            vec![
                (region.label.clone(), theme.plain()),
                (share(region.asked), theme.plain()),
                (share(region.in_sync), theme.plain()),
                (share(region.seen), style),
                (bar(region.seen, theme), theme.dim()),
                (region.age_ms.map_or_else(|| "-".to_owned(), text::age), theme.dim()),
            ]
        })
        .collect();
    table::lines(&columns, rows, width, theme.dim(), theme.glyphs.ellipsis)
}

fn bar(share: Option<u32>, theme: &Theme) -> String {
    let Some(share) = share else { return String::new() };
    let share = usize::try_from(share.min(100)).unwrap_or(100);
    // Rounded, but only nothing is empty and only everything is full.
    let full = match share {
        0 => 0,
        100 => BAR,
        share => ((share * BAR + 50) / 100).clamp(1, BAR - 1),
    };
    format!("{}{}", theme.glyphs.full.repeat(full), theme.glyphs.empty.repeat(BAR - full))
}

fn monitors(snapshot: &Snapshot, theme: &Theme, chosen: Option<usize>, width: usize) -> Vec<Line<'static>> {
    let mut rows: Vec<Vec<Cell>> = snapshot.monitors.iter().map(|monitor| monitor_row(monitor, theme)).collect();
    if let Some(chosen) = chosen {
        for (index, row) in rows.iter_mut().enumerate() {
            let pointer = if index == chosen { theme.glyphs.pointer } else { " " };
            row[0].0.insert_str(0, pointer);
        }
    }
    // Numbers and states are never cut, sentences are: a name is worth more than the end of a sentence.
    let value = rows.iter().map(|row| text::width(&row[2].0)).filter(|wide| *wide <= VALUE).max().unwrap_or(0).max(12);
    let columns = [
        Column::fixed("", 0),
        Column::flexible("monitor", NAME),
        Column::flexible("value", value),
        Column::fixed("limit", 2),
        Column::fixed("", 3),
        Column::fixed("age", 0).right(),
    ];
    table::lines(&columns, rows, width, theme.dim(), theme.glyphs.ellipsis)
}

fn monitor_row(monitor: &MonitorView, theme: &Theme) -> Vec<Cell> {
    let style = theme.reading(monitor.freshness, monitor.level);
    // A glyph stands before everything that is not simply in order, so that no colour is needed to see it.
    let glyph = match (monitor.freshness, monitor.level) {
        (Freshness::Stale, _) => "?",
        (Freshness::Missing, _) => "-",
        (Freshness::Fresh, Level::Caution | Level::Warning) => "!",
        (Freshness::Fresh, Level::Ok | Level::Advisory) => " ",
    };
    let value = match monitor.freshness {
        Freshness::Stale => format!("{}?", monitor.value),
        Freshness::Missing if monitor.value.is_empty() => "no data".to_owned(),
        _ if monitor.value == "p50 failing p95 failing" => "failing".to_owned(),
        _ => monitor.value.clone(),
    };
    vec![
        (glyph.to_owned(), style),
        (monitor.title.clone(), style),
        (value, style),
        (monitor.limit.clone(), theme.dim()),
        (text::sparkline(&monitor.spark, SPARK, monitor.limit_at, signs(theme)), theme.dim()),
        (monitor.age_ms.map_or_else(|| "-".to_owned(), text::age), theme.dim()),
    ]
}

fn signs(theme: &Theme) -> text::Signs<'static> {
    text::Signs { levels: theme.glyphs.spark, gap: theme.glyphs.gap, over: theme.glyphs.over }
}

/// The error budget in a line: what was down for certain, and what may have been.
fn budget(snapshot: &Snapshot, theme: &Theme) -> Line<'static> {
    let view = &snapshot.availability;
    let spent = view.burnt_ms + view.service.certain_ms;
    let style = if spent > snapshot.budget_ms { theme.warning() } else { theme.plain() };
    let mut spans = vec![
        Span::styled("downtime ", theme.dim()),
        Span::styled(bounds(view.burnt_ms, view.service.certain_ms, view.service.possible_ms), style),
        Span::styled(format!(" of {} allowed", seconds(snapshot.budget_ms)), theme.dim()),
    ];
    if view.service.unmeasured_ms > 0 {
        spans.push(Span::styled(format!(", {} unmeasured", seconds(view.service.unmeasured_ms)), theme.caution()));
    }
    Line::from(spans)
}

/// The error budget in full: by target, and by step.
fn availability(snapshot: &Snapshot, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    let view = &snapshot.availability;
    let mut out = vec![budget(snapshot, theme)];
    let columns = [
        Column::flexible("downtime", NAME),
        Column::fixed("at least", 0).right(),
        Column::fixed("at most", 0).right(),
        Column::fixed("unmeasured", 2).right(),
        Column::fixed("seen by", 1).right(),
    ];
    let down = |of: &DownView| {
        let (least, most, blind) = match of.since {
            Some(_) => (seconds(of.certain_ms), seconds(of.possible_ms), seconds(of.unmeasured_ms)),
            None => ("-".to_owned(), "-".to_owned(), "-".to_owned()),
        };
        let plain = |text: String| (text, theme.plain());
        vec![plain(of.label.clone()), plain(least), plain(most), plain(blind), plain(format!("{} of {}", of.quorum, of.vantages))]
    };
    let rows = std::iter::once(&view.service).chain(&view.regions).filter(|of| of.vantages > 0).map(down).collect();
    out.extend(table::lines(&columns, rows, width, theme.dim(), theme.glyphs.ellipsis));
    if view.burnt_ms > 0 {
        out.push(Line::styled(format!("{} were spent before this run", seconds(view.burnt_ms)), theme.dim()));
    }
    if let Some((least, most)) = view.projected_ms {
        let text = format!("at this pace {} of {} at the end", bounds(0, least, most), seconds(snapshot.budget_ms));
        out.push(Line::styled(text, if least > snapshot.budget_ms { theme.caution() } else { theme.dim() }));
    }
    for step in &view.steps {
        let name = if step.step.is_empty() { "before the first step" } else { &step.step };
        let spent = bounds(0, step.certain_ms, step.possible_ms);
        out.push(Line::styled(format!("  {name}: {spent}"), theme.plain()));
    }
    out
}

/// A lower and an upper bound in whole seconds; one number when they are the same.
fn bounds(more: i64, least: i64, most: i64) -> String {
    let (least, most) = (seconds(more + least), seconds(more + most));
    if least == most { least } else { format!("{least} to {most}") }
}

fn seconds(ms: i64) -> String {
    text::span(ms / 1000 * 1000)
}
