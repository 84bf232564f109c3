//! CloudFormation: stacks, their events and their change sets.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::operation::RequestId;
use aws_sdk_cloudformation::operation::describe_change_set::DescribeChangeSetOutput;
use aws_sdk_cloudformation::types::{Capability, ChangeSetType, ExecutionStatus, Parameter, Stack};

use super::errors;
use crate::cloud::{
    Answer, ChangeSetInfo, Failure, FailureKind, Millis, Reading, Receipt, ResourceChange, StackEvent, StackInfo, StackSight,
    Value,
};
use crate::plan::{MonitorId, sha256_hex};

/// A listing that goes on for more pages than this is given up.
const PAGES_MAX: usize = 100;
/// Events further back than so many pages are not read, whatever was seen last: a stack under the name of an earlier one has
/// none of its events.
const EVENT_PAGES_MAX: usize = 10;

/// What [`create_change_set`] sends.
pub(super) struct NewChangeSet<'a> {
    pub stack: &'a str,
    pub change_set: &'a str,
    pub create: bool,
    pub template: &'a str,
    pub template_sha256: &'a str,
    pub parameters: &'a [(String, String)],
    pub capabilities: &'a [String],
}

/// `DescribeStacks` of one stack, by name or id. A deleted stack is still found by its id (rule 21), and one that
/// a CREATE change set left in `REVIEW_IN_PROGRESS` counts as there (rule 35).
pub(super) async fn stack(client: &Client, stack: &str) -> Result<Option<StackInfo>, Failure> {
    const OPERATION: &str = "cloudformation DescribeStacks";
    match client.describe_stacks().stack_name(stack).send().await {
        Ok(answer) => match answer.stacks() {
            [one] => Ok(Some(info(one))),
            many => Err(errors::unknown(format!("{OPERATION}: {} stacks instead of one", many.len()))),
        },
        Err(e) if errors::is_missing_stack(&e) => Ok(None),
        Err(e) => Err(errors::failure(OPERATION, &e)),
    }
}

/// Reads many stacks of a region with one paged `DescribeStacks` that names none of them (rule 21).
pub(super) async fn poll(client: &Client, monitors: &[(MonitorId, &str)], now: Millis) -> Result<Answer, Failure> {
    const OPERATION: &str = "cloudformation DescribeStacks";
    let mut by_name: BTreeMap<String, (StackInfo, Option<Millis>)> = BTreeMap::new();
    let mut next: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let page =
            client.describe_stacks().set_next_token(next.take()).send().await.map_err(|e| errors::failure(OPERATION, &e))?;
        // A page without stacks is normal, one without a request id is not CloudFormation's.
        errors::confirmed(OPERATION, page.request_id())?;
        for stack in page.stacks() {
            let updated = stack.last_updated_time().or_else(|| stack.creation_time()).and_then(|t| t.to_millis().ok());
            by_name.insert(stack.stack_name().unwrap_or_default().to_owned(), (info(stack), updated));
        }
        next = page.next_token().filter(|t| !t.is_empty()).map(str::to_owned);
        if next.is_none() {
            let status = |name: &str| by_name.get(name).map_or_else(|| "ABSENT".to_owned(), |(info, _)| info.status.clone());
            let reading = |&(id, name): &(MonitorId, &str)| (id, Reading { at: now, value: Value::Status(status(name)) });
            let sight = |&(monitor, name): &(MonitorId, &str)| {
                by_name.get(name).map(|(info, updated)| StackSight { monitor, id: info.id.clone(), updated: *updated })
            };
            return Ok(Answer::Stacks(monitors.iter().map(reading).collect(), monitors.iter().filter_map(sight).collect()));
        }
    }
    Err(errors::unknown(format!("{OPERATION}: more than {PAGES_MAX} pages")))
}

/// The events after one that is known, newest first; none when there is no such stack. Paging stops at the known one (rule
/// 21), and where none is known after the newest page.
pub(super) async fn events(client: &Client, stack: &str, after: Option<&str>) -> Result<Vec<StackEvent>, Failure> {
    const OPERATION: &str = "cloudformation DescribeStackEvents";
    let mut events = Vec::new();
    let mut next: Option<String> = None;
    for _ in 0..EVENT_PAGES_MAX {
        let page = match client.describe_stack_events().stack_name(stack).set_next_token(next.take()).send().await {
            Ok(page) => page,
            Err(e) if errors::is_missing_stack(&e) => return Ok(Vec::new()),
            Err(e) => return Err(errors::failure(OPERATION, &e)),
        };
        for found in page.stack_events() {
            if after.is_some() && found.event_id() == after {
                return Ok(events);
            }
            events.push(event(found));
        }
        next = page.next_token().filter(|t| !t.is_empty()).map(str::to_owned);
        if next.is_none() || after.is_none() {
            break;
        }
    }
    Ok(events)
}

fn event(e: &aws_sdk_cloudformation::types::StackEvent) -> StackEvent {
    StackEvent {
        id: text(e.event_id()),
        at: e.timestamp().and_then(|t| t.to_millis().ok()).unwrap_or_default(),
        logical_id: text(e.logical_resource_id()),
        resource_type: text(e.resource_type()),
        status: e.resource_status().map(|s| s.as_str().to_owned()).unwrap_or_default(),
        reason: text(e.resource_status_reason()),
        own: e.stack_id().is_some() && e.stack_id() == e.physical_resource_id(),
        physical_id: text(e.physical_resource_id()),
        token: text(e.client_request_token()),
    }
}

