//! Runs a drill without a person, as fast as the machine can.

use super::Drill;
use super::judge::Judge;
use super::operator::{Move, Operator};
use crate::cloud::{Millis, Query};
use crate::engine::Backend;
use crate::engine::Engine;
use crate::plan::StepId;
use crate::run::command::Command;
use crate::run::event::Event;

/// Virtual time after which a drill is given up, beyond the plan's own days, in milliseconds.
const PATIENCE_MS: i64 = 7 * 86_400_000;

/// Entries of a drill in which nothing has happened yet: its genesis, and that the engine started.
const FIRST_ENTRIES: u64 = 2;

/// Where to stop before the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Nowhere.
    End,
    /// When this step is next and nothing is going on.
    Step(StepId),
    /// When the journal has so many entries: how a test finds points to kill at.
    Entries(u64),
}

/// Lets the auto-operator drive until the drill is over, or until it shall stop.
pub async fn drive(engine: &mut Engine<Drill>, operator: &mut Operator, until: Until) {
    rehearse(engine, operator, &mut Judge::default(), until, |_| {}).await;
}

/// The same under the eyes of a judge, who ends a drill that is given up: then the run is held. `watch` looks on: it is
/// called after everything that has happened and been made durable.
pub async fn rehearse(
    engine: &mut Engine<Drill>,
    operator: &mut Operator,
    judge: &mut Judge,
    until: Until,
    mut watch: impl FnMut(&Engine<Drill>),
) {
    if engine.core.run.entries > FIRST_ENTRIES {
        judge.come_late();
    }
    go(engine, operator, judge, until, &mut watch).await;
    if until == Until::End {
        judge.end();
    }
    if let Some(why) = judge.given_up()
        && engine.core.run.finished.is_none()
    {
        let command = Command::Hold { reason: format!("the drill is given up: {why}") };
        engine.handle(Event::Command { by: "auto".into(), command });
        engine.settle().await;
        watch(engine);
    }
}

async fn go(
    engine: &mut Engine<Drill>,
    operator: &mut Operator,
    judge: &mut Judge,
    until: Until,
    watch: &mut impl FnMut(&Engine<Drill>),
) {
    let limit = engine.core.run.started.max(engine.backend.now()) + i64::from(engine.core.plan.days) * 86_400_000 + PATIENCE_MS;
    let (mut look_at, mut seen) = (engine.backend.now(), 0);
    loop {
        engine.settle().await;
        watch(engine);
        if engine.stuck().is_some() || engine.backend.now() > limit || judge.given_up().is_some() {
            return;
        }
        if let Until::Entries(entries) = until
            && engine.core.run.entries >= entries
        {
            return;
        }
        if let Until::Step(step) = until
            && engine.core.run.next_step().is_none_or(|next| next >= step)
            && engine.core.run.job.is_none()
        {
            return;
        }
        // It looks when something happened, and when it had planned to; a command on its way is not changed any more.
        let now = engine.backend.now();
        if engine.core.run.entries != seen && look_at != Millis::MAX {
            look_at = now;
        }
        if now >= look_at {
            seen = engine.core.run.entries;
            match operator.look(&engine.snapshot()) {
                Move::Look(at) => look_at = at.max(now + 1),
                Move::Command(at, command) => {
                    engine.backend.schedule(at, Event::Command { by: "auto".into(), command });
                    look_at = Millis::MAX;
                }
                Move::GiveUp => return,
            }
        }
        let event = engine.backend.pop(engine.wake().min(look_at));
        let commanded = matches!(event, Event::Command { .. });
        let read = matches!(event, Event::Answer { query: Query::Poll(_), .. });
        engine.handle(event);
        if read {
            judge.look(&engine.core, engine.backend.now(), engine.backend.world.first_fault());
        }
        if commanded {
            look_at = engine.backend.now();
            seen = u64::MAX;
        }
    }
}
