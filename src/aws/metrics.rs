//! CloudWatch: all metrics of a region in one `GetMetricData` (rule 25), and the one value that a data-plane switch puts
//! there.
//!
//! A point counts only when its period has ended, that is when `timestamp + period <= now`: a half-filled newest
//! point opens no gate (rule 33). A point that has ended may still change for about two minutes; it is shown
//! rather than held back, because a later reading replaces it.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::error::ProvideErrorMetadata;
use aws_sdk_cloudwatch::operation::RequestId;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MessageData, Metric, MetricDataQuery, MetricDatum, MetricStat, ScanBy, StatusCode};

use super::errors;
use super::math::{self, Memory};
use crate::cloud::{Failure, MetricBatch, Millis, Reading, Receipt, Value, metric_batches};
use crate::plan::{self, Asks, MetricSource, MonitorId};

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
    /// What CloudWatch says about it, such as that points were dropped since they were no numbers.
    said: String,
}

/// What a poll gave of one metric.
#[derive(Debug)]
pub(super) enum Polled {
    /// What it reads.
    Reading(Reading),
    /// CloudWatch took the question and has no point that is over.
    Silent(Hush),
}

/// A metric or an expression without a point that is over.
#[derive(Debug, Default)]
pub(super) struct Hush {
    /// Of an expression: which of its metrics have points, where that was asked for.
    pub(super) has_points: Option<Vec<bool>>,
    /// What CloudWatch says about it; may be empty.
    pub(super) said: String,
}

/// Reads the newest complete value of every metric of a region.
///
/// With one expression that it does not understand CloudWatch refuses the whole call. It names the expression, so the call
/// is made again without it: the others of the region are not to suffer. The refused one is left out for some minutes.
pub(super) async fn poll(
    client: &Client,
    memory: &Memory,
    region: &str,
    monitors: &[(MonitorId, &MetricSource)],
    now: Millis,
) -> Result<Vec<(MonitorId, Polled)>, Failure> {
    let missing = |why: String| Polled::Reading(Reading { at: now, value: Value::Missing(why) });
    let mut readings = Vec::with_capacity(monitors.len());
    let mut asked = Vec::with_capacity(monitors.len());
    for &(id, source) in monitors {
        match memory.refused(region, id, now) {
            Some(why) => readings.push((id, missing(why))),
            None => asked.push((id, source)),
        }
    }
    for MetricBatch { window_ms, mut metrics } in metric_batches(&asked) {
        while !metrics.is_empty() {
            match fetch(client, memory, region, &metrics, (now - window_ms, now)).await {
                Ok(series) => {
                    for (index, (id, source)) in metrics.drain(..).enumerate() {
                        let polled = reading(index, source, &series, now);
                        memory.heard(region, id, matches!(polled, Polled::Silent(_)));
                        readings.push((id, polled));
                    }
                }
                Err(Refusal::Call(failure)) => return Err(failure),
                Err(Refusal::Math(message)) => {
                    let named = metrics
                        .iter()
                        .enumerate()
                        .position(|(index, (_, source))| matches!(source.asks, Asks::Math(_)) && math::is_named(&message, index));
                    let mut kept = Vec::with_capacity(metrics.len());
                    for (index, (id, source)) in metrics.drain(..).enumerate() {
                        let out = named.map_or(matches!(source.asks, Asks::Math(_)), |named| named == index);
                        if !out {
                            kept.push((id, source));
                            continue;
                        }
                        let whose = if named.is_some() { "this expression" } else { "an expression of the region" };
                        let why = format!("CloudWatch refuses {whose}: {}", math::in_words_of_the_plan(&message, index));
                        memory.refuse(region, id, now, &why);
                        readings.push((id, missing(why)));
                    }
                    metrics = kept;
                }
            }
        }
    }
    readings.sort_by_key(|(id, _)| *id);
    Ok(readings)
}

/// Why a call gave nothing.
enum Refusal {
    /// As any other call.
    Call(Failure),
    /// CloudWatch does not take what it was asked for, and there is an expression in it. What it says.
    Math(String),
}

/// One `GetMetricData` with all its pages; the queries are named as in [`math`].
async fn fetch(
    client: &Client,
    memory: &Memory,
    region: &str,
    batch: &[(MonitorId, &MetricSource)],
    (start, end): (Millis, Millis),
) -> Result<BTreeMap<String, Series>, Refusal> {
    let of = |(index, (id, source)): (usize, &(MonitorId, &MetricSource))| queries(index, source, memory.was_silent(region, *id));
    let queries: Vec<MetricDataQuery> = batch.iter().enumerate().flat_map(of).collect();
    let has_math = batch.iter().any(|(_, source)| matches!(source.asks, Asks::Math(_)));
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
            .map_err(|e| match e.code() {
                Some(code) if has_math && math::is_invalid(code) => Refusal::Math(e.message().unwrap_or(code).to_owned()),
                _ => Refusal::Call(errors::failure(OPERATION, &e)),
            })?;
        let said = |messages: &[MessageData]| {
            let words = messages.iter().map(|m| format!("{}: {}", m.code().unwrap_or_default(), m.value().unwrap_or_default()));
            words.collect::<Vec<_>>().join("; ")
        };
        for result in answer.metric_data_results() {
            let entry = series.entry(result.id().unwrap_or_default().to_owned()).or_default();
            entry.status = result.status_code().cloned();
            entry.said = said(result.messages());
            let times = result.timestamps().iter().filter_map(|t| t.to_millis().ok());
            entry.points.extend(times.zip(result.values().iter().copied()));
        }
        next = answer.next_token().filter(|t| !t.is_empty()).map(str::to_owned);
        if next.is_none() {
            return Ok(series);
        }
    }
    Err(Refusal::Call(errors::unknown(format!("{OPERATION}: more than {PAGES_MAX} pages"))))
}

