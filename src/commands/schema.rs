//! `cutover schema`: what editors need to know of the plan format.

use super::Ends;
use crate::cli::{Schema, SchemaOf};
use crate::exit::Exit;

/// JSON Schema (draft 07) of plans and of the files that they include.
pub const PLAN: &str = include_str!("../../schema/plan.schema.json");
/// JSON Schema (draft 07) of scenarios.
pub const SCENARIO: &str = include_str!("../../schema/scenario.schema.json");

/// Prints a schema.
///
/// # Errors
/// None; it has the form of the other commands.
pub fn schema(args: &Schema) -> Ends {
    print!("{}", if args.of == SchemaOf::Plan { PLAN } else { SCENARIO });
    Ok(Exit::Done)
}
