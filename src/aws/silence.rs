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
use super::metrics::Hush;
use crate::cloud::{Failure, LIST_EVERY_MS, LIST_ZERO_EVERY_MS, Millis, NO_DATA_YET, Reading, Value};
use crate::plan::{Metric, MetricSource, MonitorId};

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
/// metric is somewhere else: then the silence says nothing. Of an expression `listed` has each metric, and the one is named
/// that is to blame.
pub(super) fn word(hush: &Hush, listed: &[Listed], source: &MetricSource, now: Millis) -> Reading {
    let missing = |why: &str| Reading { at: now, value: Value::Missing(why.to_owned()) };
    let has_points = |index: usize| hush.has_points.as_ref().and_then(|has| has.get(index)).copied();
    let silent = || {
        let all = source.metrics().zip(listed).enumerate();
        let named = all.map(|(index, ((name, _), listed))| (name, listed, has_points(index)));
        named.filter(|(.., has_points)| *has_points != Some(true))
    };
    let says = |name: Option<&str>, why: &str| missing(&name.map_or_else(|| why.to_owned(), |name| format!("{name}: {why}")));
    if let Some((name, Listed::Elsewhere(region), _)) = silent().find(|(_, listed, _)| matches!(listed, Listed::Elsewhere(_))) {
        return says(name, &format!("wrong region: it is in {region}"));
    }
    if source.absent_is_zero {
        return Reading { at: now, value: Value::Number(0) };
    }
    if let Some((name, ..)) = silent().find(|(_, listed, _)| **listed == Listed::Nowhere) {
        return says(name, "metric not enabled");
    }
    let first = silent().find(|(name, _, has_points)| name.is_none() || *has_points == Some(false));
    match first {
        Some((name, Listed::Unsaid, _)) => says(name, "no data"),
        Some((name, ..)) => says(name, NO_DATA_YET),
        // Which of its metrics is to blame is not known before the next call has told.
        None if hush.has_points.is_none() && hush.said.is_empty() => missing(NO_DATA_YET),
        None if hush.said.is_empty() => missing("the expression gives no value, though each of its metrics has data"),
        None => missing(&hush.said),
    }
}

/// A metric of a monitor: the monitor, and which of its metrics.
type Part = (MonitorId, usize);

/// Where each silent metric was, by region, monitor and which of its metrics, and when that was asked.
#[derive(Debug, Default)]
pub(super) struct Silence {
    known: Mutex<BTreeMap<(String, Part), (Millis, Listed)>>,
}

impl Silence {
    /// Where the metrics of these silent monitors of a region are, in their order. What speaks again is forgotten. `client`
    /// gives the way to a region; `regions` are those of the plan.
    pub(super) async fn explain(
        &self,
        client: impl Fn(&str) -> Client,
        (region, regions): (&str, &[&str]),
        silent: &[(MonitorId, &MetricSource)],
        now: Millis,
    ) -> Vec<Vec<Listed>> {
        let due = self.due(region, silent, now);
        let asked = due.iter().map(async |(part, metric)| (*part, find(&client, (region, regions), metric).await));
        // Each is noted as asked even if nothing came back: what does not answer is not asked more often for it.
        let found = tokio::time::timeout(PATIENCE, futures_util::future::join_all(asked)).await.unwrap_or_default();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (part, _) in due {
            let listed = found.iter().find(|f| f.0 == part).and_then(|f| f.1.as_ref().ok()).cloned();
            known.insert((region.to_owned(), part), (now, listed.unwrap_or(Listed::Unsaid)));
        }
        let of = |part: Part| known.get(&(region.to_owned(), part)).map_or(Listed::Unsaid, |k| k.1.clone());
        silent.iter().map(|(id, source)| (0..source.metrics().count()).map(|index| of((*id, index))).collect()).collect()
    }

    /// What is asked about now, the longest unknown first.
    fn due<'a>(&self, region: &str, silent: &[(MonitorId, &'a MetricSource)], now: Millis) -> Vec<(Part, &'a Metric)> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(of, (id, _)), _| of != region || silent.iter().any(|s| s.0 == *id));
        let mut due: Vec<(Millis, Part, &Metric)> = Vec::new();
        for &(id, source) in silent {
            // Where silence means zero it is the rule, and worth a question now and then.
            let every = if source.absent_is_zero { LIST_ZERO_EVERY_MS } else { LIST_EVERY_MS };
            for (index, (_, metric)) in source.metrics().enumerate() {
                let asked = known.get(&(region.to_owned(), (id, index))).map_or(Millis::MIN, |k| k.0);
                if now.saturating_sub(asked) >= every {
                    due.push((asked, (id, index), metric));
                }
            }
        }
        due.sort_by_key(|(asked, part, _)| (*asked, *part));
        due.into_iter().take(ASKED_MAX).map(|(_, part, metric)| (part, metric)).collect()
    }
}

