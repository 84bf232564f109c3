//! Why a metric gives nothing (rule 32): `ListMetrics` tells whether there is such a metric at all, and in which region.
//!
//! Only what is silent is asked about, a few at a time and once in some minutes; what was answered is kept meanwhile. The
//! answers are words for people: a gate that depends on the metric stays shut whichever it is.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::DimensionFilter;

use super::errors;
use crate::cloud::{Failure, LIST_EVERY_MS, LIST_ZERO_EVERY_MS, Millis, NO_DATA_YET, Reading, Value};
use crate::plan::{MetricSource, MonitorId};

/// Silent metrics that are asked about with one poll: the others wait for the next one.
const ASKED_MAX: usize = 5;
/// How long a poll waits for all of them together. What it has read of the other metrics is worth more.
const PATIENCE: Duration = Duration::from_secs(2);
/// A listing that goes on for more pages than this is given up.
const PAGES_MAX: usize = 5;

/// Where there is such a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Listed {
    /// In the region in which it is read.
    Here,
    /// Not there, but in this region.
    Elsewhere(String),
    /// In no region of the plan.
    Nowhere,
    /// Nobody said.
    Unsaid,
}

/// What a silent metric reads, by where there is such a metric. Where no data means zero it goes on doing so, unless the
/// metric is somewhere else: then the silence says nothing.
pub(super) fn word(listed: &Listed, source: &MetricSource, now: Millis) -> Reading {
    let missing = |why: &str| Reading { at: now, value: Value::Missing(why.to_owned()) };
    match listed {
        Listed::Elsewhere(region) => missing(&format!("wrong region: it is in {region}")),
        _ if source.absent_is_zero => Reading { at: now, value: Value::Number(0) },
        Listed::Here => missing(NO_DATA_YET),
        Listed::Nowhere => missing("metric not enabled"),
        Listed::Unsaid => missing("no data"),
    }
}

/// Where each silent metric was, by region and monitor, and when that was asked.
#[derive(Debug, Default)]
pub(super) struct Silence {
    known: Mutex<BTreeMap<(String, MonitorId), (Millis, Listed)>>,
}

impl Silence {
    /// Where these silent metrics of a region are, in their order. What speaks again is forgotten. `client` gives the way
    /// to a region; `regions` are those of the plan.
    pub(super) async fn explain(
        &self,
        client: impl Fn(&str) -> Client,
        (region, regions): (&str, &[&str]),
        silent: &[(MonitorId, &MetricSource)],
        now: Millis,
    ) -> Vec<Listed> {
        let due = self.due(region, silent, now);
        let asked = due.iter().map(async |(id, source)| (*id, find(&client, (region, regions), source).await));
        // Each is noted as asked even if nothing came back: what does not answer is not asked more often for it.
        let found = tokio::time::timeout(PATIENCE, futures_util::future::join_all(asked)).await.unwrap_or_default();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, _) in due {
            let listed = found.iter().find(|f| f.0 == id).and_then(|f| f.1.as_ref().ok()).cloned();
            known.insert((region.to_owned(), id), (now, listed.unwrap_or(Listed::Unsaid)));
        }
        let of = |id: MonitorId| known.get(&(region.to_owned(), id)).map_or(Listed::Unsaid, |k| k.1.clone());
        silent.iter().map(|(id, _)| of(*id)).collect()
    }

    /// What is asked about now, the longest unknown first.
    fn due<'a>(&self, region: &str, silent: &[(MonitorId, &'a MetricSource)], now: Millis) -> Vec<(MonitorId, &'a MetricSource)> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(of, id), _| of != region || silent.iter().any(|s| s.0 == *id));
        let mut due: Vec<(Millis, MonitorId, &MetricSource)> = Vec::new();
        for &(id, source) in silent {
            // Where silence means zero it is the rule, and worth a question now and then.
            let every = if source.absent_is_zero { LIST_ZERO_EVERY_MS } else { LIST_EVERY_MS };
            let asked = known.get(&(region.to_owned(), id)).map_or(Millis::MIN, |k| k.0);
            if now.saturating_sub(asked) >= every {
                due.push((asked, id, source));
            }
        }
        due.sort_by_key(|(asked, id, _)| (*asked, *id));
        due.into_iter().take(ASKED_MAX).map(|(_, id, source)| (id, source)).collect()
    }
}

