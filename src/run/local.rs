//! How a script and a request go on: what the engine does on its own machine.

use super::decide::{Ctx, Decision};
use super::entry::{CallOutcome, Entry, JobRef};
use super::job::{POLL_MS, acted, fail, intend, resend};
use super::state::{CallState, Job, action_of};
use crate::cloud::{Answer, Call, FailureKind, HttpCall, Millis, NOT_SENT, Query};
use crate::plan::{Action, Plan, Request, Script, sha256_hex};

/// The call that runs a script.
///
/// # Errors
/// Which output of which step is missing.
pub fn script_call(ctx: Ctx<'_>, job: &JobRef, script: &Script) -> Result<Call, String> {
    Ok(Call::RunScript {
        job: job.to_string(),
        script_sha256: sha256_hex(&script.text),
        env: environment(ctx, script)?,
        secrets: script.secrets.clone(),
        outputs: script.outputs.clone(),
        timeout_ms: script.timeout_ms,
        grace_ms: script.grace_ms,
    })
}

fn environment(ctx: Ctx<'_>, script: &Script) -> Result<Vec<(String, String)>, String> {
    let value = |(name, text): &(String, crate::plan::Text)| {
        Ok((name.clone(), text.value(|step, output| ctx.run.output(ctx.plan, step, output))?))
    };
    script.env.iter().map(value).collect()
}

/// The call that makes a request.
///
/// # Errors
/// Which output of which step is missing.
pub fn request_call(ctx: Ctx<'_>, job: &JobRef, request: &Request) -> Result<Call, String> {
    let output = |step: &str, name: &str| ctx.run.output(ctx.plan, step, name);
    let headers = request.headers.iter().map(|(name, value)| Ok((name.clone(), value.resolve(output)?)));
    let request = HttpCall {
        method: request.method.clone(),
        url: request.url.value(output)?,
        connect_to: request.connect_to.clone(),
        headers: headers.collect::<Result<_, String>>()?,
        body: request.body.as_ref().map(|body| body.resolve(output)).transpose()?,
        timeout_ms: request.timeout_ms,
        retry_ms: request.retry_ms,
        expect: request.expect.clone(),
        outputs: request.outputs.clone(),
    };
    Ok(Call::MakeRequest { job: job.to_string(), request })
}

/// The text of the script that a job runs.
#[must_use]
pub fn text(plan: &Plan, job: &JobRef) -> Option<String> {
    match action_of(plan, job).as_ref() {
        Action::Shell(script) => Some(script.text.clone()),
        _ => None,
    }
}

/// Whether there is nothing left to do, as its `done-if` said at `since` or later; `None` while that is not known, or the
/// script has none. What cannot be asked fails the job.
fn is_done(ctx: Ctx<'_>, job: &Job, script: &Script, since: Millis, decision: &mut Decision) -> Option<bool> {
    let text = script.done_if.as_ref()?;
    let env = match environment(ctx, script) {
        Ok(env) => env,
        Err(why) => {
            fail(job, why, decision);
            return None;
        }
    };
    let query = Query::DoneIf { job: job.of.to_string(), script: text.clone(), env, secrets: script.secrets.clone() };
    match ctx.watch.answer(&query, since).map(|answer| &answer.result) {
        Some(Ok(Answer::DoneIf(done))) => return Some(*done),
        Some(Err(failure)) if failure.kind == FailureKind::Refused => fail(job, failure.message.clone(), decision),
        Some(_) => decision.ask(ctx, query, POLL_MS),
        None => decision.ask(ctx, query, 0),
    }
    None
}

/// A script: asked first whether it is done already, then run, once.
pub fn run_script(ctx: Ctx<'_>, job: &Job, script: &Script, decision: &mut Decision) {
    let frozen = ctx.run.hold.is_some();
    let last = job.calls.last().and_then(|id| ctx.run.calls.get(id).map(|call| (*id, call)));
    let Some((id, call)) = last else {
        if frozen {
            return;
        }
        if script.done_if.is_some() {
            match is_done(ctx, job, script, job.started, decision) {
                Some(true) => return acted(job, decision),
                Some(false) => {}
                None => return,
            }
        }
        return match script_call(ctx, &job.of, script) {
            Ok(call) => intend(ctx, job, call, decision),
            Err(why) => fail(job, why, decision),
        };
    };
    match &call.state {
        CallState::Open => {}
        CallState::Applied(..) => acted(job, decision),
        CallState::Refused(why) => fail(job, why.clone(), decision),
        _ if frozen => {}
        CallState::Deferred(why) if why.starts_with(NOT_SENT) => resend(ctx, id, call, why, decision),
        // It ended for want of credentials, half-way perhaps, which is nobody's failure (rule 31). In a rollback nothing
        // waits unseen: its step stops, and whoever has logged in tries it again.
        CallState::Deferred(why) if ctx.run.active_rollback().is_some() => {
            fail(job, format!("credentials: {why}: log in, then try again"), decision);
        }
        CallState::Deferred(why) if ctx.run.continued.is_none_or(|at| at < call.changed) => {
            let next = "log in, then continue, and it is run again from its beginning";
            decision.write(Entry::Held { reason: format!("credentials: {why}: {next}") });
        }
        CallState::Deferred(why) => match is_done(ctx, job, script, ctx.run.continued.unwrap_or(call.changed), decision) {
            Some(true) => decision.write(Entry::Outcome { id, outcome: CallOutcome::Settled }),
            None if script.done_if.is_some() => {}
            _ => resend(ctx, id, call, why, decision),
        },
        // A script is not sent again blindly: half of it may have been done. It says itself whether it is done, or a
        // person does.
        CallState::Unknown(why) if script.done_if.is_none() => {
            fail(job, format!("{why}: look how far it came, then start it again or say that it is done"), decision);
        }
        CallState::Unknown(why) => match is_done(ctx, job, script, call.changed, decision) {
            Some(true) => decision.write(Entry::Outcome { id, outcome: CallOutcome::Settled }),
            Some(false) => {
                fail(job, format!("{why}, and it is not done: start it again, or say that it is done"), decision);
            }
            None => {}
        },
    }
}

/// A request. One that changes nothing is made again when its answer was lost; any other may have been taken.
pub fn make_request(ctx: Ctx<'_>, job: &Job, request: &Request, decision: &mut Decision) {
    let frozen = ctx.run.hold.is_some();
    let last = job.calls.last().and_then(|id| ctx.run.calls.get(id).map(|call| (*id, call)));
    let Some((id, call)) = last else {
        return match request_call(ctx, &job.of, request) {
            _ if frozen => {}
            Ok(call) => intend(ctx, job, call, decision),
            Err(why) => fail(job, why, decision),
        };
    };
    match &call.state {
        CallState::Open => {}
        CallState::Applied(..) => acted(job, decision),
        CallState::Refused(why) => fail(job, why.clone(), decision),
        _ if frozen => {}
        CallState::Deferred(why) => resend(ctx, id, call, why, decision),
        CallState::Unknown(why) if request.is_safe() => resend(ctx, id, call, why, decision),
        CallState::Unknown(why) => {
            fail(job, format!("{why}: it may have been taken; look, then start it again or say that it is done"), decision);
        }
    }
}
