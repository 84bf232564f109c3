//! The DNS monitors of a live run, against name servers of the test's own that answer as they are told to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cutover::cloud::{ServerAnswer, Value};
use cutover::live::system_now;
use cutover::plan::{DnsServer, DnsSource, DnsTarget, DnsType, Source, ZoneServers};
use cutover::probe::Names;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME, NS, SOA};
use hickory_resolver::proto::rr::{Name, RData, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use crate::plan;

const API: &str = "api.example.com";
const OLD: &str = "lb.old.example.org";
const NEW: &str = "lb.new.example.org";

/// How a server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// It resolves for others.
    Resolver,
    /// It speaks for the zone and nothing else.
    Zone,
    Fails,
    Silent,
    /// What it sends is no message, but has the right number.
    Garbage,
    /// It says by UDP that the answer does not fit.
    ByTcp,
    /// As that, but nobody answers by TCP.
    CutOff,
}

type Records = BTreeMap<&'static str, Vec<Record>>;

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    /// Which questions came: name and whether recursion was desired.
    asked: Arc<Mutex<Vec<(String, bool)>>>,
}

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).unwrap()
}

fn a(owner: &str, ttl: u32, address: &str) -> Record {
    Record::from_rdata(name(owner), ttl, RData::A(A(address.parse().unwrap())))
}

fn cname(owner: &str, ttl: u32, target: &str) -> Record {
    Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(target))))
}

/// What the world looks like before anything moved.
fn world(api: Vec<Record>) -> Records {
    BTreeMap::from([
        (API, api),
        (OLD, vec![a(OLD, 60, "192.0.2.20"), a(OLD, 60, "192.0.2.21")]),
        (NEW, vec![a(NEW, 60, "192.0.2.10"), a(NEW, 60, "192.0.2.11")]),
    ])
}

fn reply(asked: &Message, manner: Manner, records: &Records) -> Message {
    let question = asked.queries[0].clone();
    let mut reply = Message::response(asked.id, asked.op_code);
    let key = question.name().to_ascii().trim_end_matches('.').to_owned();
    reply.metadata.authoritative = manner == Manner::Zone;
    reply.metadata.recursion_available = manner != Manner::Zone;
    match records.get(key.as_str()) {
        _ if manner == Manner::Fails => reply.metadata.response_code = ResponseCode::ServFail,
        Some(found) if manner != Manner::Zone || key == API => {
            let fits = |record: &&Record| {
                let kind = record.record_type();
                kind == question.query_type() || matches!(record.data, RData::CNAME(_)) || record.name != *question.name()
            };
            reply.answers = found.iter().filter(fits).cloned().collect();
        }
        _ if manner == Manner::Zone => reply.metadata.response_code = ResponseCode::Refused,
        _ => {
            reply.metadata.response_code = ResponseCode::NXDomain;
            let soa = SOA::new(name("ns"), name("admin"), 1, 3_600, 600, 86_400, 30);
            reply.authorities = vec![Record::from_rdata(name("example.com"), 900, RData::SOA(soa))];
        }
    }
    reply.queries.push(question);
    reply
}

impl Server {
    async fn start(manner: Manner, records: Records) -> Server {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            // One port for both, as with any name server.
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let (address, asked) = (udp.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let (noted, by_tcp) = (Arc::clone(&asked), records.clone());
        tokio::spawn(async move {
            let mut buffer = [0; 4_096];
            while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
                let message = Message::from_vec(&buffer[..length]).unwrap();
                noted.lock().unwrap().push((message.queries[0].name().to_ascii(), message.recursion_desired));
                let bytes = match manner {
                    Manner::Silent => continue,
                    Manner::Garbage => [&buffer[..2], b"garbage"].concat(),
                    Manner::ByTcp | Manner::CutOff => {
                        let mut cut = reply(&message, manner, &records);
                        cut.metadata.truncation = true;
                        cut.answers.clear();
                        cut.to_vec().unwrap()
                    }
                    _ => {
                        // Somebody who guesses comes first; the number is wrong.
                        let mut forged = reply(&message, manner, &world(vec![a(API, 60, "198.51.100.66")]));
                        forged.metadata.id = message.id.wrapping_add(1);
                        udp.send_to(&forged.to_vec().unwrap(), from).await.unwrap();
                        reply(&message, manner, &records).to_vec().unwrap()
                    }
                };
                udp.send_to(&bytes, from).await.unwrap();
            }
        });
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let records = by_tcp.clone();
                tokio::spawn(async move {
                    while let Ok(length) = stream.read_u16().await {
                        let mut bytes = vec![0; usize::from(length)];
                        stream.read_exact(&mut bytes).await.unwrap();
                        if manner != Manner::ByTcp {
                            continue;
                        }
                        let bytes = reply(&Message::from_vec(&bytes).unwrap(), manner, &records).to_vec().unwrap();
                        stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
                        stream.write_all(&bytes).await.unwrap();
                    }
                });
            }
        });
        Server { address, asked }
    }
}

