//! Values that somebody wrote down to be replaced: recognised by their look, each pattern with its reason.

/// A look that no real value has.
struct Pattern {
    /// Why it is none, for people.
    why: &'static str,
    /// Whether a word looks like it.
    matches: fn(&str) -> bool,
}

/// All of them. The first that matches says why.
const PATTERNS: [Pattern; 6] = [
    Pattern {
        why: "a hosted zone id that counts up: write the zone's own id, as `aws route53 list-hosted-zones` shows it",
        matches: |word| word.starts_with('Z') && (word.contains("123456789") || word.contains("XXXX")),
    },
    Pattern {
        why: "an API Gateway domain filled up with zeros: write the custom domain's regional domain name",
        matches: |word| {
            let label = word
                .strip_prefix("d-")
                .and_then(|rest| rest.split_once('.'))
                .filter(|(_, rest)| rest.starts_with("execute-api."));
            label.is_some_and(|(label, _)| {
                let zeros = label.trim_start_matches(|c: char| c.is_ascii_lowercase());
                zeros.len() >= 3 && zeros.bytes().all(|b| b == b'0')
            })
        },
    },
    Pattern {
        why: "an id of zeros: write the id (of the certificate, the key) that was issued",
        matches: |word| uuid(word).is_some_and(|uuid| uuid.bytes().all(|b| matches!(b, b'0' | b'-'))),
    },
    Pattern {
        why: "an id whose end was counted by hand: write the id of the health check that was made",
        matches: |word| uuid(word).and_then(|uuid| uuid.rsplit('-').next()).is_some_and(|end| end.starts_with("00000000")),
    },
    Pattern {
        why: "an address for documentation (RFC 5737): write the address that answers",
        matches: |word| {
            ["192.0.2.", "198.51.100.", "203.0.113."]
                .iter()
                .filter_map(|net| word.strip_prefix(net))
                .any(|end| end.split(':').next().is_some_and(|end| end.parse::<u8>().is_ok()))
        },
    },
    Pattern {
        why: "a word that asks to be replaced",
        matches: |word| ["CHANGEME", "CHANGE_ME", "CHANGE-ME", "REPLACE_ME", "REPLACE-ME"].iter().any(|ask| word.contains(ask)),
    },
];

/// The word, if it is or ends with a UUID, such as an ARN does.
fn uuid(word: &str) -> Option<&str> {
    let last = word.rsplit(['/', ':']).next()?;
    let groups: Vec<usize> = last.split('-').map(str::len).collect();
    let hex = last.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    (groups == [8, 4, 4, 4, 12] && hex).then_some(last)
}

/// The placeholders in a value, each with why it is one.
#[must_use]
pub fn find(value: &str) -> Vec<(String, &'static str)> {
    let words = value.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';' | '=' | '(' | ')'));
    // The host of a URL stands behind its scheme.
    let hosts = words.map(|word| word.split_once("://").map_or(word, |(_, rest)| rest.split('/').next().unwrap_or(rest)));
    hosts.filter_map(|word| PATTERNS.iter().find(|p| (p.matches)(word)).map(|p| (word.to_owned(), p.why))).collect()
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn values_to_be_replaced_are_found_wherever_they_stand() {
        for value in [
            "Z1234567890ABC",
            "d-frankfurt000.execute-api.eu-central-1.amazonaws.com",
            "https://d-ireland00000.execute-api.eu-west-1.amazonaws.com/health",
            "d-capetown0000.execute-api.af-south-1.amazonaws.com:443",
            "00000000-0000-0000-0000-000000000000",
            "arn:aws:acm:eu-central-1:558069890522:certificate/00000000-0000-0000-0000-000000000000",
            "5f0a1d2c-0000-4000-8000-000000000001",
            "10.0.0.1 203.0.113.40",
        ] {
            assert_eq!(find(value).len(), 1, "{value}");
        }
    }

    #[test]
    fn real_values_are_none() {
        for value in [
            "Z1U9ULNL0V5AJ3",
            "ZLY8HYME6SFDD",
            "d-8f3k2m1x0z.execute-api.eu-central-1.amazonaws.com",
            "arn:aws:acm:eu-central-1:558069890522:certificate/5e84763b-0627-410f-b9bf-661e4021fba3",
            "198.51.101.1",
            "0",
            "",
        ] {
            assert_eq!(find(value), [], "{value}");
        }
    }
}
