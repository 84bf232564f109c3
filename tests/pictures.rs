//! The pictures in README.md are what the program shows today.

#![allow(clippy::unwrap_used, reason = "these are tests")]

#[path = "../assets/picture.rs"]
mod picture;

#[test]
fn the_pictures_are_what_the_screen_shows() {
    for (name, svg) in picture::pictures().unwrap() {
        let kept = std::fs::read_to_string(picture::path(name)).unwrap_or_default();
        // Not assert_eq, which would print two pictures of some hundred lines each.
        let line = svg.lines().zip(kept.lines()).position(|(now, then)| now != then);
        assert!(
            svg == kept,
            "assets/{name} is out of date (first difference in line {}): look at what has changed, then make it again \
             with `cargo run --example picture`",
            line.map_or(0, |line| line + 1)
        );
    }
}

#[test]
fn the_same_drill_gives_the_same_picture() {
    assert!(picture::pictures().unwrap() == picture::pictures().unwrap());
}