fn source(resolvers: &[(&str, &Server)], zone: ZoneServers) -> DnsSource {
    let server = |(name, server): &(&str, &Server)| DnsServer { name: (*name).into(), address: server.address };
    DnsSource {
        name: API.into(),
        kind: DnsType::A,
        resolvers: resolvers.iter().map(server).collect(),
        zone_servers: zone,
        leads_to: vec![
            ("new".into(), vec![DnsTarget::Name(NEW.into()), DnsTarget::Address("192.0.2.99".parse().unwrap())]),
            ("old".into(), vec![DnsTarget::Name(OLD.into())]),
        ],
        toward: "new".into(),
        timeout_ms: 600,
    }
}

async fn ask(source: DnsSource) -> Vec<ServerAnswer> {
    let names = Names::new(&plan::plan(vec![plan::monitor("names", Source::Dns(source))]));
    look(&names).await
}

async fn look(names: &Names) -> Vec<ServerAnswer> {
    let asking = system_now();
    let mut readings = names.ask(0, system_now).await;
    assert_eq!(readings.len(), 1);
    let reading = readings.remove(0);
    assert!(reading.at >= asking && reading.at < asking + 100, "a reading is as old as its question");
    match reading.value {
        Value::Servers(servers) => servers,
        other => panic!("{other:?}"),
    }
}

fn region(answer: &ServerAnswer) -> (&str, Option<&str>, Option<u32>) {
    (answer.server.as_str(), answer.region.as_deref(), answer.ttl_s)
}

#[tokio::test]
async fn an_answer_leads_where_its_addresses_or_its_chain_lead() {
    let old = Server::start(Manner::Resolver, world(vec![a(API, 41, "192.0.2.20")])).await;
    let both = Server::start(Manner::Resolver, world(vec![a(API, 7, "192.0.2.11"), a(API, 9, "192.0.2.10")])).await;
    let fixed = Server::start(Manner::Resolver, world(vec![a(API, 300, "192.0.2.99")])).await;
    let chain = vec![cname(API, 120, "www.example.net"), cname("www.example.net", 5, NEW), a(NEW, 2, "203.0.113.7")];
    let chain = Server::start(Manner::Resolver, world(chain)).await;
    let mixed = Server::start(Manner::Resolver, world(vec![a(API, 60, "192.0.2.20"), a(API, 60, "192.0.2.10")])).await;
    let stranger = Server::start(Manner::Resolver, world(vec![a(API, 60, "192.0.2.10"), a(API, 60, "198.51.100.1")])).await;
    let nothing = Server::start(Manner::Resolver, world(Vec::new())).await;
    let absent = Server::start(Manner::Resolver, Records::new()).await;
    let resolvers =
        [("old", &old), ("both", &both), ("fixed", &fixed), ("chain", &chain), ("mixed", &mixed), ("stranger", &stranger)];
    let resolvers = [&resolvers[..], &[("nothing", &nothing), ("absent", &absent)]].concat();
    let said = ask(source(&resolvers, ZoneServers::None)).await;
    let seen: Vec<_> = said.iter().map(region).collect();
    let expected = [
        ("old", Some("old"), Some(41)),
        ("both", Some("new"), Some(7)),
        ("fixed", Some("new"), Some(300)),
        ("chain", Some("new"), Some(120)),
        ("mixed", None, Some(60)),
        ("stranger", None, Some(60)),
        ("nothing", None, None),
        ("absent", None, Some(30)),
    ];
    assert_eq!(seen, expected);
    assert_eq!(said[1].answer.as_deref(), Some("192.0.2.11 192.0.2.10"));
    assert_eq!(said[4].trouble.as_deref(), Some("may lead to new and old"));
    assert_eq!(said[5].trouble.as_deref(), Some("leads nowhere known"));
    assert_eq!((said[6].answer.as_deref(), said[7].answer.as_deref()), (Some("no such record"), Some("no such name")));
    assert!(old.asked.lock().unwrap().iter().all(|(_, recursive)| *recursive));
}

