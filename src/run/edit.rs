//! Exact replacements in a text, and the way back to the very bytes that were there.

use crate::cloud::Splice;
use crate::plan::{Edit, Text};

/// What an edit does to a text: each replacement's text must be there exactly once, in what the ones before it leave.
///
/// # Errors
/// Why it is refused, in words for people.
pub fn splices<'a>(
    edit: &Edit,
    text: &str,
    output: impl Fn(&str, &str) -> Option<&'a str> + Copy,
) -> Result<Vec<Splice>, String> {
    let file = &edit.file;
    let mut text = text.to_owned();
    let mut out = Vec::with_capacity(edit.changes.len());
    for change in &edit.changes {
        let new = filled(&change.with, output)?;
        let at = only_place(&text, &change.replace).map_err(|why| {
            let there = only_place(&text, &new).is_ok() && !new.is_empty();
            let hint = if there { "; the new text is there already: if that is right, the step is done by hand" } else { "" };
            format!("{file}: {why}{hint}")
        })?;
        text.replace_range(at..at + change.replace.len(), &new);
        out.push(Splice { at, old: change.replace.clone(), new });
    }
    Ok(out)
}

/// A text that is written into a file. An output that draws on the terminal, or breaks the line that it stands in, is no
/// value but somebody's trick.
fn filled<'a>(with: &Text, output: impl Fn(&str, &str) -> Option<&'a str>) -> Result<String, String> {
    let checked = |step: &str, name: &str| output(step, name).filter(|value| !value.chars().any(char::is_control));
    with.value(checked).map_err(|why| {
        let odd = with.resolve(&output).is_ok();
        if odd { format!("{why} that could be written: it holds control characters") } else { why }
    })
}

/// Where a text stands in another, if it does so exactly once.
fn only_place(text: &str, wanted: &str) -> Result<usize, String> {
    let shown = wanted.lines().next().unwrap_or_default();
    let Some(first) = text.find(wanted) else {
        if text.contains(&wanted.replace('\n', "\r\n")) {
            return Err(format!("its lines end in CRLF, those of the plan in LF: '{shown}' is there only so"));
        }
        return Err(format!("'{shown}' is not there"));
    };
    // Places may overlap, so the search goes on one character further and not behind the whole text.
    let step = wanted.chars().next().map_or(1, char::len_utf8);
    match text.get(first + step..).and_then(|rest| rest.find(wanted)) {
        Some(_) => Err(format!("'{shown}' is there more than once: name more of what is around it")),
        None => Ok(first),
    }
}

/// The replacements that take these back.
#[must_use]
pub fn inverse(splices: &[Splice]) -> Vec<Splice> {
    splices.iter().rev().map(|s| Splice { at: s.at, old: s.new.clone(), new: s.old.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cloud::spliced as apply;
    use crate::plan::{Part, Replacement};

    fn edit(changes: &[(&str, &str)]) -> Edit {
        let change = |(replace, with): &(&str, &str)| Replacement { replace: (*replace).into(), with: Text::plain(*with) };
        Edit { file: "a.json".into(), changes: changes.iter().map(change).collect() }
    }

    fn none(_: &str, _: &str) -> Option<&'static str> {
        None
    }

    #[test]
    fn every_replacement_is_exact_or_refused() {
        let once = splices(&edit(&[("eu-west-1", "eu-central-1")]), "region: eu-west-1\n", none).unwrap();
        assert_eq!(apply("region: eu-west-1\n", &once).unwrap(), "region: eu-central-1\n");
        let refuse = |changes: &[(&str, &str)], text: &str| splices(&edit(changes), text, none).unwrap_err();
        assert_eq!(refuse(&[("x", "y")], "a x b x"), "a.json: 'x' is there more than once: name more of what is around it");
        assert_eq!(refuse(&[("aa", "b")], "aaa"), "a.json: 'aa' is there more than once: name more of what is around it");
        assert_eq!(refuse(&[("x", "y")], "abc"), "a.json: 'x' is not there");
        assert!(refuse(&[("x", "y")], "a y").ends_with("the step is done by hand"));
        assert!(refuse(&[("a\nb", "c")], "a\r\nb\r\n").contains("CRLF"));
    }

    #[test]
    fn a_later_replacement_sees_what_an_earlier_one_left() {
        let made = splices(&edit(&[("a", "b c"), ("c", "d")]), "[a]", none).unwrap();
        assert_eq!(apply("[a]", &made).unwrap(), "[b d]");
        assert_eq!(apply("[b d]", &inverse(&made)).unwrap(), "[a]");
        assert_eq!(apply("other", &inverse(&made)), None);
    }

    #[test]
    fn outputs_are_filled_in_and_tricks_refused() {
        let with = Text(vec![Part::Plain("https://".into()), Part::Output { step: "api".into(), name: "Host".into() }]);
        let edit = Edit { file: "a".into(), changes: vec![Replacement { replace: "x".into(), with }] };
        assert_eq!(splices(&edit, "x", |_, _| Some("$(id)\"")).unwrap()[0].new, "https://$(id)\"");
        assert!(splices(&edit, "x", |_, _| Some("a\u{1b}[2J")).unwrap_err().contains("control characters"));
        assert!(splices(&edit, "x", none).unwrap_err().contains("which has given none"));
    }

    proptest! {
        #[test]
        fn the_way_back_leads_to_the_same_bytes(text in "[a-c\r\n]{0,40}", old in "[a-c\r\n]{1,4}", new in "[a-z\r\n]{0,6}") {
            if let Ok(made) = splices(&edit(&[(&old, &new)]), &text, none) {
                let after = apply(&text, &made).unwrap();
                prop_assert_eq!(apply(&after, &inverse(&made)).unwrap(), text);
            }
        }
    }
}
