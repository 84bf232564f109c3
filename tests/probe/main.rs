//! Probes: one request, a schedule, the command, the agent on a vantage point; against servers of the tests' own.

#![expect(clippy::unwrap_used, reason = "a helper that cannot do its work shall fail the test at once")]

mod command;
mod feeds;
mod names;
#[path = "../support/plan.rs"]
#[expect(dead_code, reason = "shared with tests about metrics")]
mod plan;
mod request;
mod server;

use cutover::plan::{Connection, Family, HttpSource, Measure, Protocol};

fn source(url: &str) -> HttpSource {
    HttpSource {
        url: url.into(),
        connect_to: None,
        status: 200,
        timeout_ms: 2_000,
        measure: Measure::Total,
        from: "local".into(),
        connection: Connection::Fresh,
        protocol: Protocol::Any,
        family: Family::Any,
    }
}
