//! The resources of a CloudFormation template, as far as lints look at them.
//!
//! A full reader would have to know CloudFormation's own tags. What is looked for is written on lines of its own, or in one
//! mapping on one line, or the template is JSON; anything else is not understood, and nothing is said about it.

use std::collections::BTreeMap;

/// A resource.
pub struct Resource {
    /// Its logical id.
    pub id: String,
    /// Its type, such as `AWS::S3::Bucket`.
    pub kind: String,
    /// Its `DeletionPolicy`.
    pub deletion_policy: Option<String>,
    /// Where its id is in the template: first byte and length.
    pub at: (usize, usize),
    /// Everything that is said about it.
    body: String,
}

impl Resource {
    /// Whether a property is there, wherever it is below the resource.
    pub fn has(&self, property: &str) -> bool {
        !self.said(property).is_empty()
    }

    /// The values of a property that the template itself says.
    pub fn said(&self, property: &str) -> Vec<String> {
        self.values(property, &BTreeMap::new())
    }

    /// The values of a property wherever it is below the resource, references to parameters filled in.
    pub fn values(&self, property: &str, parameters: &BTreeMap<String, String>) -> Vec<String> {
        let mut out = Vec::new();
        let pieces = self.body.split(['\n', ',', '{', '}', '[', ']']);
        for piece in pieces {
            let Some((key, value)) = piece.trim().trim_start_matches("- ").split_once(':') else { continue };
            if unquoted(key) != property {
                continue;
            }
            let value = unquoted(value);
            let referred = value.strip_prefix("!Ref ").map(str::trim);
            match referred.map(|name| parameters.get(name)) {
                Some(Some(value)) => out.push(value.clone()),
                Some(None) => {}
                None => out.push(value.to_owned()),
            }
        }
        out
    }
}

/// The resources of a template, in the order of the file.
pub fn resources(text: &str) -> Vec<Resource> {
    if text.trim_start().starts_with('{') { of_json(text) } else { of_lines(text) }
}

fn of_json(text: &str) -> Vec<Resource> {
    let Ok(template) = serde_json::from_str::<serde_json::Value>(text) else { return Vec::new() };
    let resources = template.get("Resources").and_then(|r| r.as_object());
    let one = |(id, body): (&String, &serde_json::Value)| {
        let word = |key: &str| body.get(key).and_then(|v| v.as_str()).map(str::to_owned);
        let quoted = format!("\"{id}\"");
        let at = text.find(&quoted).map_or((0, 0), |start| (start, quoted.len()));
        Resource {
            id: id.clone(),
            kind: word("Type").unwrap_or_default(),
            deletion_policy: word("DeletionPolicy"),
            at,
            body: body.to_string(),
        }
    };
    resources.into_iter().flatten().map(one).collect()
}

fn of_lines(text: &str) -> Vec<Resource> {
    let mut found: Vec<Resource> = Vec::new();
    let mut inside = false;
    // How far the ids are indented, and how far what is said about the current one.
    let (mut of_ids, mut of_keys) = (None, None);
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let line_start = start;
        start += line.len();
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        if indent == 0 {
            inside = unquoted(trimmed.split(':').next().unwrap_or_default()) == "Resources";
            continue;
        }
        if !inside {
            continue;
        }
        if indent <= *of_ids.get_or_insert(indent) {
            let (id, rest) = trimmed.split_once(':').unwrap_or((trimmed, ""));
            let at = (line_start + indent, id.len());
            let mut resource =
                Resource { id: unquoted(id).to_owned(), kind: String::new(), deletion_policy: None, at, body: String::new() };
            // All of it may be one mapping on this line.
            resource.body.push_str(rest);
            resource.body.push('\n');
            for piece in rest.split(['{', '}', ',']) {
                set(&mut resource, piece);
            }
            found.push(resource);
            of_keys = None;
            continue;
        }
        let Some(resource) = found.last_mut() else { continue };
        if indent <= *of_keys.get_or_insert(indent) {
            set(resource, trimmed);
        }
        resource.body.push_str(line);
    }
    found
}

fn set(resource: &mut Resource, piece: &str) {
    let Some((key, value)) = piece.trim().split_once(':') else { return };
    match unquoted(key) {
        "Type" if resource.kind.is_empty() => unquoted(value).clone_into(&mut resource.kind),
        "DeletionPolicy" => resource.deletion_policy = Some(unquoted(value).to_owned()),
        _ => {}
    }
}