/// Looks for a metric where it is read, and if it is not there in the other regions.
async fn find(
    client: &impl Fn(&str) -> Client,
    (region, regions): (&str, &[&str]),
    source: &MetricSource,
) -> Result<Listed, Failure> {
    if is_listed(&client(region), source).await? {
        return Ok(Listed::Here);
    }
    let others = regions.iter().filter(|other| **other != region);
    let asked = others.map(async |other| (*other, is_listed(&client(other), source).await));
    let answers = futures_util::future::join_all(asked).await;
    if let Some((other, _)) = answers.iter().find(|(_, listed)| matches!(listed, Ok(true))) {
        return Ok(Listed::Elsewhere((*other).to_owned()));
    }
    // A region that did not answer may have it.
    match answers.into_iter().find_map(|(_, listed)| listed.err()) {
        Some(failure) => Err(failure),
        None => Ok(Listed::Nowhere),
    }
}

/// Whether a region lists a metric of this name with these dimensions and no others.
async fn is_listed(client: &Client, source: &MetricSource) -> Result<bool, Failure> {
    const OPERATION: &str = "cloudwatch ListMetrics";
    let filter = |(name, value): &(String, String)| DimensionFilter::builder().name(name).value(value).build();
    let filters: Vec<DimensionFilter> = source.dimensions.iter().map(filter).collect();
    let mut next: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let page = client
            .list_metrics()
            .namespace(&source.namespace)
            .metric_name(&source.metric)
            .set_dimensions((!filters.is_empty()).then(|| filters.clone()))
            .set_next_token(next.take())
            .send()
            .await
            .map_err(|e| errors::failure(OPERATION, &e))?;
        for metric in page.metrics() {
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            let mut dimensions: Vec<(String, String)> =
                metric.dimensions().iter().map(|d| (text(d.name()), text(d.value()))).collect();
            dimensions.sort();
            if dimensions == source.dimensions {
                return Ok(true);
            }
        }
        next = page.next_token().filter(|t| !t.is_empty()).map(str::to_owned);
        if next.is_none() {
            return Ok(false);
        }
    }
    Err(errors::unknown(format!("{OPERATION}: more than {PAGES_MAX} pages")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Unit;

    const NOW: Millis = 1_800_000_000_000;

    fn source(absent_is_zero: bool) -> MetricSource {
        MetricSource {
            namespace: "N".into(),
            metric: "M".into(),
            dimensions: Vec::new(),
            stat: "Maximum".into(),
            period_ms: 60_000,
            unit: Unit::Time,
            scale: 1_000_000,
            replication: false,
            absent_is_zero,
        }
    }

    #[test]
    fn every_kind_of_silence_has_its_word_and_none_is_a_number() {
        let elsewhere = Listed::Elsewhere("eu-west-1".into());
        for (listed, wanted) in [
            (&Listed::Here, "no data yet"),
            (&elsewhere, "wrong region: it is in eu-west-1"),
            (&Listed::Nowhere, "metric not enabled"),
            (&Listed::Unsaid, "no data"),
        ] {
            assert_eq!(word(listed, &source(false), NOW).value, Value::Missing(wanted.into()));
        }
        for listed in [Listed::Here, Listed::Nowhere, Listed::Unsaid] {
            assert_eq!(word(&listed, &source(true), NOW).value, Value::Number(0));
        }
        assert_eq!(word(&elsewhere, &source(true), NOW).value, Value::Missing("wrong region: it is in eu-west-1".into()));
    }

    #[test]
    fn the_silent_are_asked_about_in_turn_and_not_too_often() {
        let silence = Silence::default();
        let (metric, zero) = (source(false), source(true));
        let mut silent: Vec<(MonitorId, &MetricSource)> = (0..7).map(|id| (id, &metric)).collect();
        silent.push((7, &zero));
        let ask = |now: Millis, silent: &[(MonitorId, &MetricSource)]| {
            let asked: Vec<MonitorId> = silence.due("here", silent, now).into_iter().map(|(id, _)| id).collect();
            for id in &asked {
                silence.known.lock().unwrap().insert(("here".into(), *id), (now, Listed::Nowhere));
            }
            asked
        };
        assert_eq!(ask(NOW, &silent), [0, 1, 2, 3, 4]);
        assert_eq!(ask(NOW + 60_000, &silent), [5, 6, 7]);
        assert_eq!(ask(NOW + 120_000, &silent), [] as [usize; 0]);
        assert_eq!(ask(NOW + 300_000, &silent), [0, 1, 2, 3, 4]);
        assert_eq!(ask(NOW + 420_000, &silent), [5, 6], "where silence means zero it is asked once an hour");
        // What has spoken meanwhile is asked about at once when it falls silent again.
        assert_eq!(ask(NOW + 430_000, &silent[1..]), [] as [usize; 0]);
        assert_eq!(ask(NOW + 440_000, &silent), [0]);
    }
}
