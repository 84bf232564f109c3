//! DNS monitors: which servers are asked for a name, and where an answer leads.

// Addresses are data; `std::net` is where sockets are.
use core::net::{IpAddr, SocketAddr};

/// A name, and the servers that are asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsSource {
    /// The name, lower case and without the final dot.
    pub name: String,
    /// The type that is asked for.
    pub kind: DnsType,
    /// Chosen resolvers, in the order of the file. The monitor's number is about them; without any, about the zone's servers.
    pub resolvers: Vec<DnsServer>,
    /// Which of the zone's own name servers are asked too.
    pub zone_servers: ZoneServers,
    /// Region → how an answer is recognised that leads there, in the order of the file.
    pub leads_to: Vec<(String, Vec<DnsTarget>)>,
    /// The number is the share of servers whose answer leads to this region.
    pub toward: String,
    /// How long one server may take to answer by UDP, and again by TCP, in milliseconds.
    pub timeout_ms: i64,
}

/// The type of record that a DNS monitor asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsType {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// The name that a name stands for.
    Cname,
}

/// A name server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsServer {
    /// What it is called in the plan and on the screen.
    pub name: String,
    /// Where it is.
    pub address: SocketAddr,
}

/// Which of a zone's own name servers are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZoneServers {
    /// None.
    None,
    /// Those that the zone's NS records name.
    Found,
    /// These.
    Listed(Vec<DnsServer>),
}

/// How an answer is recognised that leads to a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsTarget {
    /// It is this address.
    Address(IpAddr),
    /// It is this name, or one of the addresses that this name has: what an alias record answers with.
    Name(String),
}
