//! What a screen shows of what the plan says beside its steps.

use serde::{Deserialize, Serialize};

use super::{StepState, Verdict};
use crate::cloud::Millis;

/// Parts, risks, success criteria, cost and escalation, as they stand now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AboutView {
    /// What the plan covers, and how far each part is.
    pub parts: Vec<PartView>,
    /// What may go wrong.
    pub risks: Vec<RiskView>,
    /// What has to be true in the end.
    pub success: Vec<CriterionView>,
    /// What it costs.
    pub cost: Option<CostView>,
    /// Whom to call.
    pub escalation: Option<EscalationView>,
}

/// A part of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartView {
    /// Its id.
    pub id: String,
    /// One line for people.
    pub title: String,
    /// The steps that belong to it, with their states.
    pub steps: Vec<(String, StepState)>,
}

/// A risk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskView {
    /// One line for people.
    pub title: String,
    /// `low`, `medium` or `high`.
    pub likelihood: String,
    /// `low`, `medium` or `high`.
    pub impact: String,
    /// Index of the phase beside which it stands.
    pub phase: usize,
    /// What is done against it.
    pub mitigation: String,
    /// The steps that do so, with their states.
    pub steps: Vec<(String, StepState)>,
    /// The monitors that would show it.
    pub monitors: Vec<String>,
}

/// A success criterion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CriterionView {
    /// One line for people.
    pub title: String,
    /// Of the business, and not of the technology.
    pub business: bool,
    /// What monitors and steps say of it; `None` when it is somebody's word.
    pub verdict: Option<Verdict>,
}

/// The cost of a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostView {
    /// Such as `USD`.
    pub currency: String,
    /// Component, group, before, after; amounts in hundredths.
    pub items: Vec<(String, String, i64, i64)>,
    /// Group (the last one is `total`), before, after, change in words, whether it is within the limit.
    pub sums: Vec<(String, i64, i64, String, bool)>,
    /// The limit, in millionths.
    pub limit_ppm: i64,
}

/// Whom to call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EscalationView {
    /// Level, title, how soon somebody answers in milliseconds, who.
    pub levels: Vec<(String, String, i64, Vec<String>)>,
    /// Since when users fail: the response times count from then.
    pub since: Option<Millis>,
    /// A support case, with what the run knows filled in: subject and text.
    pub support_case: Option<(String, String)>,
}