/// The queries of one metric or expression. The metrics of an expression are only its inputs, unless it said nothing the
/// last time: then their own points tell which of them is silent, in the same call.
fn queries(index: usize, source: &MetricSource, was_silent: bool) -> Vec<MetricDataQuery> {
    let period_s = i32::try_from(source.period_ms / 1000).unwrap_or(i32::MAX).max(1);
    let stat = |of: &plan::Metric| {
        let dimensions = Some(to_sdk(&of.dimensions));
        let metric = Metric::builder().namespace(&of.namespace).metric_name(&of.name).set_dimensions(dimensions).build();
        MetricStat::builder().metric(metric).period(period_s).stat(&of.stat).build()
    };
    let named = |id: String| MetricDataQuery::builder().id(id);
    let metrics = source.metrics().map(|(input, metric)| match input {
        None => named(math::id(index)).metric_stat(stat(metric)).return_data(true).build(),
        Some(input) => named(math::input_id(index, input)).metric_stat(stat(metric)).return_data(was_silent).build(),
    });
    let expression = match &source.asks {
        Asks::Metric(_) => None,
        Asks::Math(math) => {
            let text = math.renamed(|input| math::input_id(index, input));
            Some(named(math::id(index)).expression(text).period(period_s).return_data(true).build())
        }
    };
    metrics.chain(expression).collect()
}

/// The newest complete point as a reading; its time is the end of its period.
fn reading(index: usize, source: &MetricSource, series: &BTreeMap<String, Series>, now: Millis) -> Polled {
    let missing = |why: &str| Polled::Reading(Reading { at: now, value: Value::Missing(why.to_owned()) });
    let Some(Series { points, status: Some(status), said }) = series.get(&math::id(index)) else {
        return missing("the answer does not mention the metric");
    };
    if *status != StatusCode::Complete {
        return missing(&[status.as_str(), said].join(": ").trim_end_matches(": ").replace(&format!("{}_", math::id(index)), ""));
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
        None => {
            let input = |(name, _): (Option<&str>, &plan::Metric)| series.get(&math::input_id(index, name?));
            let inputs: Vec<Option<&Series>> = source.metrics().map(input).collect();
            let was_asked = inputs.iter().any(Option::is_some);
            let over = |s: &Series| s.points.iter().any(|(start, _)| start.saturating_add(source.period_ms) <= now);
            let has_points = was_asked.then(|| inputs.iter().map(|s| s.is_some_and(over)).collect());
            Polled::Silent(Hush { has_points, said: said.clone() })
        }
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
            asks: Asks::Metric(plan::Metric {
                namespace: "N".into(),
                name: "M".into(),
                dimensions: Vec::new(),
                stat: "Maximum".into(),
            }),
            period_ms: 60_000,
            unit: Unit::Time,
            scale: 1_000_000,
            replication: false,
            absent_is_zero,
        }
    }

    /// What is read where nobody could say why a metric is silent.
    fn reading(source: &MetricSource, series: Option<&Series>, now: Millis) -> Reading {
        let copy = |s: &Series| Series { points: s.points.clone(), status: s.status.clone(), said: s.said.clone() };
        let series = series.map(|s| ("m0".to_owned(), copy(s))).into_iter().collect();
        match super::reading(0, source, &series, now) {
            Polled::Reading(reading) => reading,
            Polled::Silent(hush) => silence::word(&hush, &[silence::Listed::Unsaid], source, now),
        }
    }

    fn complete(points: &[(Millis, f64)]) -> Series {
        Series { points: points.to_vec(), status: Some(StatusCode::Complete), said: String::new() }
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
            let series = Series { points: vec![(NOW - 120_000, 1.0)], status: Some(status), said: String::new() };
            assert_eq!(reading(&source(true), Some(&series), NOW).value, Value::Missing(word.into()));
            let series = Series { said: "Code: why".into(), ..series };
            assert_eq!(reading(&source(true), Some(&series), NOW).value, Value::Missing(format!("{word}: Code: why")));
        }
        assert!(matches!(reading(&source(true), None, NOW).value, Value::Missing(_)));
    }

    #[test]
    fn the_metrics_of_an_expression_tell_their_own_points_only_while_it_is_silent() {
        let Asks::Metric(metric) = source(false).asks else { unreachable!() };
        let inputs = vec![("errors".to_owned(), metric.clone()), ("requests".to_owned(), metric)];
        let asks = Asks::Math(plan::Math { expression: "errors / requests".into(), inputs });
        let share = MetricSource { asks, ..source(false) };
        for silent in [false, true] {
            let asked = queries(3, &share, silent);
            let names: Vec<_> = asked.iter().map(|q| (q.id().unwrap(), q.expression(), q.return_data().unwrap())).collect();
            let expression = ("m3", Some("m3_errors / m3_requests"), true);
            assert_eq!(names, [("m3_errors", None, silent), ("m3_requests", None, silent), expression]);
        }
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
