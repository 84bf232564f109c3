//! The command palette: verbs by key or word, and what still works without a region.
//!
//! Choosing a verb is the same as pressing its key: what asks for a confirmation still does.

use std::collections::BTreeSet;

use ratatui::text::{Line, Span};

use super::{Dialog, Popup, Turn, type_into};
use crate::run::snapshot::Snapshot;
use crate::ui::app::{Allowed, allowed};
use crate::ui::keymap::{Binding, Group, Key, Meaning, TABLE};
use crate::ui::text;
use crate::ui::theme::Theme;

/// The word before a region's name.
const WITHOUT: &str = "without";
/// Longest text in characters.
const LONGEST: usize = 60;

/// State of the palette.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Palette {
    text: String,
    chosen: usize,
}

/// Something that can be chosen.
enum Entry {
    /// What a key does.
    Key(&'static Binding),
    /// What still works without a region.
    Without(String),
}

impl Palette {
    /// A key.
    pub fn handle(&mut self, key: Key, snapshot: &Snapshot) -> Turn {
        let entries = entries(&self.text, snapshot);
        let last = entries.len().saturating_sub(1);
        match key {
            Key::Down | Key::Tab => self.chosen = (self.chosen + 1).min(last),
            Key::Up | Key::BackTab => self.chosen = self.chosen.min(last).saturating_sub(1),
            Key::PageDown => self.chosen = (self.chosen + 10).min(last),
            Key::PageUp => self.chosen = self.chosen.min(last).saturating_sub(10),
            Key::Enter => {
                return match entries.into_iter().nth(self.chosen.min(last)) {
                    Some(Entry::Key(binding)) => Turn::Perform(binding.meaning),
                    Some(Entry::Without(region)) => Turn::Open(Dialog::Without { region }),
                    None => Turn::Stay,
                };
            }
            _ => {
                if type_into(&mut self.text, key, LONGEST) {
                    self.chosen = 0;
                }
            }
        }
        Turn::Stay
    }
}

/// Every region that the plan, as far as a screen sees it, has to do with.
fn regions(snapshot: &Snapshot) -> BTreeSet<&str> {
    let planes = snapshot.steps.iter().flat_map(|step| &step.control_planes);
    let of_rollbacks = snapshot.rollbacks.iter().flat_map(|rollback| rollback.control_planes.iter().chain([&rollback.to]));
    let seen = snapshot.traffic.iter().map(|traffic| &traffic.region);
    let watched = snapshot.monitors.iter().filter_map(|monitor| monitor.region.as_ref());
    planes.chain(of_rollbacks).chain(seen).chain(watched).map(String::as_str).collect()
}

/// What fits the text, best first.
fn entries(typed: &str, snapshot: &Snapshot) -> Vec<Entry> {
    let typed = typed.trim().trim_start_matches(':');
    if let Some(rest) = typed.strip_prefix(WITHOUT).filter(|rest| rest.is_empty() || rest.starts_with(' ')) {
        return without(rest.trim(), snapshot);
    }
    let offered = |binding: &&Binding| {
        let drill = binding.group == Group::Drill && snapshot.drill.is_none();
        !binding.label.is_empty() && binding.group != Group::Look && binding.meaning != Meaning::Palette && !drill
    };
    let mut found: Vec<(u8, Entry)> = TABLE
        .iter()
        .filter(offered)
        .filter_map(|binding| Some((rank(typed, binding.label, &[binding.short, binding.help])?, Entry::Key(binding))))
        .collect();
    for region in regions(snapshot) {
        if let Some(rank) = rank(typed, "", &[&format!("{WITHOUT} {region}")]) {
            found.push((rank, Entry::Without(region.to_owned())));
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, entry)| entry).collect()
}

/// The regions whose name begins so; and any other name that was typed, because a region need not be in the plan to be
/// asked about.
fn without(typed: &str, snapshot: &Snapshot) -> Vec<Entry> {
    let known = regions(snapshot);
    let mut out: Vec<Entry> =
        known.iter().filter(|region| region.starts_with(typed)).map(|region| Entry::Without((*region).to_owned())).collect();
    if out.is_empty() && !typed.is_empty() && !typed.contains(' ') {
        out.push(Entry::Without(typed.to_owned()));
    }
    out
}

/// How well something fits what was typed, 0 best: its key, a word that begins so, or the letters anywhere.
fn rank(typed: &str, key: &str, texts: &[&str]) -> Option<u8> {
    if typed.is_empty() || (!key.is_empty() && typed == key) {
        return Some(0);
    }
    let typed = typed.to_lowercase();
    for (place, text) in (1..).zip(texts) {
        let text = text.to_lowercase();
        if text.starts_with(&typed) {
            return Some(place);
        }
        if text.split([' ', '-', '/']).any(|word| word.starts_with(&typed)) {
            return Some(place + 3);
        }
    }
    texts.iter().any(|text| text.to_lowercase().contains(&typed)).then_some(9)
}

/// The list, and below it what is typed.
#[must_use]
pub fn popup(palette: &Palette, snapshot: &Snapshot, theme: &Theme, width: usize) -> Popup {
    let entries = entries(&palette.text, snapshot);
    let chosen = palette.chosen.min(entries.len().saturating_sub(1));
    let mut lines: Vec<Line<'static>> = entries
        .iter()
        .enumerate()
        .map(|(index, entry)| {
            let here = index == chosen;
            let (key, what, blocked) = match entry {
                Entry::Key(binding) => {
                    let state = binding.verb.map_or(Allowed::Yes, |verb| allowed(snapshot, verb));
                    let blocked = match state {
                        Allowed::Yes => None,
                        Allowed::Blocked(why) => Some(format!("blocked: {why}")),
                        Allowed::No => Some("not possible now".to_owned()),
                    };
                    (binding.label, binding.help.to_owned(), blocked)
                }
                Entry::Without(region) => ("", format!("{WITHOUT} {region}: what still works"), None),
            };
            let style = if here { theme.strong() } else { theme.plain() };
            let pointer = if here { theme.glyphs.pointer } else { " " };
            let dim = if blocked.is_some() { theme.dim() } else { style };
            let what = blocked.map_or(what.clone(), |why| format!("{what}  ({why})"));
            Line::from(vec![
                Span::styled(format!("{pointer} "), theme.key()),
                Span::styled(text::pad(key, 7), theme.key()),
                Span::styled(text::cut(&what, width.saturating_sub(9), theme.glyphs.ellipsis), dim),
            ])
        })
        .collect();
    if lines.is_empty() {
        lines.push(Line::styled("nothing is called that", theme.dim()));
    }
    let keys = vec![
        Line::default(),
        Line::from(vec![
            Span::styled(": ", theme.key()),
            Span::styled(palette.text.clone(), theme.strong()),
            Span::styled(" ", theme.selected()),
        ]),
        Line::from(vec![
            Span::styled("Enter", theme.key()),
            Span::raw(if width < 60 { " does it  " } else { " as its key does   " }),
            Span::styled("up down", theme.key()),
            Span::raw(if width < 60 { "  " } else { " choose   " }),
            Span::styled("Esc", theme.key()),
            Span::raw(" back"),
        ]),
    ];
    Popup { title: "Command".to_owned(), style: theme.frame(true), lines, keys, home: Some(chosen) }
}
