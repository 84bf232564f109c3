//! One HTTP request of a plan, and what its answer must be like.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use serde_json_path::JsonPath;
use tokio::time::{Instant, sleep};

use super::output::Output;
use super::refused;
use super::secrets::Secrets;
use crate::cloud::{Failure, FailureKind, HttpCall, Receipt};
use crate::plan::{Expect, Part, Text, Want};
use crate::probe::{Exchange, Fetched, fetch};

/// How long it is waited before a request is made again.
const AGAIN: Duration = Duration::from_secs(2);
/// As much of an answer's body is shown, in characters.
const BODY_CHARS_MAX: usize = 2_000;

/// Makes a request; one that may be made again, until its answer is as expected or its time is over.
pub async fn make(request: &HttpCall, secrets: &Secrets, output: &Output) -> Result<Receipt, Failure> {
    let until = Instant::now() + Duration::from_millis(u64::try_from(request.retry_ms).unwrap_or(0));
    loop {
        let result = once(request, secrets, output).await;
        match &result {
            Err(failure) if Instant::now() + AGAIN < until => {
                output.line(&format!("again in {}s: {}", AGAIN.as_secs(), failure.message));
            }
            _ => return result,
        }
        sleep(AGAIN).await;
    }
}

async fn once(request: &HttpCall, secrets: &Secrets, output: &Output) -> Result<Receipt, Failure> {
    let headers = request.headers.iter().map(|(name, value)| Ok((name.clone(), filled(value, secrets)?)));
    let headers = headers.collect::<Result<Vec<_>, String>>().map_err(refused)?;
    let body = request.body.as_ref().map(|body| filled(body, secrets)).transpose().map_err(refused)?;
    let exchange = Exchange {
        method: &request.method,
        url: &request.url,
        connect_to: request.connect_to.as_deref(),
        headers: &headers,
        body: body.as_deref().unwrap_or_default(),
        timeout: Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0)),
    };
    output.line(&secrets.masked(&format!("{} {}", request.method, request.url)));
    let answer = match fetch(&exchange).await {
        Ok(answer) => answer,
        Err(not_sent) if !not_sent.sent => return Err(refused(format!("not sent: {}", not_sent.why))),
        Err(lost) => return Err(Failure { kind: FailureKind::Unknown, message: format!("no answer: {}", lost.why) }),
    };
    let text = secrets.masked(&answer.text);
    output.line(&format!("{} {} in {} ms", answer.version, answer.status, answer.took.as_millis()));
    let shown: String = text.chars().take(BODY_CHARS_MAX).collect();
    shown.lines().for_each(|line| output.line(line));
    let json = serde_json::from_str::<Value>(&answer.text).ok();
    check(&request.expect, &answer, json.as_ref()).map_err(|why| refused(secrets.masked(&why)))?;
    let mut outputs = BTreeMap::new();
    for (name, path) in &request.outputs {
        let found = json.as_ref().and_then(|json| at(json, path));
        let value = found.map(plain).ok_or_else(|| refused(format!("the answer has nothing at {path} for {name}")))?;
        if secrets.is_in(&value) {
            return Err(refused(format!("the value of {name} holds a secret, which would get into the journal")));
        }
        outputs.insert(name.clone(), value);
    }
    Ok(Receipt { id: String::new(), outputs })
}

fn filled(text: &Text, secrets: &Secrets) -> Result<String, String> {
    let named = text.0.iter().filter_map(|part| if let Part::Secret(name) = part { Some(name.clone()) } else { None });
    let values: BTreeMap<String, String> = secrets.values(&named.collect::<Vec<_>>())?.into_iter().collect();
    Ok(text.fill(|name| values.get(name).cloned().unwrap_or_default()))
}

/// Whether an answer is as expected; what is not, else.
fn check(expect: &Expect, answer: &Fetched, json: Option<&Value>) -> Result<(), String> {
    if answer.status != expect.status {
        return Err(format!("status {} instead of {}", answer.status, expect.status));
    }
    for (name, want) in &expect.headers {
        let found = answer.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str());
        meets(want, found).map_err(|why| format!("header {name} {why}"))?;
    }
    if expect.json.is_empty() {
        return Ok(());
    }
    let json = json.ok_or("the answer is no JSON")?;
    for (path, want) in &expect.json {
        let found = at(json, path).map(plain);
        meets(want, found.as_deref()).map_err(|why| format!("{path} {why}"))?;
    }
    Ok(())
}

fn meets(want: &Want, found: Option<&str>) -> Result<(), String> {
    let good = match (want, found) {
        (Want::Exists(there), found) => *there == found.is_some(),
        (Want::Is(text), Some(found)) => found == text,
        (Want::Contains(text), Some(found)) => found.contains(text.as_str()),
        (_, None) => false,
    };
    let found = found.map_or_else(|| "not there".to_owned(), |found| format!("`{}`", super::output::shown(found)));
    if good { Ok(()) } else { Err(format!("is {found}: expected that it {want}")) }
}

/// The first value at a JSON path.
fn at<'a>(json: &'a Value, path: &str) -> Option<&'a Value> {
    JsonPath::parse(path).ok()?.query(json).first()
}

/// A text as it is; anything else as its JSON text.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, text: &str) -> Fetched {
        Fetched {
            status,
            version: "HTTP/1.1".into(),
            headers: vec![("Content-Type".into(), "application/json; charset=utf-8".into())],
            text: text.into(),
            took: Duration::ZERO,
        }
    }

    fn checked(expect: &Expect, answer: &Fetched) -> Result<(), String> {
        check(expect, answer, serde_json::from_str(&answer.text).ok().as_ref())
    }

    #[test]
    fn expectations_say_what_is_not_met() {
        let is = |text: &str| Want::Is(text.into());
        let expect = Expect {
            status: 200,
            headers: vec![("content-type".into(), Want::Contains("json".into()))],
            json: vec![("$.n".into(), is("3")), ("$.ok".into(), is("true")), ("$.gone".into(), Want::Exists(false))],
        };
        assert_eq!(checked(&expect, &answer(200, r#"{"n":3,"ok":true}"#)), Ok(()));
        assert_eq!(checked(&expect, &answer(503, "")).unwrap_err(), "status 503 instead of 200");
        assert_eq!(checked(&expect, &answer(200, "<html>")).unwrap_err(), "the answer is no JSON");
        assert_eq!(checked(&expect, &answer(200, r#"{"n":4,"ok":true}"#)).unwrap_err(), "$.n is `4`: expected that it is `3`");
        assert_eq!(checked(&expect, &answer(200, r#"{"ok":true}"#)).unwrap_err(), "$.n is not there: expected that it is `3`");
        let why = checked(&expect, &answer(200, r#"{"n":3,"ok":true,"gone":"\u001b[2J"}"#)).unwrap_err();
        assert!(why.starts_with("$.gone is `") && !why.contains('\u{1b}'), "{why}");
    }
}
