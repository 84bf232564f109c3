//! Plan files from the outside: what loads, what is refused, and how a refusal reads.
//!
//! Every file (or folder with a `plan.yaml`) in `tests/plans/valid` loads. Every one in `tests/plans/invalid`
//! is refused, with exactly the text in the `.expected` file beside it; `UPDATE_EXPECTED=1 cargo test` writes
//! those files anew.

#![expect(clippy::unwrap_used, reason = "a test may stop where it cannot go on")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cutover::plan::load::{Disk, Files, Loaded, Problem, Problems, load, load_path};
use cutover::plan::{
    Action, Asks, Connection, Database, DnsTarget, DnsType, DrillMetric, Family, FaultAt, HeartbeatTo, Metric, MetricSource,
    Protocol, Quantity, Source, StackChange, Stat, Test, Unit, ZoneServers,
};
use proptest::prelude::*;

const DRILL: &str = include_str!("../plans/failover-drill.yaml");
/// Hostile files must be refused at once, even in a slow build on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(5);
/// What is timed runs one at a time: otherwise the tests would measure each other.
static ALONE: Mutex<()> = Mutex::new(());

/// A folder in memory.
#[derive(Default)]
struct Memory(BTreeMap<String, Vec<u8>>);

impl Memory {
    fn of(files: &[(&str, &[u8])]) -> Self {
        Self(files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect())
    }
}

impl Files for Memory {
    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| Error::new(ErrorKind::NotFound, "not there"))
    }

    fn list(&self, dir: &str) -> Vec<String> {
        let inside = |path: &String| path.strip_prefix(dir)?.strip_prefix('/').filter(|n| !n.contains('/')).map(str::to_owned);
        self.0.keys().filter_map(inside).collect()
    }

    fn walk(&self, dir: &str) -> Vec<String> {
        let inside = |path: &String| path.strip_prefix(dir)?.strip_prefix('/').map(str::to_owned);
        self.0.keys().filter_map(inside).collect()
    }
}

fn load_bytes(bytes: &[u8]) -> Result<Loaded, Problems> {
    load(&Memory::of(&[("plan.yaml", bytes)]), "plan.yaml")
}

/// The only message of a refusal.
fn refusal(bytes: &[u8]) -> String {
    let _alone = ALONE.lock();
    let begin = Instant::now();
    let problems = load_bytes(bytes).unwrap_err();
    assert!(begin.elapsed() < AT_ONCE, "{:?}: {problems}", begin.elapsed());
    assert!(!problems.render(true).is_empty());
    problems.to_string()
}

/// The plan of the drill with one text replaced by another.
fn changed(from: &str, to: &str) -> Result<Loaded, Problems> {
    assert!(DRILL.contains(from), "{from}");
    load_bytes(DRILL.replacen(from, to, 1).as_bytes())
}

fn entries(dir: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|p| p.join("plan.yaml").exists() || p.extension().is_some_and(|e| e == "yaml"));
    paths.sort();
    paths
}

/// Loads a path the way a user would see it from its own folder.
fn load_beside(path: &Path) -> Result<Loaded, Problems> {
    if path.is_dir() {
        load(&Disk::new(path.to_owned()), "plan.yaml")
    } else {
        load(&Disk::new(path.parent().unwrap().to_owned()), path.file_name().unwrap().to_str().unwrap())
    }
}

#[test]
fn valid_plans_load() {
    let paths = entries("tests/plans/valid");
    assert!(paths.len() >= 2);
    for path in paths {
        if let Err(problems) = load_beside(&path) {
            panic!("{}\n{}", path.display(), problems.render(false));
        }
    }
}

