//! References: from a name in the file to what it names, or an error that says what was probably meant.

use super::context::{Context, Read};
use super::node::{At, Node};
use super::problem::show;
use crate::plan::{MonitorId, StepId};

impl Context {
    /// A region of the plan.
    pub fn region(&mut self, node: &Node) -> Read<String> {
        let text = self.text(node)?;
        self.check_region(node.at, &text).then_some(text)
    }

    /// Whether a region is declared; an error if not.
    pub fn check_region(&mut self, at: At, text: &str) -> bool {
        let known = self.regions.iter().any(|r| r == text);
        if !known {
            let help = self.suggest(text, self.regions.iter().map(String::as_str));
            self.error_help(at, format!("the region `{}` is not declared under `regions`", show(text)), help);
        }
        known
    }

    /// A monitor of the plan.
    pub fn monitor(&mut self, node: &Node) -> Read<MonitorId> {
        let text = self.scalar(node)?;
        self.monitor_named(node.at, &text)
    }

    /// The monitor with this name; an error if there is none.
    pub fn monitor_named(&mut self, at: At, name: &str) -> Read<MonitorId> {
        let id = self.monitor_ids.get(name).copied();
        if id.is_none() {
            let help = self.suggest(name, self.monitor_ids.keys().map(String::as_str));
            self.error_help(at, format!("there is no monitor `{}`", show(name)), help);
        }
        id
    }

    /// A step of the plan.
    pub fn step(&mut self, node: &Node) -> Read<StepId> {
        let text = self.scalar(node)?;
        self.step_called(node.at, &text)
    }

    /// The step with this id; an error if there is none.
    pub fn step_called(&mut self, at: At, text: &str) -> Read<StepId> {
        let id = self.step_ids.get(text).copied();
        if id.is_none() {
            let help = self.suggest(text, self.step_ids.keys().map(String::as_str));
            self.error_help(at, format!("there is no step `{}`", show(text)), help);
        }
        id
    }

    /// The number of a part of the plan.
    pub fn part(&mut self, node: &Node) -> Read<usize> {
        let text = self.scalar(node)?;
        let part = self.part_ids.iter().position(|id| *id == text);
        if part.is_none() {
            let help = self.suggest(&text, self.part_ids.iter().map(String::as_str));
            self.error_help(node.at, format!("the plan has no part `{}`", show(&text)), help);
        }
        part
    }
}
