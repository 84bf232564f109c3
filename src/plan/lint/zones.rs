//! What zones hold while a plan goes on, as far as the plan itself shows it.

use std::collections::BTreeMap;

use crate::plan::{Action, Plan, RecordSet, Records};

/// Zone, name and type: what siblings have in common.
pub type Group = (String, String, String);

/// The records of zones, by group.
#[derive(Debug, Clone, Default)]
pub struct Zones(BTreeMap<Group, Vec<RecordSet>>);

impl Zones {
    /// What is there before the first step: that of the drill's world. A live run does not look at it, but it is where a
    /// plan says what it believes to find.
    pub fn before(plan: &Plan) -> Self {
        let mut zones = Self::default();
        for (zone, record) in &plan.drill.records {
            zones.put(zone, record);
        }
        zones
    }

    /// The siblings of a group.
    pub fn siblings(&self, zone: &str, name: &str, kind: &str) -> &[RecordSet] {
        self.0.get(&(zone.to_owned(), name.to_owned(), kind.to_owned())).map_or(&[], Vec::as_slice)
    }

    /// What is there after an action.
    pub fn follow(&mut self, action: &Action) {
        match action {
            Action::Records(change) => self.change(change),
            Action::Shift(shift) => {
                let group = (shift.zone.clone(), shift.record.clone(), shift.kind.clone());
                for record in self.0.get_mut(&group).into_iter().flatten() {
                    if let Some((_, weight)) = shift.weights.iter().find(|(set, _)| record.set.as_ref() == Some(set)) {
                        record.weight = Some(*weight);
                    }
                }
            }
            _ => {}
        }
    }

    /// What is there after a batch.
    pub fn change(&mut self, change: &Records) {
        for key in &change.remove {
            let group = (change.zone.clone(), key.name.clone(), key.kind.clone());
            if let Some(records) = self.0.get_mut(&group) {
                records.retain(|record| record.set != key.set);
            }
        }
        for record in &change.put {
            self.put(&change.zone, record);
        }
    }

    fn put(&mut self, zone: &str, record: &RecordSet) {
        let records = self.0.entry((zone.to_owned(), record.name.clone(), record.kind.clone())).or_default();
        records.retain(|other| other.set != record.set);
        records.push(record.clone());
    }
}

/// The groups that a batch puts records into, each once: name and type.
pub fn groups(change: &Records) -> Vec<(&str, &str)> {
    let mut out: Vec<(&str, &str)> = Vec::new();
    for record in &change.put {
        if !out.contains(&(record.name.as_str(), record.kind.as_str())) {
            out.push((&record.name, &record.kind));
        }
    }
    out
}
