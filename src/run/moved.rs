//! How many name servers moved: from what each of them answered to the one number of a DNS monitor.

use crate::cloud::{ServerAnswer, Value};
use crate::plan::{DnsSource, format_ms};

/// The servers that the number is about: the chosen resolvers, since users ask such; without any, the zone's own.
fn counted<'a>(source: &DnsSource, answers: &'a [ServerAnswer]) -> Vec<&'a ServerAnswer> {
    let zone = source.resolvers.is_empty();
    answers.iter().filter(|answer| answer.zone == zone).collect()
}

/// The share of servers whose answer leads where it should, in millionths. A server that says nothing, or something that
/// leads nowhere known, is one that did not move; but when there is none that leads anywhere known, nothing is known.
#[must_use]
pub fn value(source: &DnsSource, answers: &[ServerAnswer]) -> Value {
    let counted = counted(source, answers);
    if counted.iter().all(|answer| answer.region.is_none()) {
        let why = |answer: &&ServerAnswer| {
            let said = answer.answer.as_ref().map(|said| format!("{said} "));
            Some(format!("{}: {}{}", answer.server, said.unwrap_or_default(), answer.trouble.as_ref()?))
        };
        let whose = if counted.iter().any(|answer| answer.answer.is_some()) {
            "no answer leads to a region that is known"
        } else {
            "no server answers"
        };
        let why = counted.iter().find_map(why).unwrap_or_else(|| "none was asked".to_owned());
        return Value::Missing(format!("{whose}: {why}"));
    }
    let moved = counted.iter().filter(|answer| answer.region.as_ref() == Some(&source.toward)).count();
    let (moved, all) = (i64::try_from(moved).unwrap_or(0), i64::try_from(counted.len()).unwrap_or(i64::MAX));
    Value::Number(moved * 1_000_000 / all)
}

/// The same in words: `3/4 moved, ttl 41s`. The TTL is the longest that a server may keep an answer that leads elsewhere.
#[must_use]
pub fn words(source: &DnsSource, answers: &[ServerAnswer]) -> String {
    let counted = counted(source, answers);
    let (moved, others): (Vec<&ServerAnswer>, Vec<&ServerAnswer>) =
        counted.iter().partition(|answer| answer.region.as_ref() == Some(&source.toward));
    let ttl = others.iter().filter_map(|answer| answer.ttl_s).max();
    let ttl = ttl.map(|seconds| format!(", ttl {}", format_ms(i64::from(seconds) * 1_000))).unwrap_or_default();
    format!("{}/{} moved{ttl}", moved.len(), counted.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{DnsServer, DnsType, ZoneServers};

    fn source(resolvers: &[&str]) -> DnsSource {
        let server = |name: &&str| DnsServer { name: (*name).to_owned(), address: "192.0.2.53:53".parse().unwrap() };
        DnsSource {
            name: "api.example.com".into(),
            kind: DnsType::A,
            resolvers: resolvers.iter().map(server).collect(),
            zone_servers: ZoneServers::Found,
            leads_to: Vec::new(),
            toward: "new".into(),
            timeout_ms: 2_000,
        }
    }

    fn says(server: &str, zone: bool, region: Option<&str>, ttl_s: u32) -> ServerAnswer {
        ServerAnswer {
            server: server.into(),
            zone,
            answer: Some("192.0.2.1".into()),
            region: region.map(Into::into),
            ttl_s: Some(ttl_s),
            trouble: region.is_none().then(|| "leads nowhere known".into()),
        }
    }

    fn silent(server: &str, zone: bool) -> ServerAnswer {
        let trouble = Some("no answer within 2s".into());
        ServerAnswer { server: server.into(), zone, answer: None, region: None, ttl_s: None, trouble }
    }

    #[test]
    fn silence_and_nonsense_do_not_count_as_moved() {
        let source = source(&["a", "b", "c", "d"]);
        let all = [
            says("a", false, Some("new"), 300),
            says("b", false, Some("old"), 41),
            says("c", false, None, 60),
            silent("d", false),
            says("ns", true, Some("new"), 900),
        ];
        assert_eq!(value(&source, &all), Value::Number(250_000));
        assert_eq!(words(&source, &all), "1/4 moved, ttl 1m");
        assert_eq!(words(&source, &all[..1]), "1/1 moved");
    }

    #[test]
    fn nothing_known_is_missing_and_never_zero() {
        let source = source(&["a", "b"]);
        let missing = |answers: &[ServerAnswer]| match value(&source, answers) {
            Value::Missing(why) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(missing(&[silent("a", false), silent("b", false)]), "no server answers: a: no answer within 2s");
        assert_eq!(
            missing(&[silent("b", false), says("a", false, None, 1)]),
            "no answer leads to a region that is known: b: no answer within 2s"
        );
        // The zone's servers say what is in sync, not what users are told.
        assert_eq!(missing(&[silent("a", false), says("ns", true, Some("new"), 1)]), "no server answers: a: no answer within 2s");
        assert_eq!(missing(&[]), "no server answers: none was asked");
        assert_eq!(value(&source, &[says("a", false, Some("old"), 1)]), Value::Number(0));
    }

    #[test]
    fn without_resolvers_the_number_is_about_the_zone() {
        let all = [says("ns-1", true, Some("new"), 1), says("ns-2", true, Some("old"), 60)];
        assert_eq!(value(&source(&[]), &all), Value::Number(500_000));
    }
}
