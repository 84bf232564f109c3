//! What is known of a plan's DNS monitors: a name, asked of many servers at once, and where each answer leads.
//!
//! A resolver is asked what its users are told, and is given no second chance: what it says now counts. An alias record
//! answers with addresses of another name, and those change by the minute, so the resolvers are asked for that name in
//! the same round, and what they said lately is remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::proto::rr::RecordType;
use hickory_resolver::system_conf::read_system_conf;
use tokio::task::JoinSet;

use super::question::{Answer, Question, ask};
use crate::cloud::{Millis, Reading, ServerAnswer, Value};
use crate::plan::{DnsServer, DnsSource, DnsTarget, DnsType, MonitorId, Plan, Source, ZoneServers};

/// How long an address counts as one of a name after it was last among its answers.
const REMEMBERED: Duration = Duration::from_hours(1);
/// How long the list of a zone's servers is used before it is looked up again.
const ZONE_EVERY: Duration = Duration::from_mins(5);
/// Most of a zone's servers that are asked.
const ZONE_SERVERS_MAX: usize = 8;
/// Longest that the search for a zone's servers takes altogether.
const ZONE_SEARCH: Duration = Duration::from_secs(8);
/// The port of DNS.
const PORT: u16 = 53;
/// Most addresses of an answer that are told.
const TOLD_MAX: usize = 4;

/// The DNS monitors of a plan.
#[derive(Debug)]
pub struct Names {
    monitors: BTreeMap<MonitorId, Arc<Watched>>,
}

/// One of them.
#[derive(Debug)]
struct Watched {
    source: DnsSource,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// Address → the regions whose names had it, by number in `leads_to`, and when it was last so.
    seen: BTreeMap<IpAddr, BTreeMap<usize, Instant>>,
    /// The zone's servers, and when they were found.
    zone: Option<(Instant, Vec<DnsServer>)>,
}

/// What a task of a round asked.
enum Asked {
    /// The name, of the server with this number.
    Name(usize),
    /// A name of the region with this number.
    Target(usize),
}

impl Names {
    /// The monitors of a plan. Nothing is asked yet.
    #[must_use]
    pub fn new(plan: &Plan) -> Names {
        let monitors = plan.monitors.iter().enumerate().filter_map(|(id, monitor)| match &monitor.source {
            Source::Dns(source) => Some((id, Arc::new(Watched { source: source.clone(), memory: Mutex::default() }))),
            _ => None,
        });
        Names { monitors: monitors.collect() }
    }

    /// Asks all servers of a monitor at once. `now` is the clock of the readings, which are as old as the question. The
    /// future ends within twice the monitor's time-out, and some seconds more when the zone's servers are searched for.
    pub fn ask(&self, monitor: MonitorId, now: fn() -> Millis) -> impl Future<Output = Vec<Reading>> + Send + 'static {
        let watched = self.monitors.get(&monitor).cloned();
        async move {
            let Some(watched) = watched else { return Vec::new() };
            let own = watched.zone().await;
            let at = now();
            vec![Reading { at, value: Value::Servers(watched.round(own).await) }]
        }
    }
}

