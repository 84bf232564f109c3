//! What goes wrong and when: a calendar on which the world looks up what holds at a time. A fault never changes what
//! was before it began.

use super::span::{Span, Spans};
use crate::cloud::Millis;
use crate::plan::{Fault, FaultAt, FaultKind, Lost, MonitorId, ROUTE53_REGION, StepId};

/// The number of a region in [`Regions`].
pub(super) type RegionId = usize;

/// How fast a replication that goes on again works off what has piled up, in seconds per second.
const CATCH_UP: i64 = 4;

/// Every region by number, so that the hot path compares no names.
#[derive(Debug, Clone, Default)]
pub(super) struct Regions {
    names: Vec<String>,
}

impl Regions {
    /// The number of a region; it gets one when it has none yet.
    pub(super) fn number(&mut self, name: &str) -> RegionId {
        self.find(name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        })
    }

    pub(super) fn find(&self, name: &str) -> Option<RegionId> {
        self.names.iter().position(|n| n == name)
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }
}

/// A weight that somebody sets through the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) zone: String,
    pub(super) record: String,
    pub(super) set: String,
    pub(super) weight: u8,
}

/// A region that answers badly.
#[derive(Debug, Clone, Copy)]
struct Brownout {
    region: RegionId,
    span: Span,
    errors_ppm: i64,
    latency_us: i64,
}

/// All faults of a world.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    /// Those that wait for a step.
    waiting: Vec<(StepId, i64, Option<i64>, FaultKind)>,
    /// Regions that answer nothing.
    down: Vec<Spans>,
    /// Regions whose control plane answers nothing, those that are down among them.
    away: Vec<Spans>,
    /// The number of Route 53's region.
    route53: RegionId,
    brownouts: Vec<Brownout>,
    /// Per monitor, in the order in which they were made; the newest that holds counts.
    lags: Vec<Vec<(Span, i64)>>,
    /// Per monitor, when nothing is replicated.
    stopped: Vec<Spans>,
    throttles: Vec<(Span, i64)>,
    losses: Vec<(Span, i64, Lost)>,
    delays: Vec<(Span, i64)>,
    /// When the credentials are not valid, and how long before it is known.
    expiries: Vec<(Span, i64)>,
    /// Region and name of stacks whose next change fails.
    stacks: Vec<(Span, String, String)>,
    /// Edits that the world has not put on its own calendar yet.
    edits: Vec<(Millis, Edit)>,
    /// When the first fault began or begins, of those whose time is known.
    first: Option<Millis>,
}

impl Faults {
    pub(super) fn new(faults: &[Fault], start: Millis, monitors: usize, regions: &mut Regions) -> Faults {
        let mut all = Faults {
            lags: vec![Vec::new(); monitors],
            stopped: vec![Spans::default(); monitors],
            route53: regions.number(ROUTE53_REGION),
            ..Faults::default()
        };
        for fault in faults {
            match fault.at {
                FaultAt::Elapsed(ms) => all.begin(start.saturating_add(ms), fault.for_ms, &fault.kind, regions),
                FaultAt::Step(step, ms) => all.waiting.push((step, ms, fault.for_ms, fault.kind.clone())),
            }
        }
        all
    }

    /// Puts a fault on the calendar.
    pub(super) fn begin(&mut self, from: Millis, for_ms: Option<i64>, kind: &FaultKind, regions: &mut Regions) {
        let span = Span::new(from, for_ms);
        self.first = Some(self.first.map_or(from, |first| first.min(from)));
        match kind {
            FaultKind::RegionDown(name) => {
                let region = regions.number(name);
                of(&mut self.down, region).add(span);
                of(&mut self.away, region).add(span);
            }
            FaultKind::ControlPlaneAway(name) => of(&mut self.away, regions.number(name)).add(span),
            FaultKind::Lag(monitor, micros) => {
                if let Some(lags) = self.lags.get_mut(*monitor) {
                    lags.push((span, *micros));
                }
            }
            FaultKind::ReplicationStopped(monitor) => {
                if let Some(stopped) = self.stopped.get_mut(*monitor) {
                    stopped.add(span);
                }
            }
            FaultKind::Brownout { region, errors_ppm, latency_us } => self.brownouts.push(Brownout {
                region: regions.number(region),
                span,
                errors_ppm: *errors_ppm,
                latency_us: *latency_us,
            }),
            FaultKind::StackFails { region, stack } => self.stacks.push((span, region.clone(), stack.clone())),
            FaultKind::Throttle { share_ppm } => self.throttles.push((span, *share_ppm)),
            FaultKind::LoseAnswers { share_ppm, lost } => self.losses.push((span, *share_ppm, *lost)),
            FaultKind::LateAnswers { by_ms } => self.delays.push((span, *by_ms)),
            FaultKind::CredentialsExpire { notice_ms } => self.expiries.push((span, *notice_ms)),
            FaultKind::ThirdPartyEdit { zone, record, set, weight } => {
                let edit = Edit { zone: zone.clone(), record: record.clone(), set: set.clone(), weight: *weight };
                self.edits.push((from, edit));
            }
        }
    }

