//! What a step does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ConditionId, RecordSet, StepId, Text};

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Change the weights of a weighted record set, and nothing else of it.
    Shift(Shift),
    /// Replace record sets: everything in `remove` goes, everything in `put` is there afterwards.
    Records(Records),
    /// Create, update or delete a CloudFormation stack.
    Stack(StackAction),
    /// Watch conditions for a time.
    Soak {
        /// Conditions that must hold without a break for their `for_ms` (the soak's length).
        conditions: Vec<ConditionId>,
        /// Length in milliseconds.
        for_ms: i64,
    },
    /// Wait until people have approved.
    Approve {
        /// How many different people.
        count: u32,
        /// What they approve.
        what: String,
    },
    /// Wait until every item is ticked.
    Checklist {
        /// The items.
        items: Vec<Item>,
    },
    /// Invert a Route 53 health check, or restore it.
    HealthCheck(HealthCheck),
    /// Flip what a health check that was made beforehand watches. Only in rollbacks: it needs no control plane.
    Switch(Switch),
    /// Run a bash script on the machine of the engine.
    Shell(Script),
    /// Replace text in a file of the working tree.
    Edit(Edit),
    /// Make an HTTP request and look at its answer.
    Http(Request),
    /// Put back what these steps changed, computed from what was really changed. Only in rollbacks.
    Restore {
        /// The steps, in plan order.
        steps: Vec<StepId>,
    },
}

impl Action {
    /// True where what was there is read before it is changed, so that it can be put back: records, health checks, files.
    #[must_use]
    pub fn can_be_put_back(&self) -> bool {
        matches!(self, Action::Shift(_) | Action::Records(_) | Action::HealthCheck(_) | Action::Edit(_))
    }

    /// The names of the values that it gives for later steps.
    #[must_use]
    pub fn gives(&self) -> Vec<String> {
        match self {
            Action::Shell(script) => script.outputs.clone(),
            Action::Http(request) => request.outputs.iter().map(|(name, _)| name.clone()).collect(),
            Action::Stack(StackAction { change: StackChange::Apply { outputs, .. }, .. }) => outputs.clone(),
            _ => Vec::new(),
        }
    }
}

/// New weights for a weighted record set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shift {
    /// Hosted zone id.
    pub zone: String,
    /// Record name without the final dot.
    pub record: String,
    /// Record type.
    pub kind: String,
    /// Set identifier → weight (0–255), all siblings, in the order of the file.
    pub weights: Vec<(String, u8)>,
}

/// A change of a health check's `Inverted`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// Health check id.
    pub id: String,
    /// What `Inverted` shall be.
    pub inverted: bool,
}

/// A switch in the data plane: a metric whose stream a health check follows (rule 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// The health check that follows it; records of every region but the rollback's own must carry it.
    pub health_check: String,
    /// Region of the metric: one that is up when the switch is needed.
    pub region: String,
    /// Namespace.
    pub namespace: String,
    /// Metric name.
    pub metric: String,
    /// Dimensions, sorted by name.
    pub dimensions: Vec<(String, String)>,
    /// The value that makes the health check fail, in millionths.
    pub value: i64,
}

/// A change batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    /// Hosted zone id.
    pub zone: String,
    /// Must be there afterwards, whatever was there under the same name, type and set identifier.
    pub put: Vec<RecordSet>,
    /// Must not be there afterwards: name, type, set identifier.
    pub remove: Vec<RecordKey>,
}

/// What identifies a record set within a zone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordKey {
    /// Name without the final dot, lower case.
    pub name: String,
    /// Type.
    pub kind: String,
    /// Set identifier of a weighted (or otherwise routed) set.
    pub set: Option<String>,
}

/// A change of a CloudFormation stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackAction {
    /// Region.
    pub region: String,
    /// Stack name.
    pub name: String,
    /// What to do with it.
    pub change: StackChange,
}

/// What to do with a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StackChange {
    /// Create it, or update it when it exists, through a change set that is shown first.
    Apply {
        /// Template text.
        template: String,
        /// Path of the template relative to the plan, for people.
        template_path: String,
        /// Parameter → value, sorted.
        parameters: BTreeMap<String, Text>,
        /// The names of the template's outputs, which become values for later steps.
        outputs: Vec<String>,
        /// Such as `CAPABILITY_IAM`.
        capabilities: Vec<String>,
    },
    /// Delete it.
    Delete,
}

