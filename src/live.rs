//! The backend of a live run: AWS, this machine, HTTP probes and name servers, each effect a task of its own.
//! Probes are made on schedules of their own ([`crate::probe::Feeds`]); an effect only collects what they saw. Name servers
//! are asked when the core asks ([`crate::probe::Names`]).

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::Either;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::aws::Aws;
use crate::cloud::{Answer, CallId, Effect, Failure, FailureKind, Millis, PollGroup, PollKind, Query, poll_groups};
use crate::engine::Backend;
use crate::local::Local;
use crate::plan::Plan;
use crate::probe::{Feeds, Names};
use crate::run::event::Event;

pub mod heartbeat;

/// The longest that any effect may take; the clients' own time-outs are shorter.
const LIMIT: Duration = Duration::from_secs(20);
/// How often connections are used that would close after 90 seconds of rest.
const WARM_EVERY: Duration = Duration::from_mins(1);

/// AWS and the network.
#[derive(Debug)]
pub struct Live {
    aws: Aws,
    local: Local,
    plan: Arc<Plan>,
    groups: Arc<Vec<PollGroup>>,
    feeds: Feeds,
    names: Names,
    answers: mpsc::UnboundedReceiver<Event>,
    sender: mpsc::UnboundedSender<Event>,
    tasks: JoinSet<()>,
}

impl Live {
    /// A backend for one plan. From now on it keeps open the connections that the plan's rollbacks need, and the pipes to
    /// its vantage points.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(aws: Aws, local: Local, plan: Arc<Plan>) -> Live {
        let (sender, answers) = mpsc::unbounded_channel();
        let groups = Arc::new(poll_groups(&plan));
        let mut tasks = JoinSet::new();
        let (warm, of) = (aws.clone(), Arc::clone(&plan));
        tasks.spawn(async move {
            loop {
                warm.warm(&of).await;
                tokio::time::sleep(WARM_EVERY).await;
            }
        });
        let feeds = Feeds::start(&plan, system_now);
        let names = Names::new(&plan);
        Live { aws, local, plan, groups, feeds, names, answers, sender, tasks }
    }
}

/// The system's clock, Unix milliseconds.
#[must_use]
pub fn system_now() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

fn too_long() -> Failure {
    Failure { kind: FailureKind::Unknown, message: "no answer within 20s".into() }
}

impl Backend for Live {
    fn now(&self) -> Millis {
        system_now()
    }

    fn perform(&mut self, effect: Effect) {
        // Finished tasks are let go of here, so that the set stays as small as what is under way.
        while self.tasks.try_join_next().is_some() {}
        let (aws, plan, groups, sender) =
            (self.aws.clone(), Arc::clone(&self.plan), Arc::clone(&self.groups), self.sender.clone());
        if let Effect::Ask(query @ Query::Poll(index)) = &effect
            && let Some(group) = self.groups.get(*index).filter(|group| !group.kind.is_call())
            && let [monitor] = group.monitors[..]
        {
            // Either of them bounds its own time.
            let asked = match group.kind {
                PollKind::Dns => Either::Left(self.names.ask(monitor, system_now)),
                _ => Either::Right(self.feeds.ask(monitor, system_now)),
            };
            let query = query.clone();
            self.tasks.spawn(async move {
                let readings = asked.await.into_iter().map(|reading| (monitor, reading)).collect();
                let _ = sender.send(Event::Answer { query, result: Ok(Answer::Readings(readings)) });
            });
            return;
        }
        if let Effect::Stop { id, .. } = &effect {
            // Its call is answered all the same.
            return self.local.stop(*id);
        }
        let local = self.local.clone();
        self.tasks.spawn(async move {
            let event = match effect {
                Effect::Ask(query @ (Query::File { .. } | Query::DoneIf { .. })) => {
                    let result = local.ask(&query).await;
                    Event::Answer { query, result }
                }
                // A script has a time limit of its own, and so has a request that is made again.
                Effect::Send { id, sending, call, text, .. } if call.is_local() => {
                    Event::Sent { id, sending, result: local.send(id, &call, text.as_deref()).await }
                }
                Effect::Stop { .. } => return,
                Effect::Ask(query) => {
                    let asked = tokio::time::timeout(LIMIT, aws.ask(&plan, &groups, &query)).await;
                    Event::Answer { query, result: asked.unwrap_or_else(|_| Err(too_long())) }
                }
                Effect::Send { id, sending, token, call, text } => {
                    let sent = tokio::time::timeout(LIMIT, aws.send(&token, &call, text.as_deref())).await;
                    Event::Sent { id, sending, result: sent.unwrap_or_else(|_| Err(too_long())) }
                }
            };
            // The engine may have ended meanwhile; then nobody needs the answer.
            let _ = sender.send(event);
        });
    }

    fn output(&self, id: CallId) -> Vec<String> {
        self.local.output(id)
    }

    async fn next(&mut self, wake: Millis) -> Event {
        let pause = Duration::from_millis(u64::try_from(wake - system_now()).unwrap_or(0).clamp(5, 1_000));
        tokio::select! {
            biased;
            Some(event) = self.answers.recv() => event,
            () = tokio::time::sleep(pause) => Event::Tick,
        }
    }
}
