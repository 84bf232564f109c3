//! A plan with nothing but monitors, built by hand: these tests are not about the loader.

use cutover::plan::{Asks, Availability, DrillWorld, Manifest, Metric, MetricSource, Monitor, Objectives, Plan, Source, Unit};

pub const REGION: &str = "eu-central-1";

pub fn plan(monitors: Vec<Monitor>) -> Plan {
    Plan {
        name: "test".into(),
        title: "Test".into(),
        account: "000000000000".into(),
        days: 1,
        regions: Vec::new(),
        objectives: Objectives { availability_ppm: 999_000, rto_ms: 600_000, rpo_ms: 600_000 },
        availability: Availability::default(),
        traffic: None,
        vantages: Vec::new(),
        heartbeat: None,
        monitors,
        conditions: Vec::new(),
        phases: Vec::new(),
        steps: Vec::new(),
        rollbacks: Vec::new(),
        secrets: Vec::new(),
        about: cutover::plan::About::default(),
        drill: DrillWorld::default(),
        manifest: Manifest::default(),
    }
}

pub fn monitor(name: &str, source: Source) -> Monitor {
    let region = (!matches!(source, Source::Http(_) | Source::Dns(_))).then(|| REGION.to_owned());
    Monitor { name: name.into(), title: name.into(), source, region, every_ms: 60_000, limit: None, holds: false }
}

pub fn metric(namespace: &str, metric: &str, dimension: &str, scale: i64, absent_is_zero: bool) -> Source {
    Source::Metric(MetricSource {
        asks: Asks::Metric(Metric {
            namespace: namespace.into(),
            name: metric.into(),
            dimensions: vec![("Of".into(), dimension.into())],
            stat: "Maximum".into(),
        }),
        period_ms: 60_000,
        unit: Unit::Time,
        scale,
        replication: false,
        absent_is_zero,
    })
}