/// Looks for a metric where it is read, and if it is not there in the other regions.
pub(super) async fn find(
    client: &impl Fn(&str) -> Client,
    (region, regions): (&str, &[&str]),
    metric: &Metric,
) -> Result<Listed, Failure> {
    if is_listed(&client(region), metric).await? {
        return Ok(Listed::Here);
    }
    let others = regions.iter().filter(|other| **other != region);
    let asked = others.map(async |other| (*other, is_listed(&client(other), metric).await));
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
async fn is_listed(client: &Client, metric: &Metric) -> Result<bool, Failure> {
    const OPERATION: &str = "cloudwatch ListMetrics";
    let filter = |(name, value): &(String, String)| DimensionFilter::builder().name(name).value(value).build();
    let filters: Vec<DimensionFilter> = metric.dimensions.iter().map(filter).collect();
    let mut next: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let page = client
            .list_metrics()
            .namespace(&metric.namespace)
            .metric_name(&metric.name)
            .set_dimensions((!filters.is_empty()).then(|| filters.clone()))
            .set_next_token(next.take())
            .send()
            .await
            .map_err(|e| errors::failure(OPERATION, &e))?;
        for listed in page.metrics() {
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            let mut dimensions: Vec<(String, String)> =
                listed.dimensions().iter().map(|d| (text(d.name()), text(d.value()))).collect();
            dimensions.sort();
            if dimensions == metric.dimensions {
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
    use crate::plan::{Asks, Math, Unit};

    const NOW: Millis = 1_800_000_000_000;

    fn metric() -> Metric {
        Metric { namespace: "N".into(), name: "M".into(), dimensions: Vec::new(), stat: "Maximum".into() }
    }

    fn source(absent_is_zero: bool) -> MetricSource {
        MetricSource {
            asks: Asks::Metric(metric()),
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
            assert_eq!(says(&Hush::default(), std::slice::from_ref(listed), &source(false)), Value::Missing(wanted.into()));
        }
        for listed in [Listed::Here, Listed::Nowhere, Listed::Unsaid] {
            assert_eq!(says(&Hush::default(), &[listed], &source(true)), Value::Number(0));
        }
        let wanted = Value::Missing("wrong region: it is in eu-west-1".into());
        assert_eq!(says(&Hush::default(), &[elsewhere], &source(true)), wanted);
    }

    fn says(hush: &Hush, listed: &[Listed], source: &MetricSource) -> Value {
        word(hush, listed, source, NOW).value
    }

    #[test]
    fn of_a_silent_expression_the_metric_is_named_that_is_to_blame() {
        let inputs = ["errors", "requests"].map(|name| (name.to_owned(), metric())).to_vec();
        let asks = Asks::Math(Math { expression: "errors / requests".into(), inputs });
        let share = MetricSource { asks, ..source(false) };
        let asked = |has: [bool; 2]| Hush { has_points: Some(has.to_vec()), said: String::new() };
        let both = [Listed::Here, Listed::Here];
        let elsewhere = Listed::Elsewhere("eu-west-1".into());
        for (hush, listed, wanted) in [
            (Hush::default(), &both, "no data yet"),
            (Hush::default(), &[Listed::Here, Listed::Nowhere], "requests: metric not enabled"),
            (Hush::default(), &[elsewhere, Listed::Nowhere], "errors: wrong region: it is in eu-west-1"),
            (asked([true, false]), &both, "requests: no data yet"),
            (asked([false, true]), &[Listed::Unsaid, Listed::Here], "errors: no data"),
            // What has points is not to blame, whatever a list says of it.
            (asked([true, false]), &[Listed::Nowhere, Listed::Here], "requests: no data yet"),
            (asked([true, true]), &both, "the expression gives no value, though each of its metrics has data"),
            (Hush { said: "ArithmeticError: dropped".into(), ..asked([true, true]) }, &both, "ArithmeticError: dropped"),
        ] {
            assert_eq!(says(&hush, listed, &share), Value::Missing(wanted.into()));
        }
        assert_eq!(says(&asked([true, false]), &both, &MetricSource { absent_is_zero: true, ..share }), Value::Number(0));
    }

    #[test]
    fn the_silent_are_asked_about_in_turn_and_not_too_often() {
        let silence = Silence::default();
        let (metric, zero) = (source(false), source(true));
        let mut silent: Vec<(MonitorId, &MetricSource)> = (0..7).map(|id| (id, &metric)).collect();
        silent.push((7, &zero));
        let ask = |now: Millis, silent: &[(MonitorId, &MetricSource)]| {
            let asked: Vec<MonitorId> = silence.due("here", silent, now).into_iter().map(|((id, _), _)| id).collect();
            for id in &asked {
                silence.known.lock().unwrap().insert(("here".into(), (*id, 0)), (now, Listed::Nowhere));
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