#[test]
fn invalid_plans_are_refused_in_these_words() {
    let mut differences = String::new();
    let paths = entries("tests/plans/invalid");
    assert!(paths.len() >= 10);
    for path in paths {
        let problems = load_beside(&path).err().unwrap_or_else(|| panic!("{} loads", path.display()));
        let found = format!("{}\n{problems}\n", problems.render(false));
        let expected_path = path.with_extension("expected");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            std::fs::write(&expected_path, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&expected_path).unwrap_or_default();
        if found != expected {
            let _ = writeln!(differences, "{} differs:\n{found}", path.display());
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn nine_mistakes_are_nine_errors() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans/invalid/several-mistakes.yaml");
    let problems = load_beside(&path).unwrap_err();
    assert_eq!(problems.0.len(), 9, "{problems}");
    assert!(problems.0.iter().all(|p| p.line > 0 && p.column > 0));
}

#[test]
fn the_drill_loads_without_warnings() {
    let loaded = load_path(&Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/failover-drill.yaml"))
        .unwrap_or_else(|p| panic!("{}", p.render(false)));
    assert_eq!(loaded.warnings, []);
    let plan = &loaded.plan;
    let ids: Vec<&str> = plan.steps.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(ids, ["baseline", "shift-10", "shift-50", "shift-100", "final-soak"]);
    assert_eq!(plan.steps[1].control_planes, ["us-east-1"]);
    assert_eq!(plan.steps[1].needs, [0]);
    assert_eq!(plan.rollbacks[0].steps[0].id, "immediate/traffic-back");
    assert_eq!(plan.rollbacks[0].steps[0].action, Action::Restore { steps: vec![1, 2, 3] });
    assert_eq!(plan.manifest.files.len(), 1);
    let Action::Soak { conditions, for_ms } = &plan.steps[0].action else { panic!("a soak") };
    assert_eq!(*for_ms, 300_000);
    assert!(conditions.iter().all(|c| plan.conditions[*c].for_ms == 300_000));
    let names: Vec<&str> = loaded.scenarios.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["calm", "late-answers", "region-outage", "route53-away", "third-party-edit", "throttled"]);
    assert_eq!(loaded.scenarios[0].hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(loaded.scenarios[2].faults[0].at, FaultAt::Step(2, 120_000));
    assert_eq!(plan.drill.records.len(), 2);
    assert_eq!(plan.drill.records[0].0, "Z1234567890ABC");
}

#[test]
fn every_fault_and_every_part_of_a_drills_world_can_be_said() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans/valid/every-fault");
    let Loaded { plan, scenarios, warnings } = load_path(&path).unwrap_or_else(|p| panic!("{}", p.render(false)));
    assert_eq!(lints(&warnings), ["no-backfill", "no-replication-back", "data-not-retained"]);
    let world = &plan.drill;
    let switch = world.health_checks[0].switch.as_ref().unwrap();
    assert_eq!((switch.metric.as_str(), switch.dimensions.len(), switch.fails_at), ("Leave", 1, 1_000_000));
    assert!(world.health_checks[0].inverted && world.health_checks[1].disabled);
    let metric = |name| &world.metrics[&plan.monitor_named(name).unwrap()];
    assert_eq!(*metric("pending"), DrillMetric::Pending { behind: 1, per_second: 2_000_000 });
    assert_eq!(*metric("replica"), DrillMetric::ReplicaLag { usual_us: 400_000, database: Database::Mysql, idle: true });
    assert_eq!(*metric("health"), DrillMetric::HealthCheck("5f0a1d2c".into()), "known by its namespace, name and dimension");
    let all = scenarios.iter().find(|s| s.name == "all").unwrap();
    assert_eq!((all.steady_state.len(), all.steady_state[1].for_ms, all.abort.len()), (2, 60_000, 1));
    assert_eq!((all.expect_rollback.as_deref(), all.expect_rto_ms), (Some("back"), Some(600_000)));
    assert_eq!(
        (all.faults[0].for_ms, all.faults[1].for_ms, all.faults[3].at.clone()),
        (Some(600_000), None, FaultAt::Step(0, 60_000))
    );
    let kinds: Vec<String> = all.faults.iter().map(|f| f.kind.to_string()).collect();
    let expected = [
        "us-east-1 down",
        "control plane of us-east-1 away",
        "eu-central-1 answers badly: 20% fail, 800ms slower",
        "eu-central-1 answers badly: 0% fail, 2s slower",
        "lag 1020s",
        "replication stopped",
        "the next change of stack app in eu-central-1 fails",
        "30% of calls and queries throttled",
        "50% of calls or their answers lost",
        "answers of 100% of calls lost",
        "calls late by 30s",
        "credentials expire",
        "credentials expire",
        "somebody gives frankfurt of api.example.com the weight 70",
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn name_servers_are_asked_as_the_plan_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans/valid/names.yaml");
    let Loaded { plan, warnings, .. } = load_path(&path).unwrap_or_else(|p| panic!("{}", p.render(false)));
    assert_eq!(lints(&warnings), ["shift-before-test", "dwell-too-short"]);
    let Source::Dns(moved) = &plan.monitors[0].source else { panic!("dns") };
    let servers: Vec<String> = moved.resolvers.iter().map(|s| format!("{} {}", s.name, s.address)).collect();
    let expected =
        ["quad9 9.9.9.9:53", "google 8.8.8.8:53", "opendns 208.67.222.222:53", "six [2620:fe::fe]:53", "lan [2001:db8::53]:5353"];
    assert_eq!(servers, expected);
    assert_eq!((moved.kind, &moved.zone_servers, moved.timeout_ms), (DnsType::A, &ZoneServers::Found, 1_000));
    let targets = &moved.leads_to[0].1;
    assert_eq!(targets[0], DnsTarget::Address("192.0.2.10".parse().unwrap()));
    assert_eq!(targets[1], DnsTarget::Name("lb.eu-central-1.example.org".into()));
    let Source::Dns(zone) = &plan.monitors[1].source else { panic!("dns") };
    assert!(matches!(&zone.zone_servers, ZoneServers::Listed(two) if two.len() == 2));
    assert_eq!((zone.kind, plan.monitors[1].every_ms, plan.monitors[1].region.as_deref()), (DnsType::Cname, 10_000, None));
    let condition = &plan.conditions[0];
    assert_eq!(condition.test, Test::Above(Stat::Last, Quantity { micros: 900_000, unit: Unit::Share }));
    let heartbeat = plan.heartbeat.unwrap();
    assert_eq!((heartbeat.every_ms, heartbeat.to), (60_000, HeartbeatTo::Url("https://alarm.example.org/ping/names".into())));
}

#[test]
fn a_folder_with_includes_resolves() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans/valid/folder");
    let loaded = load_path(&path).unwrap_or_else(|p| panic!("{}", p.render(false)));
    let plan = &loaded.plan;
    let files: Vec<&str> = plan.manifest.files.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(files, ["phases.yaml", "plan.yaml", "template.yaml", "vars.yaml"]);
    let monitor = |name: &str| &plan.monitors[plan.monitor_named(name).unwrap()];
    let (lag, failed) = (monitor("lag"), monitor("failed"));
    assert_eq!((lag.region.as_deref(), failed.region.as_deref()), (Some("eu-central-1"), Some("eu-west-1")));
    let (Source::Metric(lag), Source::Metric(failed)) = (&lag.source, &failed.source) else { panic!("metrics") };
    assert_eq!(
        (of(lag).name.as_str(), of(lag).stat.as_str(), lag.unit, lag.replication, lag.absent_is_zero),
        ("ReplicationLatency", "Maximum", Unit::Time, true, false)
    );
    assert_eq!(
        (of(failed).name.as_str(), of(failed).stat.as_str(), failed.unit, failed.replication, failed.absent_is_zero),
        ("OperationsFailedReplication", "Sum", Unit::Count, false, true)
    );
    assert_eq!(of(lag).dimensions[2], ("SourceBucket".to_owned(), "recordings-ireland".to_owned()));
    // `needs` moves a step behind the one that the file has later; all else stays.
    let ids: Vec<&str> = plan.steps.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(ids, ["approve", "build", "records", "tidy", "clean"]);
    let Action::Stack(build) = &plan.steps[1].action else { panic!("a stack") };
    let StackChange::Apply { template, parameters, .. } = &build.change else { panic!("an apply") };
    assert!(template.contains("AWSTemplateFormatVersion"));
    assert_eq!(parameters["Size"].to_string(), "3");
    let Action::Records(records) = &plan.steps[2].action else { panic!("records") };
    assert_eq!(records.put[0].name, "api.example.com");
    let gate = &plan.conditions[plan.steps[2].gate[0]];
    assert_eq!(gate.over_ms, 180_000);
    assert!(matches!(gate.test, Test::Below(..)));
    let warnings = lints(&loaded.warnings);
    assert_eq!(plan.vantages.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(), ["germany", "france"]);
    let ssh = ["ssh", "-T", "recordings.example.com", "cutover", "probe", "--agent"];
    assert_eq!((plan.vantages[0].command.len(), &plan.vantages[1].command[..]), (0, &ssh.map(str::to_owned)[..]));
    let Source::Http(http) = &monitor("api-france").source else { panic!("http") };
    assert_eq!((http.connection, http.protocol, http.family), (Connection::Kept, Protocol::Http1, Family::Ipv6));
    let Source::Http(http) = &monitor("api-germany").source else { panic!("http") };
    assert_eq!((http.connection, http.protocol, http.family), (Connection::Fresh, Protocol::Any, Family::Any));
    let expected = [
        "no-backfill",
        "day-goes-back",
        "vantage-not-reached",
        "ttl-not-lowered",
        "load-balancer-zone",
        "execute-api-alias",
        "dwell-too-short",
        "weights-all-zero",
    ];
    assert_eq!(warnings, expected);
}

/// The names that warnings begin with.
fn lints(warnings: &[Problem]) -> Vec<&str> {
    warnings.iter().filter_map(|w| w.message.split(':').next()).collect()
}

/// The metric that is asked for by itself.
fn of(source: &MetricSource) -> &Metric {
    match &source.asks {
        Asks::Metric(metric) => metric,
        Asks::Math(math) => panic!("{math:?}"),
    }
}

#[test]
fn a_step_has_its_own_windows_or_those_of_its_phase() {
    let loaded = load_path(Path::new("tests/plans/valid/windows.yaml")).unwrap();
    let windows = |id: &str| -> Vec<String> {
        let step = &loaded.plan.steps[loaded.plan.step_named(id).unwrap()];
        step.windows
            .iter()
            .map(|w| format!("{} {:?} {}-{} {:?}", w.text, w.days, w.from_min, w.to_min, w.zone.iana_name()))
            .collect()
    };
    assert_eq!(windows("ask"), [] as [String; 0]);
    let weekend =
        "Sat-Sun 22:00-04:00 Europe/Berlin [false, false, false, false, false, true, true] 1320-240 Some(\"Europe/Berlin\")";
    assert_eq!((windows("phase"), windows("never")), (vec![weekend.to_owned()], vec![weekend.to_owned()]));
    let own = [
        "daily 00:00-24:00 UTC [true, true, true, true, true, true, true] 0-1440 Some(\"UTC\")",
        "Fri-Mon,Wed 23:30-00:00 America/New_York [true, false, true, false, true, true, true] 1410-1440 Some(\"America/New_York\")",
    ];
    assert_eq!(windows("own"), own);
}

#[test]
fn expressions_replicas_and_health_checks_become_metrics() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans/valid/signals.yaml");
    let plan = load_path(&path).unwrap_or_else(|p| panic!("{}", p.render(false))).plan;
    let monitor = |name: &str| &plan.monitors[plan.monitor_named(name).unwrap()];
    let metric = |name: &str| monitor(name).source.metric().unwrap();
    let Asks::Math(math) = &metric("error-share").asks else { panic!("an expression") };
    assert_eq!(math.expression, "FILL(errors, 0) / requests * 100");
    let names: Vec<&str> = math.inputs.iter().flat_map(|(name, metric)| [name, metric.name.as_str()]).collect();
    assert_eq!(names, ["errors", "Errors", "requests", "Count"]);
    assert_eq!((metric("error-share").unit, metric("error-share").period_ms), (Unit::Share, 60_000));
    let replica = metric("replica");
    assert_eq!((of(replica).name.as_str(), replica.scale, replica.unit), ("ReplicaLag", 1_000_000, Unit::Time));
    assert_eq!(of(replica).dimensions, [("DBInstanceIdentifier".to_owned(), "ehr-replica".to_owned())]);
    let aurora = metric("aurora");
    assert_eq!((of(aurora).name.as_str(), aurora.scale, aurora.unit), ("AuroraGlobalDBReplicationLag", 1_000, Unit::Time));
    assert_eq!(of(aurora).dimensions[0], ("DBClusterIdentifier".to_owned(), "ehr".to_owned()));
    assert!(replica.replication && aurora.replication, "what they lag is lost in a failover");
    let (check, status) = (monitor("check"), metric("check"));
    assert_eq!(check.region.as_deref(), Some("us-east-1"), "CloudWatch has it there only (rule 33)");
    assert_eq!((of(status).name.as_str(), of(status).stat.as_str()), ("HealthCheckStatus", "Minimum"));
    let drill = |name: &str| &plan.drill.metrics[&plan.monitor_named(name).unwrap()];
    assert_eq!(*drill("check"), DrillMetric::HealthCheck("11111111-2222-3333-4444-555555555555".into()));
    assert_eq!(*drill("aurora"), DrillMetric::Lag(400_000));
    assert!(matches!(drill("replica"), DrillMetric::ReplicaLag { database: Database::Mysql, .. }));
    assert_eq!(*drill("error-share"), DrillMetric::Errors("eu-central-1".into()));
}

/// What is pointed out of the drill with a third region and a switch in its rollback.
#[test]
fn downtime_is_measured_as_the_plan_says_or_by_the_monitor_of_the_service() {
    let usual = load_bytes(DRILL.as_bytes()).unwrap().plan;
    let users = usual.monitor_named("api-users").unwrap();
    assert_eq!((usual.availability.service.clone(), usual.availability.regions.len()), (vec![users], 0));
    assert_eq!((usual.availability.quorum_of(1), usual.availability.quorum_of(3), usual.availability.quorum_of(4)), (1, 2, 3));
    let said = "availability: {burnt: 4m, regions: {eu-west-1: [api-ireland]}}\nmonitors:\n";
    let loaded = load_bytes(DRILL.replacen("monitors:\n", said, 1).as_bytes()).unwrap();
    let availability = loaded.plan.availability;
    let ireland = loaded.plan.monitors.iter().position(|m| m.name == "api-ireland").unwrap();
    assert_eq!((availability.burnt_ms, availability.service), (240_000, vec![users]));
    assert_eq!(availability.regions, [("eu-west-1".to_owned(), vec![ireland])]);
    // Both are seen from one place only. The scenario that rehearses the loss of us-east-1 is not in memory.
    assert_eq!(lints(&loaded.warnings), ["few-vantages", "few-vantages", "needs-route53"]);
}

fn warnings_of_a_switch(region: &str) -> Vec<String> {
    let third = "objectives: {availability";
    let steps = "    steps:\n      - id: traffic-back\n";
    assert!(DRILL.contains(third) && DRILL.contains(steps));
    let what = format!("{{health-check: abc, region: {region}, namespace: Example, name: Leave, value: 1}}");
    let switch =
        format!("    steps:\n      - id: leave\n        title: Leave\n        switch: {what}\n      - id: traffic-back\n");
    let plan = DRILL.replacen(third, &format!("  af-south-1: {{role: secondary}}\n{third}"), 1).replacen(steps, &switch, 1);
    load_bytes(plan.as_bytes()).unwrap().warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn a_rollback_that_nothing_could_ever_arm_is_pointed_out() {
    // Requests are counted in Ireland, so it is seen whether Ireland answers. Nothing is read in Cape Town.
    assert_eq!(warnings_of_a_switch("eu-west-1"), [""; 0]);
    let warnings = warnings_of_a_switch("af-south-1");
    let said = "never-armed: nothing is monitored that shows whether af-south-1 answers, so this rollback is never armed";
    assert!(warnings.len() == 1 && warnings[0].contains(said), "{warnings:#?}");
}

#[test]
fn paths_that_are_not_there_are_problems() {
    let dir = tempfile::tempdir().unwrap();
    assert!(load_path(&dir.path().join("no.yaml")).unwrap_err().to_string().contains("no such file"));
    assert!(load_path(dir.path()).unwrap_err().to_string().contains("holds no `plan.yaml`"));
}

#[test]
fn hostile_files_are_refused_at_once() {
    let noise: Vec<u8> = (0..10u32 << 20).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    assert!(refusal(&noise).contains("larger than 4 MiB"));
    assert!(refusal(&noise[..3 << 20]).contains("not UTF-8"));
    assert!(refusal(&[0xff, 0xfe, b'a', 0]).contains("not UTF-8"));
    assert!(refusal(b"a: \0").contains("control character"));
    assert!(refusal(b"").contains("empty") || refusal(b"").contains("mapping"));
    assert!(refusal(b"# nothing\n").contains("plan"));
    for text in ["[".repeat(1 << 20), format!("a: {}", "{a: ".repeat(100_000)), "- ".repeat(1 << 20)] {
        let refusal = refusal(text.as_bytes());
        assert!(refusal.contains("nest"), "{refusal}");
    }
    let mut deep = String::new();
    for i in 0..2_000 {
        let _ = writeln!(deep, "{}a:", " ".repeat(i));
    }
    assert!(refusal(deep.as_bytes()).contains("nest"));
    assert!(refusal("- a\n".repeat(1 << 20).as_bytes()).contains("too large"));
    assert!(refusal("? ".repeat(1 << 20).as_bytes()).contains("plan.yaml"));
    assert!(refusal("a: &a\n".repeat(100_000).as_bytes()).contains("plan.yaml"));
}

#[test]
fn alias_bombs_are_refused_at_once() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let uses = format!("*a{}, ", i - 1).repeat(9);
        let _ = writeln!(bomb, "a{i}: &a{i} [{}]", uses.trim_end_matches(", "));
    }
    assert!(refusal(bomb.as_bytes()).contains("too large"));
    let mut vars = format!("vars:\n  v0: {}\n", "x".repeat(60_000));
    for i in 1..50_000 {
        let _ = writeln!(vars, "  v{i}: ${{v0}}");
    }
    assert!(refusal(vars.as_bytes()).contains("too long"));
}

