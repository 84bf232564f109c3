//! The heartbeat: what is called while the engine lives, so that somebody else's alarm notices when it does not.

/// A call that goes out again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// What is called.
    pub to: HeartbeatTo,
    /// Interval, in milliseconds.
    pub every_ms: i64,
}

/// What a heartbeat calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeartbeatTo {
    /// A GET of this `http://` or `https://` URL; any answer of the kind 2xx is one.
    Url(String),
    /// This command, program first; it must end with 0.
    Command(Vec<String>),
}

impl HeartbeatTo {
    /// What is called, for people.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            HeartbeatTo::Url(url) => url.clone(),
            HeartbeatTo::Command(command) => command.join(" "),
        }
    }
}
