//! What is wrong with a plan, where, and what to write instead.

use std::fmt;

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

/// Lines longer than this (in bytes) are not shown: no reader would find the place in them.
const EXCERPT_BYTES_MAX: usize = 1_000;

/// One thing that is wrong (or, as a warning, that looks wrong).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path of the file, relative to the plan's folder (or as the user gave it).
    pub file: String,
    /// Line from 1; 0 when the problem is about the file as a whole.
    pub line: usize,
    /// Column from 1, in characters; 0 when the problem is about the file as a whole.
    pub column: usize,
    /// What is wrong, one line.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// Whether this is a warning.
    pub warning: bool,
    /// The source line, unless it is too long to show.
    pub(super) excerpt: Option<Excerpt>,
}

/// The source line of a problem, and the bytes in it that the problem is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Excerpt {
    text: String,
    start: usize,
    end: usize,
}

impl Problem {
    /// A problem of a file as a whole.
    #[must_use]
    pub fn of_file(file: &str, message: String) -> Self {
        Self { file: file.to_owned(), line: 0, column: 0, message, help: None, warning: false, excerpt: None }
    }

    /// A problem at `len` bytes from byte `start` of `text`. Places outside the text are moved inside.
    #[must_use]
    pub fn at(file: &str, text: &str, start: usize, len: usize, message: String, help: Option<String>) -> Self {
        let start = floor_char(text, start);
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
        let line_text = text[line_start..line_end].trim_end_matches('\r');
        let excerpt = (line_text.len() <= EXCERPT_BYTES_MAX).then(|| {
            let from = (start - line_start).min(line_text.len());
            let to = floor_char(line_text, from.saturating_add(len.max(1)));
            Excerpt { text: line_text.to_owned(), start: from, end: to.max(from) }
        });
        Self {
            file: file.to_owned(),
            line: text[..line_start].lines().count() + 1,
            column: text[line_start..start].chars().count() + 1,
            message,
            help,
            warning: false,
            excerpt,
        }
    }

    /// The problem as an annotated snippet, without a final line break.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let level = if self.warning { Level::WARNING } else { Level::ERROR };
        let title = level.primary_title(self.message.as_str());
        let mut group = match &self.excerpt {
            Some(e) => title.element(
                Snippet::source(e.text.as_str())
                    .path(self.file.as_str())
                    .line_start(self.line)
                    .annotation(AnnotationKind::Primary.span(e.start..e.end)),
            ),
            None if self.line == 0 => title.element(Origin::path(self.file.as_str())),
            None => title.element(Origin::path(self.file.as_str()).line(self.line).char_column(self.column)),
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

/// `file:line:column: message (help)`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a plan, in the order of the files; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// All problems as annotated snippets, with an empty line between them.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let mut out = String::new();
        for problem in &self.0 {
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&problem.render(color));
            out.push('\n');
        }
        out
    }
}

/// One compact line each.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The last character boundary at or before `at`.
fn floor_char(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Whether a character draws nothing of its own, and may move a cursor, turn the direction of the text around it or make two
/// names look the same.
pub(super) fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}')
        || matches!(c, '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Text of a plan file as it may be shown in a message: short, and without anything that moves a terminal's cursor.
pub(super) fn show(text: &str) -> String {
    let mut out: String =
        text.chars().take(60).flat_map(|c| if is_unseen(c) { c.escape_default().collect() } else { vec![c] }).collect();
    if text.chars().nth(60).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters() {
        let text = "a: 1\nß: zwei\n";
        let at = text.find("zwei").unwrap();
        let p = Problem::at("p.yaml", text, at, 4, "no".to_owned(), Some("write 2".to_owned()));
        assert_eq!(p.to_string(), "p.yaml:2:4: no (write 2)");
        insta::assert_snapshot!(p.render(false), @r"
        error: no
         --> p.yaml:2:4
          |
        2 | ß: zwei
          |    ^^^^
          |
          = help: write 2
        ");
    }

    #[test]
    fn places_outside_the_text_do_no_harm() {
        for text in ["", "\n", "é", "a\r\n"] {
            for start in 0..5 {
                let p = Problem::at("p.yaml", text, start, 9, "no".to_owned(), None);
                assert!(p.render(true).contains("no"));
            }
        }
        let long = "x".repeat(5_000);
        assert!(Problem::at("p.yaml", &long, 4_000, 1, "no".to_owned(), None).render(false).contains("p.yaml:1:4001"));
    }

    #[test]
    fn shown_text_is_short_and_harmless() {
        assert_eq!(show("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(show(&"x".repeat(99)).chars().count(), 61);
    }
}