#[test]
fn many_errors_are_cut_short_at_once() {
    let mut text = "cutover: 1\n".to_owned();
    for i in 0..100_000 {
        let _ = writeln!(text, "key-{i}: {i}");
    }
    let problems = load_bytes(text.as_bytes()).unwrap_err();
    assert_eq!(problems.0.len(), 51);
    assert!(refusal(text.as_bytes()).contains("more errors are not listed"));
    assert!(refusal("cutover: 1\n".repeat(100_000).as_bytes()).contains("twice"));
}

fn many_steps(count: usize) -> String {
    let (head, _) = DRILL.split_once("\nphases:").unwrap();
    let mut text = format!("{head}\nphases:\n  - id: failover\n    days: 1\n    steps:\n");
    for i in 0..count {
        let _ = write!(
            text,
            "      - id: step-{i}\n        title: Send a little more of the traffic to Frankfurt, step {i}\n        note: A note that says why this is done and what there is to mind while it is done\n        \
             shift: {{zone: \"${{zone}}\", record: \"${{api}}\", weights: {{frankfurt: {}, ireland: 100}}}}\n        \
             gate: [{{monitor: api-frankfurt, is: healthy}}]\n",
            i % 100
        );
        if i > 0 {
            let _ = writeln!(text, "        needs: [step-{}]", i - 1);
        }
    }
    text
}

