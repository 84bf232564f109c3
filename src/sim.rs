//! The simulated cloud: what a drill runs against instead of AWS.
//!
//! It is a deterministic model of the rules in the real services' guides (rule numbers in the comments are
//! those of the project's domain rules), on virtual time. Integers only, no clock, no I/O, and chance comes
//! from a stateless hash of the seed: a world is a function of plan, scenario, seed, start and the log of
//! what was done to it, and looking at it never changes it. That is why a drill can be resumed by replaying
//! the log ([`World::restore`]).
//!
//! What it leaves out on purpose: everything goes wrong only where a fault says so, reads are never lost or
//! late, and a health check's own region of checkers is never away.

pub use self::calls::{CallRecord, Deed, Outcome};
pub use self::world::{BY_HAND_MS, Diverged, World};

mod api;
mod calls;
mod faults;
mod health;
mod machine;
mod metrics;
mod probes;
mod resolvers;
mod rng;
mod servers;
mod span;
mod stacks;
mod template;
mod traffic;
mod world;
mod zone;

/// Version of the model's rules and of its generator. It is part of a drill's genesis, so it must change
/// whenever the same seed would give another drill.
pub const RULES_VERSION: u32 = 2;
