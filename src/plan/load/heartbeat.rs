//! The heartbeat.

use super::context::{Context, Read};
use super::fields::Fields;
use super::monitors::{command, url};
use super::node::Node;
use crate::plan::{Heartbeat, HeartbeatTo};

/// Shortest and longest interval, in milliseconds: the call before has had its time, and an alarm that notices after a day
/// is none.
const EVERY_MS: (i64, i64) = (10_000, 86_400_000);
/// The interval when the plan does not say, in milliseconds.
const USUAL_MS: i64 = 60_000;

/// Reads `heartbeat:`.
pub fn read(cx: &mut Context, node: &Node) -> Read<Heartbeat> {
    let mut f = Fields::of(cx, node, "the heartbeat")?;
    let every = f.maybe(cx, "every", |cx, n| cx.duration_ms_in(n, EVERY_MS.0, EVERY_MS.1));
    let to = match f.exactly_one(cx, "call", &["url", "command"]) {
        Some(("url", n)) => url(cx, n).map(HeartbeatTo::Url),
        Some((_, n)) => command(cx, n).map(HeartbeatTo::Command),
        None => None,
    };
    f.finish(cx);
    Some(Heartbeat { to: to?, every_ms: every.unwrap_or(USUAL_MS) })
}