#[tokio::test]
async fn trouble_has_its_own_word_and_holds_up_nobody() {
    let good = Server::start(Manner::Resolver, world(vec![a(API, 60, "192.0.2.10")])).await;
    let fails = Server::start(Manner::Fails, Records::new()).await;
    let silent = Server::start(Manner::Silent, Records::new()).await;
    let garbage = Server::start(Manner::Garbage, Records::new()).await;
    let by_tcp = Server::start(Manner::ByTcp, world(vec![a(API, 33, "192.0.2.20")])).await;
    let cut_off = Server::start(Manner::CutOff, world(vec![a(API, 33, "192.0.2.20")])).await;
    let begin = Instant::now();
    let resolvers =
        [("good", &good), ("fails", &fails), ("silent", &silent), ("garbage", &garbage), ("tcp", &by_tcp), ("cut", &cut_off)];
    let said = ask(source(&resolvers, ZoneServers::None)).await;
    assert!(begin.elapsed() < Duration::from_millis(1_900), "twice the time-out at most: {:?}", begin.elapsed());
    assert_eq!(region(&said[0]), ("good", Some("new"), Some(60)));
    assert_eq!(region(&said[4]), ("tcp", Some("old"), Some(33)));
    let words: Vec<&str> = said.iter().filter_map(|s| s.trouble.as_deref()).collect();
    let expected = [
        "SERVFAIL",
        "no answer within 600ms",
        "an answer that cannot be read",
        "the answer is cut off, and by TCP there is none",
    ];
    assert_eq!(words, expected);
    assert!([1, 2, 3, 5].iter().all(|n: &usize| said[*n].answer.is_none() && said[*n].region.is_none()));
    // What is lost on the way is asked for again.
    let asked = silent.asked.lock().unwrap().iter().filter(|(name, _)| name.starts_with("api.")).count();
    assert!((2..=3).contains(&asked), "{asked}");
}

#[tokio::test]
async fn the_zones_own_servers_are_not_asked_to_ask_others() {
    let resolver = Server::start(Manner::Resolver, world(vec![a(API, 41, "192.0.2.20")])).await;
    let zone = Server::start(Manner::Zone, world(vec![a(API, 60, "192.0.2.11")])).await;
    let lame = Server::start(Manner::Resolver, world(vec![a(API, 60, "192.0.2.11")])).await;
    let listed = |name: &str, server: &Server| DnsServer { name: name.into(), address: server.address };
    let listed = vec![listed("ns", &zone), listed("lame", &lame)];
    let said = ask(source(&[("lan", &resolver)], ZoneServers::Listed(listed))).await;
    assert_eq!(region(&said[0]), ("lan", Some("old"), Some(41)));
    // It refuses to say what addresses the alias has; the resolver has told them.
    assert_eq!((region(&said[1]), said[1].zone), (("ns", Some("new"), Some(60)), true));
    assert_eq!((said[2].region.as_deref(), said[2].trouble.as_deref()), (None, Some("it does not speak for the zone")));
    let asked = zone.asked.lock().unwrap().clone();
    assert_eq!(asked, [("api.example.com.".to_owned(), false)]);
}

#[tokio::test]
async fn the_zones_own_servers_are_found_by_its_ns_records() {
    let ns = |server: &str| Record::from_rdata(name("example.com"), 60, RData::NS(NS(name(server))));
    let mut records = world(vec![a(API, 41, "192.0.2.20")]);
    records.insert("example.com", vec![ns("ns-2.example.net"), ns("ns-1.example.net"), ns("ns-3.example.net")]);
    // Nobody listens on these; the third has no address at all.
    records.insert("ns-1.example.net", vec![a("ns-1.example.net", 60, "127.10.11.12")]);
    records.insert("ns-2.example.net", vec![a("ns-2.example.net", 60, "127.10.11.13")]);
    let resolver = Server::start(Manner::Resolver, records).await;
    let names =
        Names::new(&plan::plan(vec![plan::monitor("names", Source::Dns(source(&[("lan", &resolver)], ZoneServers::Found)))]));
    for _ in 0..2 {
        let said = look_slowly(&names).await;
        let seen: Vec<_> = said.iter().map(|s| (s.server.as_str(), s.zone, s.answer.is_some())).collect();
        assert_eq!(seen, [("lan", false, true), ("ns-1.example.net", true, false), ("ns-2.example.net", true, false)]);
    }
    let searched = resolver.asked.lock().unwrap().iter().filter(|(name, _)| name == "example.com.").count();
    assert_eq!(searched, 1, "they hardly ever change");

    let nobody = Server::start(Manner::Fails, Records::new()).await;
    let said = ask(DnsSource { timeout_ms: 100, ..source(&[("lan", &nobody)], ZoneServers::Found) }).await;
    let zone = said.iter().find(|s| s.zone).unwrap();
    assert!(zone.trouble.is_some() && zone.answer.is_none(), "{zone:?}");
}

async fn look_slowly(names: &Names) -> Vec<ServerAnswer> {
    match names.ask(0, system_now).await.remove(0).value {
        Value::Servers(servers) => servers,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_name_whose_addresses_change_is_still_known_by_those_that_it_had() {
    let first = Server::start(Manner::Resolver, world(vec![a(API, 60, "192.0.2.10")])).await;
    let mut later = world(vec![a(API, 60, "192.0.2.10")]);
    later.insert(NEW, vec![a(NEW, 60, "192.0.2.12")]);
    let later = Server::start(Manner::Resolver, later).await;
    // Alone it would not know; with the other's word it does.
    let alone = ask(source(&[("later", &later)], ZoneServers::None)).await;
    assert_eq!(region(&alone[0]), ("later", None, Some(60)));
    let said = ask(source(&[("first", &first), ("later", &later)], ZoneServers::None)).await;
    assert_eq!(region(&said[1]), ("later", Some("new"), Some(60)));
}