impl Watched {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        // A panic cannot leave it half changed in a way that matters.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn question(&self, name: &str, kind: RecordType, recursive: bool) -> Question {
        let timeout = Duration::from_millis(u64::try_from(self.source.timeout_ms).unwrap_or(0));
        Question { name: name.to_owned(), kind, recursive, timeout }
    }

    /// Those that find out for others: the chosen resolvers, and only without any those of this machine.
    fn resolvers(&self) -> Vec<SocketAddr> {
        match self.source.resolvers.as_slice() {
            [] => system_servers(),
            chosen => chosen.iter().map(|server| server.address).collect(),
        }
    }

    /// One question to each server, all at once.
    async fn round(&self, own: Result<Vec<DnsServer>, String>) -> Vec<ServerAnswer> {
        let kind = match self.source.kind {
            DnsType::A => RecordType::A,
            DnsType::Aaaa => RecordType::AAAA,
            DnsType::Cname => RecordType::CNAME,
        };
        let resolvers = self.source.resolvers.iter().map(|server| (server, false));
        let zone = own.as_deref().unwrap_or_default().iter().map(|server| (server, true));
        let servers: Vec<(&DnsServer, bool)> = resolvers.chain(zone).collect();
        let mut tasks = JoinSet::new();
        let mut put = |what: Asked, server: SocketAddr, question: Question| {
            tasks.spawn(async move { (what, ask(server, &question).await) });
        };
        for (number, (server, zone)) in servers.iter().enumerate() {
            put(Asked::Name(number), server.address, self.question(&self.source.name, kind, !zone));
        }
        if kind != RecordType::CNAME {
            let recursive = self.resolvers();
            for (region, (_, targets)) in self.source.leads_to.iter().enumerate() {
                for target in targets {
                    let DnsTarget::Name(name) = target else { continue };
                    for server in &recursive {
                        put(Asked::Target(region), *server, self.question(name, kind, true));
                    }
                }
            }
        }
        let mut answers: Vec<Result<Answer, String>> = vec![Err("it was not asked".to_owned()); servers.len()];
        let mut learned = Vec::new();
        while let Some(done) = tasks.join_next().await {
            match done {
                Ok((Asked::Name(number), answer)) => answers[number] = answer,
                Ok((Asked::Target(region), Ok(answer))) => learned.push((region, answer.addresses)),
                Ok((Asked::Target(_), Err(_))) | Err(_) => {}
            }
        }
        let mut memory = self.memory();
        memory.learn(&learned, Instant::now());
        let said = servers.iter().zip(answers).map(|((server, zone), answer)| self.said(&memory, &server.name, *zone, answer));
        let mut said: Vec<ServerAnswer> = said.collect();
        if let Err(why) = own {
            let (server, trouble) = ("zone servers".to_owned(), Some(why));
            said.push(ServerAnswer { server, zone: true, answer: None, region: None, ttl_s: None, trouble });
        }
        said
    }

    fn said(&self, memory: &Memory, server: &str, zone: bool, answer: Result<Answer, String>) -> ServerAnswer {
        let (server, none) = (server.to_owned(), None);
        let answer = match answer {
            Ok(answer) => answer,
            Err(why) => return ServerAnswer { server, zone, answer: none, region: None, ttl_s: None, trouble: Some(why) },
        };
        let (region, trouble) = match self.region(memory, &answer) {
            Ok(region) => (Some(self.source.leads_to[region].0.clone()), None),
            Err(why) => (None, Some(why)),
        };
        ServerAnswer { server, zone, answer: Some(told(&answer)), region, ttl_s: answer.ttl_s, trouble }
    }

    /// The region that an answer leads to, by number.
    fn region(&self, memory: &Memory, answer: &Answer) -> Result<usize, String> {
        let is = |target: &DnsTarget, name: &String| matches!(target, DnsTarget::Name(known) if known == name);
        let named = |name: &String| self.source.leads_to.iter().position(|(_, targets)| targets.iter().any(|t| is(t, name)));
        if let Some(region) = answer.chain.iter().find_map(named) {
            return Ok(region);
        }
        let known = |address: &IpAddr| -> BTreeSet<usize> {
            let fixed = |(_, targets): &(String, Vec<DnsTarget>)| targets.contains(&DnsTarget::Address(*address));
            // What the plan says of an address is more than what some server said of a name.
            match self.source.leads_to.iter().position(fixed) {
                Some(region) => [region].into(),
                None => memory.seen.get(address).map(|regions| regions.keys().copied().collect()).unwrap_or_default(),
            }
        };
        let mut all = BTreeSet::new();
        for address in &answer.addresses {
            let regions = known(address);
            if regions.is_empty() {
                return Err("leads nowhere known".to_owned());
            }
            all.extend(regions);
        }
        match all.iter().copied().collect::<Vec<_>>().as_slice() {
            [region] => Ok(*region),
            [] => Err("leads nowhere known".to_owned()),
            several => {
                let regions: Vec<&str> = several.iter().map(|region| self.source.leads_to[*region].0.as_str()).collect();
                Err(format!("may lead to {}", regions.join(" and ")))
            }
        }
    }

    /// The zone's own servers, searched for if it is time to.
    async fn zone(&self) -> Result<Vec<DnsServer>, String> {
        match &self.source.zone_servers {
            ZoneServers::None => return Ok(Vec::new()),
            ZoneServers::Listed(listed) => return Ok(listed.clone()),
            ZoneServers::Found => {}
        }
        let before = self.memory().zone.clone();
        if let Some((found, servers)) = &before
            && found.elapsed() < ZONE_EVERY
        {
            return Ok(servers.clone());
        }
        let searched = tokio::time::timeout(ZONE_SEARCH, self.search()).await;
        match searched.unwrap_or_else(|_| Err("the search for them took too long".to_owned())) {
            Ok(servers) => {
                self.memory().zone = Some((Instant::now(), servers.clone()));
                Ok(servers)
            }
            // They hardly ever change; those that were found before do.
            Err(why) => before.map(|(_, servers)| servers).ok_or(why),
        }
    }

    /// Looks up the NS records of the name, of what it is part of, and so on, of the first server that answers.
    async fn search(&self) -> Result<Vec<DnsServer>, String> {
        let mut why = "there is no resolver to find them by".to_owned();
        for server in self.resolvers() {
            match self.search_by(server).await {
                Ok(servers) => return Ok(servers),
                Err(trouble) => why = trouble,
            }
        }
        Err(why)
    }

    async fn search_by(&self, server: SocketAddr) -> Result<Vec<DnsServer>, String> {
        let mut zone = self.source.name.as_str();
        loop {
            let answer = ask(server, &self.question(zone, RecordType::NS, true)).await?;
            if !answer.servers.is_empty() {
                return self.addresses(server, &answer.servers).await;
            }
            // The zone of a top-level domain is nobody's who migrates.
            zone = match zone.split_once('.') {
                Some((_, parent)) if parent.contains('.') => parent,
                _ => return Err(format!("no NS records of {} or above it", self.source.name)),
            };
        }
    }

    async fn addresses(&self, server: SocketAddr, names: &[String]) -> Result<Vec<DnsServer>, String> {
        let mut tasks = JoinSet::new();
        let names: BTreeSet<&String> = names.iter().collect();
        for name in names.into_iter().take(ZONE_SERVERS_MAX) {
            let question = self.question(name, RecordType::A, true);
            tasks.spawn(async move { (ask(server, &question).await, question.name) });
        }
        let mut found = Vec::new();
        while let Some(done) = tasks.join_next().await {
            if let Ok((Ok(answer), name)) = done
                && let Some(address) = answer.addresses.first()
            {
                found.push(DnsServer { name, address: SocketAddr::new(*address, PORT) });
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        if found.is_empty() { Err("the zone's servers have no addresses".to_owned()) } else { Ok(found) }
    }
}

impl Memory {
    /// Takes in which addresses the regions' names have, and forgets those that they have not had for long.
    fn learn(&mut self, learned: &[(usize, Vec<IpAddr>)], now: Instant) {
        for (region, addresses) in learned {
            for address in addresses {
                self.seen.entry(*address).or_default().insert(*region, now);
            }
        }
        self.seen.retain(|_, regions| {
            regions.retain(|_, at| now.saturating_duration_since(*at) < REMEMBERED);
            !regions.is_empty()
        });
    }
}

/// The resolvers that this machine is set up with.
fn system_servers() -> Vec<SocketAddr> {
    let settings = read_system_conf().map(|(config, _)| config.name_servers().to_vec()).unwrap_or_default();
    settings.iter().map(|server| SocketAddr::new(server.ip, PORT)).collect()
}

/// An answer for people.
fn told(answer: &Answer) -> String {
    let addresses: Vec<String> = answer.addresses.iter().take(TOLD_MAX).map(ToString::to_string).collect();
    match (addresses.as_slice(), answer.chain.last()) {
        ([], Some(name)) => name.clone(),
        ([], None) if answer.no_name => "no such name".to_owned(),
        ([], None) => "no such record".to_owned(),
        _ if answer.addresses.len() > TOLD_MAX => {
            format!("{} and {} more", addresses.join(" "), answer.addresses.len() - TOLD_MAX)
        }
        _ => addresses.join(" "),
    }
}
