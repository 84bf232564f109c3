//! The `cutover` binary: wiring only.

fn main() {}
