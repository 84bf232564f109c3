//! What a plan says beside its steps: what it covers, what may go wrong, what has to be true in the end, what it costs, and
//! whom to call.

use super::{ConditionId, MonitorId, StepId};

/// Everything that a plan says beside its steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// What the plan covers: id and title, in the order of the file.
    pub parts: Vec<(String, String)>,
    /// What may go wrong.
    pub risks: Vec<Risk>,
    /// What has to be true in the end.
    pub success: Vec<Criterion>,
    /// What it costs.
    pub cost: Option<Cost>,
    /// Whom to call, and how soon they answer.
    pub escalation: Option<Escalation>,
}

/// Something that may go wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Risk {
    /// Its id.
    pub id: String,
    /// One line for people.
    pub title: String,
    /// How likely it is.
    pub likelihood: Grade,
    /// How bad it would be.
    pub impact: Grade,
    /// The phase beside which it is shown.
    pub phase: usize,
    /// What is done against it.
    pub mitigation: String,
    /// The steps that do so.
    pub steps: Vec<StepId>,
    /// The monitors that would show it.
    pub monitors: Vec<MonitorId>,
}

/// How much of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
}

impl Grade {
    /// The plan's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Grade::Low => "low",
            Grade::Medium => "medium",
            Grade::High => "high",
        }
    }
}

/// Something that has to be true in the end. With neither conditions nor steps it is somebody's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Criterion {
    /// Its id.
    pub id: String,
    /// One line for people.
    pub title: String,
    /// Of the business, and not of the technology.
    pub business: bool,
    /// All of these must hold.
    pub when: Vec<ConditionId>,
    /// All of these must be done.
    pub done: Vec<StepId>,
}

/// What a month costs, before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// Such as `USD`.
    pub currency: String,
    /// The components, in the order of the file.
    pub items: Vec<CostItem>,
    /// By how much a group, or the whole, may become dearer, in millionths.
    pub limit_ppm: i64,
}

/// A component of the cost. Amounts are in hundredths of the currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CostItem {
    /// What it is.
    pub name: String,
    /// The group that it belongs to.
    pub group: String,
    /// A month before.
    pub before: i64,
    /// A month after.
    pub after: i64,
}

/// A sum of costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CostSum {
    /// The group; `total` for everything.
    pub group: String,
    /// A month before, in hundredths of the currency.
    pub before: i64,
    /// A month after, in hundredths of the currency.
    pub after: i64,
    /// By how much it becomes dearer, in millionths.
    pub change_ppm: i64,
    /// Whether that is within the limit.
    pub good: bool,
}

impl Cost {
    /// The sums of the groups in the order of the file, then that of everything.
    #[must_use]
    pub fn sums(&self) -> Vec<CostSum> {
        let mut groups: Vec<&str> = Vec::new();
        for item in &self.items {
            if !groups.contains(&item.group.as_str()) {
                groups.push(&item.group);
            }
        }
        let of = |group: &str| self.sum(group, self.items.iter().filter(|item| item.group == group));
        let mut sums: Vec<CostSum> = groups.into_iter().map(of).collect();
        sums.push(self.sum("total", self.items.iter()));
        sums
    }

    fn sum<'a>(&self, group: &str, items: impl Iterator<Item = &'a CostItem>) -> CostSum {
        let (before, after) = items.fold((0, 0), |(before, after), item| (before + item.before, after + item.after));
        let change_ppm = if before == 0 { 0 } else { (after - before) * 1_000_000 / before };
        CostSum { group: group.to_owned(), before, after, change_ppm, good: change_ppm <= self.limit_ppm }
    }
}

/// Whom to call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Escalation {
    /// The levels, gravest first.
    pub levels: Vec<EscalationLevel>,
    /// Subject and text of a support case, ready to be filled in.
    pub support_case: Option<(String, String)>,
}

/// How grave something is, and who answers how soon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EscalationLevel {
    /// Such as `P1`.
    pub id: String,
    /// One line for people.
    pub title: String,
    /// How soon somebody answers, in milliseconds.
    pub response_ms: i64,
    /// Who.
    pub contacts: Vec<String>,
}

/// Hundredths of a currency as people write them.
#[must_use]
pub fn money(hundredths: i64) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", hundredths.abs() / 100, hundredths.abs() % 100)
}

/// A change in millionths as people write it: in percent, with its sign, rounded to two places.
#[must_use]
pub fn percent(ppm: i64) -> String {
    let hundredths = (ppm.abs() + 50) / 100;
    let sign = if ppm < 0 { '-' } else { '+' };
    format!("{sign}{}.{:02} %", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(group: &str, before: i64, after: i64) -> CostItem {
        CostItem { name: "x".into(), group: group.into(), before, after }
    }

    #[test]
    fn sums_are_computed_and_judged() {
        let items = vec![item("core", 20_850, 21_861), item("ehr", 31_388, 32_957)];
        let cost = Cost { currency: "USD".into(), items, limit_ppm: 49_000 };
        let sums = cost.sums();
        assert_eq!(sums.iter().map(|s| s.group.as_str()).collect::<Vec<_>>(), ["core", "ehr", "total"]);
        assert_eq!((sums[0].change_ppm, sums[0].good), (48_489, true));
        assert_eq!((sums[2].before, sums[2].after, sums[2].change_ppm, sums[2].good), (52_238, 54_818, 49_389, false));
        assert_eq!((percent(48_489).as_str(), percent(-150).as_str()), ("+4.85 %", "-0.02 %"));
        assert_eq!((money(52_238).as_str(), money(-5).as_str()), ("522.38", "-0.05"));
    }
}