/// One item of a checklist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What has to be so.
    pub text: String,
    /// It ticks itself when all of these hold; empty when conditions say nothing of it.
    pub when: Vec<ConditionId>,
    /// It ticks itself when all of these are done; empty when steps say nothing of it.
    pub done: Vec<StepId>,
}

impl Item {
    /// True when it is for a person to tick.
    #[must_use]
    pub fn is_by_hand(&self) -> bool {
        self.when.is_empty() && self.done.is_empty()
    }
}

/// A bash script. Values of the plan reach it through its environment and are never spliced into its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Its text.
    pub text: String,
    /// Path of the script relative to the plan, for people; `None` when the text stands in the plan itself.
    pub path: Option<String>,
    /// Variables of its environment, in the order of the file.
    pub env: Vec<(String, Text)>,
    /// Secrets that it is given in its environment, of those in [`super::Plan::secrets`].
    pub secrets: Vec<String>,
    /// A script that ends with 0 when there is nothing left to do.
    pub done_if: Option<String>,
    /// How long it may take, in milliseconds.
    pub timeout_ms: i64,
    /// How long it has between TERM and KILL, in milliseconds.
    pub grace_ms: i64,
    /// Names that it may give values for later steps.
    pub outputs: Vec<String>,
    /// Regions whose control planes it needs (rule 5), as the plan says.
    pub control_planes: Vec<String>,
}

/// Exact replacements in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Path relative to the working tree.
    pub file: String,
    /// The replacements, in the order of the file.
    pub changes: Vec<Replacement>,
}

/// One replacement: the text must be there exactly once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// The text as it is.
    pub replace: String,
    /// The text as it shall be.
    pub with: Text,
}

/// An HTTP request with expectations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method, such as `GET`.
    pub method: String,
    /// `http://` or `https://` URL.
    pub url: Text,
    /// Connect here (`host:port`) instead of where DNS says; TLS name and Host header stay the URL's.
    pub connect_to: Option<String>,
    /// Header fields, in the order of the file.
    pub headers: Vec<(String, Text)>,
    /// The body; none when the plan has none.
    pub body: Option<Text>,
    /// Time-out of one request in milliseconds.
    pub timeout_ms: i64,
    /// A request that changes nothing is made again for so long until its answer is as expected, in milliseconds.
    pub retry_ms: i64,
    /// What the answer must be like.
    pub expect: Expect,
    /// Values for later steps: name, and the JSON path (RFC 9535) of each in the answer.
    pub outputs: Vec<(String, String)>,
}

impl Request {
    /// True for a method that changes nothing, so that a request may be made again (RFC 9110, 9.2.1).
    #[must_use]
    pub fn is_safe(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }
}

/// What an answer must be like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expect {
    /// Its status.
    pub status: u16,
    /// Header fields, and what each must be.
    pub headers: Vec<(String, Want)>,
    /// JSON paths (RFC 9535) in the body, and what each must be.
    pub json: Vec<(String, Want)>,
}

/// What a value must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Want {
    /// Exactly this. A number or a truth value counts as its JSON text.
    Is(String),
    /// Text with this in it.
    Contains(String),
    /// There, whatever it is; or not there.
    Exists(bool),
}

impl std::fmt::Display for Want {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Want::Is(text) => write!(f, "is `{text}`"),
            Want::Contains(text) => write!(f, "contains `{text}`"),
            Want::Exists(true) => f.write_str("is there"),
            Want::Exists(false) => f.write_str("is not there"),
        }
    }
}

/// What stands in a drill for a script or a request, which a drill never runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StandIn {
    /// How long it takes, in milliseconds; as long as the step is expected to when the plan does not say.
    pub takes_ms: Option<i64>,
    /// The lines that it prints.
    pub prints: Vec<String>,
    /// The exit code of a script.
    pub exit: i32,
    /// The values that it gives for later steps.
    pub outputs: Vec<(String, String)>,
}