    /// Gives the faults that wait for this step their time. False when none waits, or it was reached before.
    pub(super) fn step_reached(&mut self, step: StepId, now: Millis, regions: &mut Regions) -> bool {
        let waiting = std::mem::take(&mut self.waiting);
        let (ripe, waiting): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|f| f.0 == step);
        self.waiting = waiting;
        for (_, after, for_ms, kind) in &ripe {
            self.begin(now.saturating_add(*after), *for_ms, kind, regions);
        }
        !ripe.is_empty()
    }

    /// When the first fault begins; `None` while nobody knows.
    pub(super) fn first(&self) -> Option<Millis> {
        self.first
    }

    /// Hands out the edits that are new on the calendar.
    pub(super) fn take_edits(&mut self) -> Vec<(Millis, Edit)> {
        std::mem::take(&mut self.edits)
    }

    pub(super) fn is_down(&self, region: RegionId, at: Millis) -> bool {
        self.down.get(region).is_some_and(|spans| spans.hold(at))
    }

    /// True while a region's control plane answers nothing.
    pub(super) fn is_away(&self, region: RegionId, at: Millis) -> bool {
        self.away.get(region).is_some_and(|spans| spans.hold(at))
    }

    /// When a change that Route 53 took reaches the zone's servers, if `due` is when it would if all went well. What is
    /// on its way when the control plane goes is stranded until it is back (rule 5).
    pub(super) fn settled(&self, accepted: Millis, due: Millis) -> Millis {
        let mut settled = due;
        for span in self.away.get(self.route53).map_or(&[][..], Spans::all) {
            if span.until > accepted && span.from < settled {
                settled = span.until.saturating_add(settled - span.from.max(accepted));
            }
        }
        settled
    }

    /// When a region fails in the eyes of what probes its service: while it is down, and while more of its requests
    /// fail than the given share.
    pub(super) fn failing(&self, region: RegionId, over_ppm: i64) -> Spans {
        let mut failing = self.down.get(region).cloned().unwrap_or_default();
        for brownout in self.brownouts.iter().filter(|b| b.region == region && b.errors_ppm > over_ppm) {
            failing.add(brownout.span);
        }
        failing
    }

    /// How a region answers badly: the share of requests that fail, in millionths, and by how much the others are
    /// slower, in microseconds.
    pub(super) fn brownout(&self, region: RegionId, at: Millis) -> Option<(i64, i64)> {
        let found = self.brownouts.iter().rev().find(|b| b.region == region && b.span.holds(at));
        found.map(|b| (b.errors_ppm, b.latency_us))
    }

    /// The stretches between two times in which requests to a region fail, and the share of them in millionths.
    pub(super) fn errors(&self, region: RegionId, from: Millis, until: Millis) -> Vec<(Millis, Millis, i64)> {
        let down = self.down.get(region).map_or(&[][..], Spans::all);
        let brown = self.brownouts.iter().filter(|b| b.region == region).map(|b| b.span);
        let spans: Vec<Span> = down.iter().copied().chain(brown).filter(|s| s.from < until && from < s.until).collect();
        let mut cuts: Vec<Millis> = spans.iter().flat_map(|s| [s.from.max(from), s.until.min(until)]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let share = |at| if self.is_down(region, at) { 1_000_000 } else { self.brownout(region, at).map_or(0, |b| b.0) };
        cuts.windows(2).map(|w| (w[0], w[1], share(w[0]))).filter(|(_, _, ppm)| *ppm > 0).collect()
    }

    /// How long a region is up between two times, in milliseconds.
    pub(super) fn up_ms(&self, region: RegionId, from: Millis, until: Millis) -> i64 {
        let down = self.down.get(region).map_or(&[][..], Spans::all);
        let within = |s: &Span| (s.until.min(until) - s.from.max(from)).max(0);
        until - from - down.iter().map(within).sum::<i64>()
    }

    /// The lag, in microseconds, that a fault forces upon a monitor.
    pub(super) fn lag(&self, monitor: MonitorId, at: Millis) -> Option<i64> {
        self.lags.get(monitor)?.iter().rev().find(|(span, _)| span.holds(at)).map(|(_, micros)| *micros)
    }

    /// True while nothing of what a monitor watches is replicated.
    pub(super) fn is_stopped(&self, monitor: MonitorId, at: Millis) -> bool {
        self.stopped.get(monitor).is_some_and(|spans| spans.hold(at))
    }

    /// What has piled up while nothing was replicated, in milliseconds of writing: it grows with time, and is worked
    /// off afterwards.
    pub(super) fn behind_ms(&self, monitor: MonitorId, at: Millis) -> i64 {
        let (mut behind, mut seen) = (0, Millis::MIN);
        for span in self.stopped.get(monitor).map_or(&[][..], Spans::all) {
            if span.from >= at {
                break;
            }
            behind = left(behind, span.from.saturating_sub(seen)) + span.until.min(at) - span.from;
            seen = span.until.min(at);
        }
        left(behind, at.saturating_sub(seen))
    }

    /// The share of calls and queries that are refused because there are too many, in millionths.
    pub(super) fn throttled(&self, at: Millis) -> Option<i64> {
        self.throttles.iter().rev().find(|(span, _)| span.holds(at)).map(|(_, share)| *share)
    }

    /// The share of calls that are lost, in millionths, and what of them.
    pub(super) fn losses(&self, at: Millis) -> Option<(i64, Lost)> {
        self.losses.iter().rev().find(|(span, ..)| span.holds(at)).map(|(_, share, lost)| (*share, *lost))
    }

    /// By how much calls are late, in milliseconds.
    pub(super) fn delay(&self, at: Millis) -> Option<i64> {
        self.delays.iter().rev().find(|(span, _)| span.holds(at)).map(|(_, by)| *by)
    }

    /// True while the credentials are not valid.
    pub(super) fn expired(&self, at: Millis) -> bool {
        self.expiries.iter().any(|(span, _)| span.holds(at))
    }

    /// When the credentials expire or expired, as their provider says: nothing while that is far away.
    pub(super) fn expires(&self, now: Millis) -> Option<Millis> {
        let known = self.expiries.iter().filter(|(span, notice)| span.until > now && span.from.saturating_sub(*notice) <= now);
        known.map(|(span, _)| span.from).min()
    }

    /// Whether the next creation or update of this stack fails.
    pub(super) fn stack_fails(&self, region: &str, stack: &str, at: Millis) -> bool {
        self.stack_fault(region, stack, at).is_some()
    }

    /// It has failed: the one after that does not.
    pub(super) fn stack_failed(&mut self, region: &str, stack: &str, at: Millis) {
        if let Some(found) = self.stack_fault(region, stack, at) {
            self.stacks.remove(found);
        }
    }

    fn stack_fault(&self, region: &str, stack: &str, at: Millis) -> Option<usize> {
        self.stacks.iter().position(|(span, r, s)| span.holds(at) && r == region && s == stack)
    }
}

