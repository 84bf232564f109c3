//! A call for people.

use crate::cloud::{Call, HttpCall, Splice};
use crate::plan::{Quantity, RecordSet, Unit, format_ms};
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
        Call::RunScript { script_sha256, env, secrets, timeout_ms, .. } => {
            let head =
                format!("bash, sha256 {}, at most {}", script_sha256.get(..12).unwrap_or_default(), format_ms(*timeout_ms));
            let env = env.iter().map(|(name, value)| format!("{name}={value}"));
            let secrets = secrets.iter().map(|name| format!("{name}=(secret)"));
            std::iter::once(head).chain(env).chain(secrets).map(DiffLine::Same).collect()
        }
        Call::EditFile { file, splices, .. } => edit_lines(file, splices),
        Call::MakeRequest { request, .. } => request_lines(request),
    };
    let control_plane = call.control_plane().map(str::to_owned);
    CallView { operation: call.operation().into(), control_plane, local: call.is_local(), sent, state: state.into(), lines }
}

fn edit_lines(file: &str, splices: &[Splice]) -> Vec<DiffLine> {
    let mut lines = vec![DiffLine::Same(file.to_owned())];
    for splice in splices {
        lines.extend(splice.old.lines().map(|line| DiffLine::Minus(line.to_owned())));
        lines.extend(splice.new.lines().map(|line| DiffLine::Plus(line.to_owned())));
    }
    lines
}

fn request_lines(request: &HttpCall) -> Vec<DiffLine> {
    let mut lines = vec![DiffLine::Plus(format!("{} {}", request.method, request.url))];
    lines.extend(request.connect_to.iter().map(|to| DiffLine::Same(format!("connect to {to}"))));
    lines.extend(request.headers.iter().map(|(name, value)| DiffLine::Same(format!("{name}: {value}"))));
    lines.extend(
        request.body.iter().flat_map(|body| body.to_string().lines().map(str::to_owned).collect::<Vec<_>>()).map(DiffLine::Plus),
    );
    lines.push(DiffLine::Same(format!("expects {}", request.expect.status)));
    let wants = request.expect.headers.iter().chain(&request.expect.json);
    lines.extend(wants.map(|(of, want)| DiffLine::Same(format!("expects {of} {want}"))));
    lines
}