/// The word without a trailing comment and without quotes.
fn unquoted(word: &str) -> &str {
    word.split(" #").next().unwrap_or(word).trim().trim_matches(|c| c == '"' || c == '\'')
}

/// What is said about an output of a template.
pub fn output(text: &str, name: &str) -> Option<String> {
    if text.trim_start().starts_with('{') {
        let template = serde_json::from_str::<serde_json::Value>(text).ok()?;
        return template.get("Outputs")?.get(name).map(ToString::to_string);
    }
    let mut inside = false;
    let mut found: Option<(usize, String)> = None;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let indent = line.len() - line.trim_start().len();
        if indent == 0 {
            inside = unquoted(line.split(':').next().unwrap_or_default()) == "Outputs";
            continue;
        }
        match &mut found {
            Some((own, said)) if indent > *own => said.push_str(line),
            Some(_) => break,
            None if inside && line.trim().split_once(':').is_some_and(|(key, _)| unquoted(key) == name) => {
                found = Some((indent, line.to_owned()));
            }
            None => {}
        }
    }
    found.map(|(_, said)| said)
}

/// The names that a template exports.
pub fn exports(text: &str) -> Vec<String> {
    after(text, "Export").filter_map(|rest| name_in(rest.split_once("Name")?.1)).collect()
}

/// The names that a template imports.
pub fn imports(text: &str) -> Vec<String> {
    after(text, "ImportValue").filter_map(name_in).collect()
}

fn after<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(word).map(move |(at, _)| &text[at + word.len()..])
}

/// The first name behind a key, without the function that it is wrapped in.
fn name_in(rest: &str) -> Option<String> {
    let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || "\":{'".contains(c));
    let rest = ["!Sub", "Fn::Sub"].iter().find_map(|sub| rest.strip_prefix(sub)).unwrap_or(rest);
    let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || "\":'".contains(c));
    let name: String = rest.chars().take_while(|c| !c.is_whitespace() && !"\"',".contains(*c)).collect();
    Some(name).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Parameters:\n  Name: {Type: String}\nResources:\n  # a comment\n  Key:\n    Type: AWS::KMS::Key\n    \
                        DeletionPolicy: Retain # kept\n    Properties:\n      Type: nothing\n  Bucket: {Type: \"AWS::S3::Bucket\"}\n  \
                        Record:\n    Type: AWS::Route53::RecordSet\n    Properties:\n      Name: !Ref Name\nOutputs:\n  Arn:\n    \
                        Value: !GetAtt Key.Arn\n    Export:\n      Name: !Sub '${Project}-key'\n";

    #[test]
    fn resources_of_yaml_and_json() {
        let found = resources(TEXT);
        let told: Vec<(&str, &str, Option<&str>)> =
            found.iter().map(|r| (r.id.as_str(), r.kind.as_str(), r.deletion_policy.as_deref())).collect();
        let expected = [
            ("Key", "AWS::KMS::Key", Some("Retain")),
            ("Bucket", "AWS::S3::Bucket", None),
            ("Record", "AWS::Route53::RecordSet", None),
        ];
        assert_eq!(told, expected);
        assert_eq!(&TEXT[found[1].at.0..found[1].at.0 + found[1].at.1], "Bucket");
        let parameters = BTreeMap::from([("Name".to_owned(), "api.example.com".to_owned())]);
        assert_eq!(found[2].values("Name", &parameters), ["api.example.com"]);
        let json = r#"{"Resources": {"Table": {"Type": "AWS::DynamoDB::Table", "DeletionPolicy": "Delete"}}}"#;
        let found = resources(json);
        assert_eq!((found[0].kind.as_str(), found[0].deletion_policy.as_deref()), ("AWS::DynamoDB::Table", Some("Delete")));
        assert!(resources("").is_empty() && resources("{").is_empty());
    }

    #[test]
    fn exports_and_imports() {
        assert_eq!(exports(TEXT), ["${Project}-key"]);
        let text = "KeyArn: !ImportValue shared-key\nOther: {\"Fn::ImportValue\": {\"Fn::Sub\": \"${Project}-key\"}}\nThird:\n  Fn::ImportValue: !Sub '${Project}-x'\n";
        assert_eq!(imports(text), ["shared-key", "${Project}-key", "${Project}-x"]);
        assert!(exports("Resources: {}\n").is_empty());
    }
}
