//! Pieces that several panels and dialogs share.

pub mod conditions;
pub mod diff;
pub mod planes;
pub mod proofs;
pub mod strip;
pub mod table;
