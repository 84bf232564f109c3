//! From YAML to a plan, or to every error in it.
