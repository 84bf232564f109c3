//! Texts of which a part is known only while the run goes on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A text in which the outputs of earlier steps and secrets have their places.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Text(pub Vec<Part>);

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// As it is.
    Plain(String),
    /// What a step gave: `${outputs.STEP.NAME}`.
    Output {
        /// The step's id.
        step: String,
        /// The name of the value.
        name: String,
    },
    /// The value of a secret: `${secret.NAME}`. Only whoever makes the call fills it in, so it is in no journal.
    Secret(String),
}

impl Text {
    /// A text without any such place.
    pub fn plain(text: impl Into<String>) -> Text {
        Text(vec![Part::Plain(text.into())])
    }

    /// Reads back what [`fmt::Display`] wrote of a text without secrets.
    #[must_use]
    pub fn parse(text: &str) -> Text {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("${outputs.") {
            let Some(((step, name), after)) = behind.split_once('}').and_then(|(of, after)| Some((of.split_once('.')?, after)))
            else {
                break;
            };
            if !before.is_empty() {
                parts.push(Part::Plain(before.to_owned()));
            }
            parts.push(Part::Output { step: step.to_owned(), name: name.to_owned() });
            rest = after;
        }
        if !rest.is_empty() || parts.is_empty() {
            parts.push(Part::Plain(rest.to_owned()));
        }
        Text(parts)
    }

    /// The text with the outputs filled in, where no secret may stand in it.
    ///
    /// # Errors
    /// As [`Text::resolve`].
    pub fn value<'a>(&self, output: impl Fn(&str, &str) -> Option<&'a str>) -> Result<String, String> {
        Ok(self.resolve(output)?.fill(|_| String::new()))
    }

    /// The text with the outputs filled in; secrets keep their places.
    ///
    /// # Errors
    /// What is missing, in words for people.
    pub fn resolve<'a>(&self, output: impl Fn(&str, &str) -> Option<&'a str>) -> Result<Text, String> {
        let part = |part: &Part| match part {
            Part::Output { step, name } => match output(step, name) {
                Some(value) => Ok(Part::Plain(value.to_owned())),
                None => Err(format!("it needs the output {name} of the step '{step}', which has given none")),
            },
            other => Ok(other.clone()),
        };
        Ok(Text(self.0.iter().map(part).collect::<Result<_, String>>()?))
    }

    /// The text, each secret filled in by `secret`. Outputs have to be resolved before.
    pub fn fill(&self, secret: impl Fn(&str) -> String) -> String {
        let part = |part: &Part| match part {
            Part::Plain(text) => text.clone(),
            Part::Secret(name) => secret(name),
            Part::Output { .. } => String::new(),
        };
        self.0.iter().map(part).collect()
    }
}

/// As it stands in the plan.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Plain(text) => f.write_str(text)?,
                Part::Output { step, name } => write!(f, "${{outputs.{step}.{name}}}")?,
                Part::Secret(name) => write!(f, "${{secret.{name}}}")?,
            }
        }
        Ok(())
    }
}
