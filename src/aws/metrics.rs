//! CloudWatch: all metrics of a region in one `GetMetricData` (rule 25), and the one value that a data-plane switch puts
//! there.
//!
//! A point counts only when its period has ended, that is when `timestamp + period <= now`: a half-filled newest
//! point opens no gate (rule 33). A point that has ended may still change for about two minutes; it is shown
//! rather than held back, because a later reading replaces it.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::operation::RequestId;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricDatum, MetricStat, ScanBy, StatusCode};

use super::errors;
use crate::cloud::{Failure, MetricBatch, Millis, Reading, Receipt, Value, metric_batches};
use crate::plan::{MetricSource, MonitorId};

const OPERATION: &str = "cloudwatch GetMetricData";
/// An answer that goes on for more pages than this is not one we asked for.
const PAGES_MAX: usize = 20;
/// CloudWatch publishes a point up to about two minutes late (rule 33).
const PUBLICATION_MS: i64 = 120_000;

/// `PutMetricData` of one value, given in millionths, at the service's own time.
pub(super) async fn put(
    client: &Client,
    namespace: &str,
    metric: &str,
    dimensions: &[(String, String)],
    value: i64,
) -> Result<Receipt, Failure> {
    const OPERATION: &str = "cloudwatch PutMetricData";
    #[expect(clippy::cast_precision_loss, reason = "a plan's numbers are far below 2^53 millionths")]
    let value = value as f64 / 1_000_000.0;
    let datum = MetricDatum::builder().metric_name(metric).set_dimensions(Some(to_sdk(dimensions))).value(value).build();
    let request = client.put_metric_data().namespace(namespace).metric_data(datum);
    let answer = request.send().await.map_err(|e| errors::failure(OPERATION, &e))?;
    errors::confirmed(OPERATION, answer.request_id())
}

fn to_sdk(dimensions: &[(String, String)]) -> Vec<Dimension> {
    dimensions.iter().map(|(name, value)| Dimension::builder().name(name).value(value).build()).collect()
}

/// What one query gave over all pages.
#[derive(Debug, Default)]
struct Series {
    /// Start of the period in milliseconds, and the value.
    points: Vec<(Millis, f64)>,
    /// Status of the last page that mentioned the query; `None` when none did.
    status: Option<StatusCode>,
}

/// What a poll gave of one metric.
pub(super) enum Polled {
    /// What it reads.
    Reading(Reading),
    /// CloudWatch took the question and has no point that is over.
    Silent,
}

/// Reads the newest complete value of every metric.
pub(super) async fn poll(
    client: &Client,
    monitors: &[(MonitorId, &MetricSource)],
    now: Millis,
) -> Result<Vec<(MonitorId, Polled)>, Failure> {
    let mut readings = Vec::with_capacity(monitors.len());
    for MetricBatch { window_ms, metrics } in metric_batches(monitors) {
        let series = fetch(client, &metrics, now - window_ms, now).await?;
        for (index, (id, source)) in metrics.into_iter().enumerate() {
            readings.push((id, reading(source, series.get(&format!("m{index}")), now)));
        }
    }
    readings.sort_by_key(|(id, _)| *id);
    Ok(readings)
}

/// One `GetMetricData` with all its pages; the queries are `m0`, `m1`, … in the order of `batch`.
async fn fetch(
    client: &Client,
    batch: &[(MonitorId, &MetricSource)],
    start: Millis,
    end: Millis,
) -> Result<BTreeMap<String, Series>, Failure> {
    let queries: Vec<MetricDataQuery> = batch.iter().enumerate().map(|(index, (_, source))| query(index, source)).collect();
    let mut series: BTreeMap<String, Series> = BTreeMap::new();
    let mut next: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let answer = client
            .get_metric_data()
            .set_metric_data_queries(Some(queries.clone()))
            .start_time(DateTime::from_millis(start))
            .end_time(DateTime::from_millis(end))
            .scan_by(ScanBy::TimestampDescending)
            .set_next_token(next.take())
            .send()
            .await
            .map_err(|e| errors::failure(OPERATION, &e))?;
        for result in answer.metric_data_results() {
            let entry = series.entry(result.id().unwrap_or_default().to_owned()).or_default();
            entry.status = result.status_code().cloned();
            let times = result.timestamps().iter().filter_map(|t| t.to_millis().ok());
            entry.points.extend(times.zip(result.values().iter().copied()));
        }
        next = answer.next_token().filter(|t| !t.is_empty()).map(str::to_owned);
        if next.is_none() {
            return Ok(series);
        }
    }
    Err(errors::unknown(format!("{OPERATION}: more than {PAGES_MAX} pages")))
}

