//! The resources of a CloudFormation template, as far as a drill needs them.

/// Logical id and type of every resource, by a scan of the `Resources:` block: logical ids are indented by two
/// spaces. A full YAML reader would have to know CloudFormation's own tags, and a drill only shows these lines.
pub(super) fn resources(template: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in template.lines().filter(|l| !l.trim().is_empty() && !l.trim_start().starts_with('#')) {
        let indent = line.len() - line.trim_start().len();
        let Some((key, value)) = line.trim().split_once(':') else { continue };
        match indent {
            0 => inside = key == "Resources",
            2 if inside => found.push((unquoted(key).to_owned(), String::new())),
            _ if inside && key == "Type" => {
                // The first `Type` below a logical id is the resource's own; later ones belong to its properties.
                if let Some((_, kind)) = found.last_mut().filter(|(_, kind)| kind.is_empty()) {
                    unquoted(value).clone_into(kind);
                }
            }
            _ => {}
        }
    }
    found
}

/// The word without a trailing comment and without quotes.
fn unquoted(word: &str) -> &str {
    word.split(" #").next().unwrap_or(word).trim().trim_matches(|c| c == '"' || c == '\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_found_and_nothing_else() {
        let text = "Parameters:\n  Stage:\n    Type: String\nResources:\n  # a comment\n  Table: # the data\n    Type: \"AWS::DynamoDB::Table\"\n    \
                    Properties:\n      KeySchema:\n        - Type: S\n  Api:\n    DependsOn: Table\n    Type: AWS::ApiGateway::RestApi # main\nOutputs:\n  Url:\n    Value: x\n";
        let found = resources(text);
        assert_eq!(
            found,
            [("Table", "AWS::DynamoDB::Table"), ("Api", "AWS::ApiGateway::RestApi")].map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
        assert!(resources("").is_empty());
    }
}
