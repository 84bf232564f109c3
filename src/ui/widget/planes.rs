//! Control planes in words: what a step or a rollback cannot do without.

/// Those of a step; empty for one that needs none.
#[must_use]
pub fn of_step(planes: &[String]) -> String {
    if planes.is_empty() { String::new() } else { format!("CP:{}", planes.join("+")) }
}

/// Those of a rollback: that it needs none is worth saying.
#[must_use]
pub fn of_rollback(planes: &[String]) -> String {
    if planes.is_empty() { "data plane only".to_owned() } else { of_step(planes) }
}