/// The spans of a region; there are some for every region up to it.
fn of(spans: &mut Vec<Spans>, region: RegionId) -> &mut Spans {
    if spans.len() <= region {
        spans.resize(region + 1, Spans::default());
    }
    &mut spans[region]
}

/// What is left of a backlog after this long.
fn left(behind: i64, ms: i64) -> i64 {
    behind.saturating_sub(ms.saturating_mul(CATCH_UP)).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(ms: i64, for_ms: i64, kind: FaultKind) -> Fault {
        Fault { at: FaultAt::Elapsed(ms), for_ms: Some(for_ms), kind }
    }

    fn faults(all: &[Fault]) -> Faults {
        let mut regions = Regions::default();
        regions.number("a");
        Faults::new(all, 1_000, 1, &mut regions)
    }

    #[test]
    fn overlapping_outages_are_counted_once() {
        let down = |ms, for_ms| fault(ms, for_ms, FaultKind::RegionDown("a".into()));
        let faults = faults(&[down(50, 20), down(10, 20), down(25, 10)]);
        assert_eq!(faults.up_ms(0, 0, 10_000), 9_955);
        assert!(!faults.is_down(0, 1_009) && faults.is_down(0, 1_010) && faults.is_down(0, 1_034) && !faults.is_down(0, 1_035));
        assert!(faults.is_away(0, 1_010), "who is down has no control plane either");
        assert_eq!(faults.first(), Some(1_010));
    }

    #[test]
    fn a_fault_waits_for_its_step_and_fires_once() {
        let mut regions = Regions::default();
        let fault = Fault { at: FaultAt::Step(3, 100), for_ms: Some(10), kind: FaultKind::Lag(0, 77) };
        let mut faults = Faults::new(&[fault], 0, 1, &mut regions);
        assert_eq!(faults.first(), None);
        assert!(!faults.step_reached(2, 500, &mut regions));
        assert!(faults.step_reached(3, 1_000, &mut regions));
        assert!(!faults.step_reached(3, 2_000, &mut regions));
        assert_eq!((faults.lag(0, 1_099), faults.lag(0, 1_100), faults.lag(0, 1_110)), (None, Some(77), None));
        assert_eq!(faults.first(), Some(1_100));
    }

    #[test]
    fn errors_are_cut_where_faults_begin_and_end() {
        let brown =
            |ms, for_ms, errors_ppm| fault(ms, for_ms, FaultKind::Brownout { region: "a".into(), errors_ppm, latency_us: 5 });
        let down = fault(200, 100, FaultKind::RegionDown("a".into()));
        let faults = faults(&[brown(100, 300, 200_000), down, brown(350, 100, 0)]);
        let all = faults.errors(0, 0, 10_000);
        assert_eq!(all, [(1_100, 1_200, 200_000), (1_200, 1_300, 1_000_000), (1_300, 1_350, 200_000)]);
        assert_eq!(faults.errors(0, 1_250, 1_260), [(1_250, 1_260, 1_000_000)]);
        assert_eq!(faults.errors(0, 1_400, 1_500), []);
        assert_eq!(faults.brownout(0, 1_360), Some((0, 5)));
        assert_eq!(faults.failing(0, 100_000).all().len(), 1);
        assert!(!faults.failing(0, 200_000).hold(1_150), "not more than that share fails");
    }

    #[test]
    fn a_backlog_grows_and_is_worked_off() {
        let stop = |ms, for_ms| fault(ms, for_ms, FaultKind::ReplicationStopped(0));
        let faults = faults(&[stop(0, 400), stop(450, 100)]);
        let behind: Vec<i64> = [1_000, 1_100, 1_400, 1_450, 1_550, 1_575, 1_700].map(|at| faults.behind_ms(0, at)).into();
        assert_eq!(behind, [0, 100, 400, 200, 300, 200, 0]);
    }

    #[test]
    fn a_change_is_stranded_by_every_outage_that_it_meets() {
        let away = |ms, for_ms| fault(ms, for_ms, FaultKind::ControlPlaneAway(ROUTE53_REGION.into()));
        let faults = faults(&[away(10, 100), away(115, 100), away(1_000, 10)]);
        assert_eq!(faults.settled(900, 1_005), 1_005);
        assert_eq!(faults.settled(1_000, 1_030), 1_230, "10 ms before the first, 5 between the two, 15 after the second");
        assert_eq!(faults.settled(1_300, 1_330), 1_330);
        let mut regions = Regions::default();
        let kind = FaultKind::RegionDown(ROUTE53_REGION.into());
        let for_good = Faults::new(&[Fault { at: FaultAt::Elapsed(5), for_ms: None, kind }], 0, 0, &mut regions);
        assert_eq!(for_good.settled(0, 30), Millis::MAX);
    }

    #[test]
    fn an_expiry_is_known_its_notice_before_and_over_after_the_login() {
        let faults = faults(&[fault(10_000, 500, FaultKind::CredentialsExpire { notice_ms: 1_000 })]);
        let known: Vec<_> = [9_999, 10_000, 11_000, 11_499, 11_500].map(|now| faults.expires(now)).into();
        assert_eq!(known, [None, Some(11_000), Some(11_000), Some(11_000), None]);
        assert!(!faults.expired(10_999) && faults.expired(11_000) && !faults.expired(11_500));
    }
}