#[test]
fn ten_thousand_steps_load() {
    let text = many_steps(10_000);
    assert!(text.len() > 3_000_000, "{}", text.len());
    let _alone = ALONE.lock();
    let begin = Instant::now();
    let loaded = load_bytes(text.as_bytes()).unwrap_or_else(|p| panic!("{p}"));
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    assert_eq!(loaded.plan.steps.len(), 10_000);
    assert_eq!(loaded.plan.conditions.len(), 10_000);
}

#[test]
fn ten_thousand_dangling_references_are_no_burden() {
    let text =
        many_steps(9_000).replace("monitor: api-frankfurt", "monitor: api-frankfort").replace("needs: [step-", "needs: [stop-");
    let text = refusal(text.as_bytes());
    assert!(text.contains("did you mean `step-1`?") || text.contains("did you mean"), "{text}");
}

#[test]
fn small_mistakes_are_explained() {
    let cases = [
        ("account: \"123456789012\"", "account: 123456789012", "put it in quotes: \"123456789012\""),
        ("weight: 100", "weight: 300", "`300` is out of range: between 0 and 255"),
        ("weight: 100", "weight: heavy", "expected a whole number, found text"),
        ("cutover: 1", "cutover: \"1\"", "this release reads version 1"),
        ("cutover: 1\n", "", "the plan has no `cutover`"),
        ("key: 1", "key: 0", "between 1 and 9"),
        ("below: 1%", "below: 20ms", "wrong unit: expected a percentage, found a duration"),
        ("below: 250ms", "below: 250", "wrong unit: expected a duration, found a bare number"),
        ("stat: errors", "stat: p59", "`p59` is no statistic"),
        ("monitor: stack-frankfurt, is: healthy", "monitor: stack-frankfurt, below: 3", "a stack has a state, not a value"),
        ("to: eu-west-1", "to: eu-west-2", "did you mean `eu-west-1`?"),
        ("restore: [shift-10,", "restore: [baseline,", "changes nothing that could be put back"),
        ("role: primary", "role: source", "a plan has one"),
        ("region: eu-central-1\n", "region: eu-central1\n", "did you mean `eu-central-1`?"),
        ("after: shift-10", "after: shift-11", "there is no step `shift-11`"),
        ("ttl: 60s, ", "", "the record has no `ttl`"),
        ("ttl: 60s, values: [192.0.2.10]", "ttl: 60s, alias: {zone: Z1, name: a.b}", "an alias answers with its target's TTL"),
        ("days: 1\nregions", "days: 0\nregions", "between 1 and 365"),
        ("zone: ${zone}", "zone: ${zonne}", "did you mean `zone`?"),
        ("        soak:\n          for: 5m", "        approve: {what: x}\n        soak:\n          for: 5m", "has two actions"),
        ("        title: Watch both sides before anything moves\n", "", "has no `title`"),
        ("title: Fail over from Ireland to Frankfurt", "include: [../x.yaml]\ntitle: x", "cannot be included"),
        ("title: Fail over from Ireland to Frankfurt", "include: [plan.yaml]\ntitle: x", "includes itself"),
        ("name: failover-drill", "name: Failover_Drill", "write `failover-drill`"),
        ("id: shift-50", "id: shift-10", "there is a step `shift-10` already"),
        ("zone: \"${zone}\", record", "zone: ${zone}, record", "a variable must be in quotes"),
    ];
    for (from, to, expected) in cases {
        match changed(from, to) {
            Ok(_) => panic!("`{to}` loads"),
            Err(problems) => assert!(problems.to_string().contains(expected), "{to}:\n{problems}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever happens to a file, it loads or is refused with at least one error that can be shown.
    #[test]
    fn damaged_plans_never_panic(edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..8), cut in proptest::option::of(any::<prop::sample::Index>())) {
        let mut bytes = DRILL.as_bytes().to_vec();
        for (index, byte, what) in edits {
            let at = index.index(bytes.len());
            // Printable bytes damage the meaning more often than the encoding.
            let byte = if byte < 200 { b" :-{}[]\"'\n#&*!|>%@,${}09azAZ~"[usize::from(byte) % 29] } else { byte };
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => { bytes.remove(at); }
                _ => { let end = (at + usize::from(byte)).min(bytes.len()); let piece = bytes[at..end].to_vec(); let to = index.index(at + 1); bytes.splice(to..to, piece); }
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Err(problems) = load_bytes(&bytes) {
            prop_assert!(!problems.0.is_empty());
            prop_assert!(!problems.to_string().is_empty());
            prop_assert!(problems.render(true).len() >= problems.0.len());
        }
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "\\PC{0,200}") {
        let _ = load_bytes(&bytes).map_err(|p| p.render(true));
        let _ = load_bytes(text.as_bytes()).map_err(|p| p.render(true));
    }
}