/// `CreateChangeSet`. A change set of that name that is already there is an earlier sending of the same call that
/// arrived although its answer was lost, so it counts as accepted.
pub(super) async fn create_change_set(client: &Client, token: &str, new: NewChangeSet<'_>) -> Result<Receipt, Failure> {
    const OPERATION: &str = "cloudformation CreateChangeSet";
    if sha256_hex(new.template) != new.template_sha256 {
        return Err(errors::refused(format!("{OPERATION}: not sent: the template is not the one that the plan was pinned to")));
    }
    let parameter = |(key, value): &(String, String)| Parameter::builder().parameter_key(key).parameter_value(value).build();
    let sent = client
        .create_change_set()
        .stack_name(new.stack)
        .change_set_name(new.change_set)
        .change_set_type(if new.create { ChangeSetType::Create } else { ChangeSetType::Update })
        .client_token(token)
        .template_body(new.template)
        .set_parameters(Some(new.parameters.iter().map(parameter).collect()))
        .set_capabilities(Some(new.capabilities.iter().map(|c| Capability::from(c.as_str())).collect()))
        .send()
        .await;
    match sent {
        Ok(answer) => match answer.id() {
            Some(id) if !id.is_empty() => Ok(Receipt::of(id.to_owned())),
            _ => Err(errors::unknown(format!("{OPERATION}: the answer has no change set id"))),
        },
        Err(e) if e.code().is_some_and(|code| code.starts_with("AlreadyExists")) => {
            match describe(client, new.stack, new.change_set, None).await {
                Ok(Some(found)) => Ok(Receipt::of(text(found.change_set_id()))),
                // It is the stack that exists already, not the change set.
                Ok(None) => Err(errors::failure(OPERATION, &e)),
                // The earlier sending may well have arrived: only reading again can tell.
                Err(failure) => Err(Failure { kind: FailureKind::Unknown, ..failure }),
            }
        }
        Err(e) => Err(errors::failure(OPERATION, &e)),
    }
}

/// `DescribeChangeSet` with all its pages; `None` when there is no such change set.
pub(super) async fn change_set(client: &Client, stack: &str, change_set: &str) -> Result<Option<ChangeSetInfo>, Failure> {
    let mut changes = Vec::new();
    let mut next: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let Some(page) = describe(client, stack, change_set, next.take()).await? else {
            return Ok(None);
        };
        changes.extend(page.changes().iter().filter_map(|c| c.resource_change()).map(|change| ResourceChange {
            action: change.action().map(|a| a.as_str().to_owned()).unwrap_or_default(),
            logical_id: text(change.logical_resource_id()),
            resource_type: text(change.resource_type()),
            replacement: change.replacement().map(|r| r.as_str().to_owned()).unwrap_or_default(),
        }));
        next = page.next_token().filter(|t| !t.is_empty()).map(str::to_owned);
        if next.is_none() {
            let status = page.status().map(|s| s.as_str().to_owned()).unwrap_or_default();
            let reason = text(page.status_reason());
            return Ok(Some(ChangeSetInfo {
                executable: page.execution_status() == Some(&ExecutionStatus::Available),
                no_changes: status == "FAILED" && says_no_changes(&reason),
                status,
                reason,
                changes,
            }));
        }
    }
    Err(errors::unknown(format!("cloudformation DescribeChangeSet: more than {PAGES_MAX} pages")))
}

/// `ExecuteChangeSet`.
pub(super) async fn execute_change_set(client: &Client, token: &str, stack: &str, change_set: &str) -> Result<Receipt, Failure> {
    const OPERATION: &str = "cloudformation ExecuteChangeSet";
    let request = client.execute_change_set().stack_name(stack).change_set_name(change_set).client_request_token(token);
    let answer = request.send().await.map_err(|e| errors::failure(OPERATION, &e))?;
    errors::confirmed(OPERATION, answer.request_id())
}

/// `DeleteStack`. Deleting what is not there succeeds.
pub(super) async fn delete_stack(client: &Client, token: &str, stack: &str) -> Result<Receipt, Failure> {
    const OPERATION: &str = "cloudformation DeleteStack";
    let request = client.delete_stack().stack_name(stack).client_request_token(token);
    let answer = request.send().await.map_err(|e| errors::failure(OPERATION, &e))?;
    errors::confirmed(OPERATION, answer.request_id())
}

/// One page of a change set.
async fn describe(
    client: &Client,
    stack: &str,
    change_set: &str,
    next: Option<String>,
) -> Result<Option<DescribeChangeSetOutput>, Failure> {
    match client.describe_change_set().stack_name(stack).change_set_name(change_set).set_next_token(next).send().await {
        Ok(page) => Ok(Some(page)),
        Err(e) if errors::is_missing_stack(&e) || e.code().is_some_and(|code| code.starts_with("ChangeSetNotFound")) => Ok(None),
        Err(e) => Err(errors::failure("cloudformation DescribeChangeSet", &e)),
    }
}

/// A change set that changes nothing comes as a failure with one of these texts (rule 35).
fn says_no_changes(reason: &str) -> bool {
    reason.contains("didn't contain changes") || reason.contains("No updates are to be performed")
}

fn info(stack: &Stack) -> StackInfo {
    StackInfo {
        id: text(stack.stack_id()),
        status: stack.stack_status().map(|s| s.as_str().to_owned()).unwrap_or_default(),
        reason: text(stack.stack_status_reason()),
        outputs: {
            let outputs = stack.outputs().iter().map(|output| (text(output.output_key()), text(output.output_value())));
            let mut outputs: Vec<(String, String)> = outputs.collect();
            outputs.sort();
            outputs
        },
    }
}

fn text(value: Option<&str>) -> String {
    value.unwrap_or_default().to_owned()
}
