//! A call for people.

use crate::cloud::Call;
use crate::plan::{Quantity, RecordSet, Unit};
use crate::run::snapshot::{CallView, DiffLine};

/// A call for people; records whose weight is all that changes are shown in one line each way.
#[must_use]
pub fn call_view(call: &Call, sent: bool, state: &str) -> CallView {
    let lines = match call {
        Call::ChangeRecords { delete, create, .. } => {
            let weight_only = |a: &RecordSet, b: &RecordSet| RecordSet { weight: b.weight, ..a.clone() } == *b;
            let mut lines = Vec::new();
            for old in delete {
                match create.iter().find(|new| weight_only(old, new)) {
                    Some(new) => {
                        let name = old.set.as_deref().unwrap_or(&old.name);
                        lines.push(DiffLine::Minus(format!("{name} weight {}", old.weight.unwrap_or(0))));
                        lines.push(DiffLine::Plus(format!("{name} weight {}", new.weight.unwrap_or(0))));
                    }
                    None => lines.push(DiffLine::Minus(old.to_string())),
                }
            }
            let new = create.iter().filter(|new| !delete.iter().any(|old| weight_only(old, new)));
            lines.extend(new.map(|r| DiffLine::Plus(r.to_string())));
            lines
        }
        Call::CreateChangeSet { region, stack, create, .. } => {
            vec![DiffLine::Plus(format!("{} {stack} in {region}", if *create { "create" } else { "update" }))]
        }
        Call::ExecuteChangeSet { region, stack, change_set } => {
            vec![DiffLine::Same(format!("{change_set} of {stack} in {region}"))]
        }
        Call::DeleteStack { region, stack } => vec![DiffLine::Minus(format!("{stack} in {region}"))],
        Call::UpdateHealthCheck { id, inverted, .. } => vec![
            DiffLine::Minus(format!("health check {id} inverted {}", !inverted)),
            DiffLine::Plus(format!("health check {id} inverted {inverted}")),
        ],
        Call::PutMetric { region, namespace, metric, value, .. } => {
            let value = Quantity { micros: *value, unit: Unit::Count };
            vec![DiffLine::Plus(format!("{namespace} {metric} = {value} in {region}"))]
        }
    };
    let control_plane = call.control_plane().map(str::to_owned);
    CallView { operation: call.operation().into(), control_plane, sent, state: state.into(), lines }
}