fn query(index: usize, source: &MetricSource) -> MetricDataQuery {
    let dimensions = Some(to_sdk(&source.dimensions));
    let metric = Metric::builder().namespace(&source.namespace).metric_name(&source.metric).set_dimensions(dimensions).build();
    let period_s = i32::try_from(source.period_ms / 1000).unwrap_or(i32::MAX).max(1);
    let stat = MetricStat::builder().metric(metric).period(period_s).stat(&source.stat).build();
    MetricDataQuery::builder().id(format!("m{index}")).metric_stat(stat).return_data(true).build()
}

/// The newest complete point as a reading; its time is the end of its period.
fn reading(source: &MetricSource, series: Option<&Series>, now: Millis) -> Polled {
    let missing = |why: &str| Polled::Reading(Reading { at: now, value: Value::Missing(why.to_owned()) });
    let Some(Series { points, status: Some(status) }) = series else {
        return missing("the answer does not mention the metric");
    };
    if *status != StatusCode::Complete {
        return missing(status.as_str());
    }
    // The order is not relied on: not every endpoint honours `ScanBy`.
    let newest = points
        .iter()
        .map(|&(start, value)| (start.saturating_add(source.period_ms), value))
        .filter(|&(end, _)| end <= now)
        .max_by_key(|&(end, _)| end);
    // Where no data means zero, a point that should long have had a successor says nothing about now.
    let stale_ms = source.period_ms.saturating_mul(3).saturating_add(PUBLICATION_MS);
    match newest {
        Some((end, _)) if source.absent_is_zero && now - end > stale_ms => {
            Polled::Reading(Reading { at: now, value: Value::Number(0) })
        }
        Some((end, value)) => Polled::Reading(Reading { at: end, value: scaled(value, source.scale) }),
        None => Polled::Silent,
    }
}

/// The value in millionths of the base unit; anything that is no such number is missing.
fn scaled(value: f64, scale: i64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "scales are small powers of ten, which a double holds exactly")]
    let product = (value * scale as f64).round();
    // 2^63 is the first double beyond the range of an i64.
    if !product.is_finite() || product.abs() >= 9_223_372_036_854_775_808.0 {
        return Value::Missing("not a number".to_owned());
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole and within range, as checked above")]
    let number = product as i64;
    Value::Number(number)
}

#[cfg(test)]
mod tests {
    use super::super::silence;
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

    /// What is read where nobody could say why a metric is silent.
    fn reading(source: &MetricSource, series: Option<&Series>, now: Millis) -> Reading {
        match super::reading(source, series, now) {
            Polled::Reading(reading) => reading,
            Polled::Silent => silence::word(&silence::Listed::Unsaid, source, now),
        }
    }

    fn complete(points: &[(Millis, f64)]) -> Series {
        Series { points: points.to_vec(), status: Some(StatusCode::Complete) }
    }

    #[test]
    fn the_newest_point_counts_only_when_its_period_has_ended() {
        let series = complete(&[(NOW - 180_000, 3.0), (NOW - 59_999, 9.0), (NOW - 60_000, 1.5)]);
        assert_eq!(reading(&source(false), Some(&series), NOW), Reading { at: NOW, value: Value::Number(1_500_000) });
        let half = complete(&[(NOW - 59_999, 9.0)]);
        assert_eq!(reading(&source(false), Some(&half), NOW).value, Value::Missing("no data".into()));
    }

    #[test]
    fn partial_and_forbidden_are_unknown_words_never_numbers() {
        for (status, word) in [
            (StatusCode::PartialData, "PartialData"),
            (StatusCode::InternalError, "InternalError"),
            (StatusCode::Forbidden, "Forbidden"),
        ] {
            let series = Series { points: vec![(NOW - 120_000, 1.0)], status: Some(status) };
            assert_eq!(reading(&source(true), Some(&series), NOW).value, Value::Missing(word.into()));
        }
        assert!(matches!(reading(&source(true), None, NOW).value, Value::Missing(_)));
    }

    #[test]
    fn silence_is_zero_only_where_the_source_says_so() {
        let old = complete(&[(NOW - 800_000, 5.0)]);
        assert_eq!(reading(&source(true), Some(&complete(&[])), NOW).value, Value::Number(0));
        assert_eq!(reading(&source(true), Some(&old), NOW).value, Value::Number(0));
        assert_eq!(reading(&source(false), Some(&old), NOW), Reading { at: NOW - 740_000, value: Value::Number(5_000_000) });
    }

    #[test]
    fn what_is_no_number_is_missing() {
        assert_eq!(scaled(-1.0, 1_000_000), Value::Number(-1_000_000));
        assert_eq!(scaled(0.000_000_4, 1_000_000), Value::Number(0));
        for bad in [f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(scaled(bad, 1_000_000), Value::Missing("not a number".into()));
        }
    }
}
