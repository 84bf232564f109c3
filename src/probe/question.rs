//! One question to one name server: by UDP, and by TCP where the answer does not fit. No hosts file, no search list, no
//! memory: what this server says now.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::{RuntimeProvider, TokioRuntimeProvider};
use hickory_resolver::net::tcp::TcpClientStream;
use hickory_resolver::net::udp::UdpClientStream;
use hickory_resolver::net::xfer::{DnsExchange, DnsHandle, FirstAnswer};
use hickory_resolver::proto::op::{DnsRequest, DnsRequestOptions, DnsResponse, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use crate::plan::format_ms;

/// How often a question is sent by UDP before its time is over: packets get lost.
const SENDINGS: u8 = 3;

/// What is asked.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// The name without the final dot.
    pub(super) name: String,
    pub(super) kind: RecordType,
    /// Whether the server shall ask others if it does not know. The zone's own are to say what they know themselves.
    pub(super) recursive: bool,
    /// Longest wait by UDP, and by TCP again.
    pub(super) timeout: Duration,
}

/// What a server said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// The names that the name stands for, in the order of the chain, lower case and without the final dot.
    pub(super) chain: Vec<String>,
    /// Addresses at its end, in the order in which they came.
    pub(super) addresses: Vec<IpAddr>,
    /// Name servers, of a question for those.
    pub(super) servers: Vec<String>,
    /// How long the record of this name may still be kept, in seconds; of a name that is not there, that it is not.
    pub(super) ttl_s: Option<u32>,
    /// There is no such name.
    pub(super) no_name: bool,
}

/// Asks a server. It takes twice the question's time-out at most.
///
/// # Errors
/// In words: silence, a refusal, an answer that is none.
pub(super) async fn ask(server: SocketAddr, question: &Question) -> Result<Answer, String> {
    let name = Name::from_ascii(format!("{}.", question.name)).map_err(|_| format!("{} is no name", question.name))?;
    let mut options = DnsRequestOptions::default();
    options.recursion_desired = question.recursive;
    options.retry_interval = question.timeout / u32::from(SENDINGS);
    let request = || DnsRequest::from_query(Query::query(name.clone(), question.kind), options);
    let provider = TokioRuntimeProvider::default();
    let udp = UdpClientStream::builder(server, provider.clone())
        .with_timeout(Some(question.timeout))
        .with_max_retries(SENDINGS)
        .exchange();
    let mut response = send(udp, request(), question).await?;
    if response.truncation {
        let connect = TcpClientStream::<<TokioRuntimeProvider as RuntimeProvider>::Tcp>::exchange(
            server,
            None,
            question.timeout,
            None,
            // What it spawned ends with the last of its clones.
            provider.clone(),
        );
        let by_tcp = async { send(connect.await.map_err(|error| words(&error, question))?, request(), question).await };
        // The time is one, for the connection and the answer.
        response = tokio::time::timeout(question.timeout, by_tcp)
            .await
            .map_err(|_| "the answer is cut off, and by TCP there is none".to_owned())??;
    }
    match response.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {}
        refused => return Err(refused_as(refused)),
    }
    if !question.recursive && !response.authoritative {
        return Err("it does not speak for the zone".to_owned());
    }
    Ok(read(&name, question.kind, &response))
}

async fn send(to: DnsExchange<TokioRuntimeProvider>, request: DnsRequest, question: &Question) -> Result<DnsResponse, String> {
    // The library bounds the time itself; this is for the day on which it does not.
    let answer = tokio::time::timeout(question.timeout + Duration::from_millis(100), to.send(request).first_answer());
    match answer.await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => Err(words(&error, question)),
        Err(_) => Err(words(&NetError::Timeout, question)),
    }
}

fn words(error: &NetError, question: &Question) -> String {
    match error {
        NetError::Timeout => {
            format!("no answer within {}", format_ms(i64::try_from(question.timeout.as_millis()).unwrap_or(i64::MAX)))
        }
        NetError::Io(error) => error.to_string(),
        NetError::Proto(_) => "an answer that cannot be read".to_owned(),
        other => other.to_string(),
    }
}

/// The word that tools for DNS have for it.
fn refused_as(code: ResponseCode) -> String {
    match code {
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        other => other.to_string(),
    }
}

/// Follows the chain from the name: what a server puts into an answer besides is not asked for.
fn read(name: &Name, kind: RecordType, response: &DnsResponse) -> Answer {
    let mut answer = Answer { no_name: response.response_code == ResponseCode::NXDomain, ..Answer::default() };
    let own = |record: &&Record| record.name == *name;
    answer.ttl_s = response.answers.iter().filter(own).map(|record| record.ttl).min();
    let mut at = name.clone();
    // No chain has more links than there are records, so one that leads back to itself ends as well.
    for _ in 0..=response.answers.len() {
        let mut next = None;
        for record in response.answers.iter().filter(|record| record.name == at) {
            match &record.data {
                RData::A(address) if kind == RecordType::A => answer.addresses.push(IpAddr::V4(address.0)),
                RData::AAAA(address) if kind == RecordType::AAAA => answer.addresses.push(IpAddr::V6(address.0)),
                RData::NS(server) if kind == RecordType::NS => answer.servers.push(plain(&server.0)),
                RData::CNAME(target) => next = Some(target.0.clone()),
                _ => {}
            }
        }
        match next {
            Some(target) if answer.addresses.is_empty() => {
                answer.chain.push(plain(&target));
                at = target;
            }
            _ => break,
        }
    }
    if answer.ttl_s.is_none() {
        let soa = |record: &Record| if let RData::SOA(soa) = &record.data { Some(record.ttl.min(soa.minimum)) } else { None };
        answer.ttl_s = response.authorities.iter().find_map(soa);
    }
    answer
}

/// A name as a plan writes it.
fn plain(name: &Name) -> String {
    name.to_lowercase().to_ascii().trim_end_matches('.').to_owned()
}
