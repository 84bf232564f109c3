//! Metric-math expressions on their way to CloudWatch: what their parts are called in a call that holds those of many
//! monitors, and what is remembered of those that did not work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::cloud::{LIST_EVERY_MS, Millis};
use crate::plan::MonitorId;

/// What a call's metric or expression is called that has this number in it.
pub(super) fn id(index: usize) -> String {
    format!("m{index}")
}

/// What a metric is called that an expression names. No other name of the call is the same, since those of a plan are
/// unique within their expression.
pub(super) fn input_id(index: usize, input: &str) -> String {
    format!("m{index}_{input}")
}

/// True for the code of an error by which CloudWatch refuses what it is asked for, and not whoever asks.
pub(super) fn is_invalid(code: &str) -> bool {
    code.starts_with("Validation") || code.starts_with("InvalidParameter")
}

/// Whether a message of CloudWatch speaks of the expression with this number, or of one of its metrics.
pub(super) fn is_named(message: &str, index: usize) -> bool {
    let (id, inputs) = (id(index), input_id(index, ""));
    let mut words = message.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.any(|word| word == id || word.starts_with(&inputs))
}

/// A message of CloudWatch with the names that the plan has for the metrics of an expression.
pub(super) fn in_words_of_the_plan(message: &str, index: usize) -> String {
    message.replace(&input_id(index, ""), "").replace(&format!(" '{}'", id(index)), "")
}

/// What did not work, by region and monitor.
#[derive(Debug, Default)]
pub(super) struct Memory {
    refused: Mutex<BTreeMap<(String, MonitorId), (Millis, String)>>,
    silent: Mutex<BTreeSet<(String, MonitorId)>>,
}

impl Memory {
    /// Notes that CloudWatch refuses an expression, and why.
    pub(super) fn refuse(&self, region: &str, id: MonitorId, now: Millis, why: &str) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.insert((region.to_owned(), id), (now, why.to_owned()));
    }

    /// Why an expression need not be asked for now. After some minutes it is tried again: a metric that was not there may
    /// be there, and nobody has to start anything again for that.
    pub(super) fn refused(&self, region: &str, id: MonitorId, now: Millis) -> Option<String> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, why) = refused.get(&(region.to_owned(), id))?;
        (now.saturating_sub(*at) < LIST_EVERY_MS).then(|| why.clone())
    }

    /// Notes whether something had no point.
    pub(super) fn heard(&self, region: &str, id: MonitorId, silent: bool) {
        let mut known = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (region.to_owned(), id);
        if silent {
            known.insert(key)
        } else {
            known.remove(&key)
        };
    }

    /// Whether it had none the last time.
    pub(super) fn was_silent(&self, region: &str, id: MonitorId) -> bool {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner).contains(&(region.to_owned(), id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_of_the_expression_that_it_names() {
        for message in ["Error in expression 'm1': Syntax error", "The metric m1_requests is not there"] {
            assert_eq!([0, 1, 2, 11].map(|index| is_named(message, index)), [false, true, false, false], "{message}");
        }
        assert!(!is_named("Error in expression 'm11': m1x", 1));
        assert_eq!(in_words_of_the_plan("Error in expression 'm1': m1_a + m1_b", 1), "Error in expression: a + b");
    }

    #[test]
    fn a_refused_question_is_told_from_a_refused_asker() {
        assert!(["ValidationError", "InvalidParameterValue", "InvalidParameterCombination"].iter().all(|code| is_invalid(code)));
        assert!(!["AccessDenied", "Throttling", "ExpiredToken", "InternalServiceFault"].iter().any(|code| is_invalid(code)));
    }

    #[test]
    fn silence_is_remembered_until_something_is_heard() {
        let memory = Memory::default();
        memory.heard("here", 3, true);
        let silent = |region: &str, id| memory.was_silent(region, id);
        assert_eq!([silent("here", 3), silent("there", 3), silent("here", 4)], [true, false, false]);
        memory.heard("here", 3, false);
        assert!(!silent("here", 3));
    }

    #[test]
    fn what_is_refused_is_tried_again_after_some_minutes() {
        let memory = Memory::default();
        memory.refuse("here", 3, 1_000, "why");
        assert_eq!(memory.refused("here", 3, 1_000 + LIST_EVERY_MS - 1).as_deref(), Some("why"));
        assert_eq!(memory.refused("here", 3, 1_000 + LIST_EVERY_MS), None);
        assert_eq!(memory.refused("there", 3, 1_000), None);
    }
}
