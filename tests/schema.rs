//! The schemas name exactly the keys that the loader reads, at every place of a plan and of a scenario.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cutover::commands::schema::{PLAN, SCENARIO};
use cutover::plan::load::{Disk, Files, load};
use serde_json::{Value, json};

/// Plans that have every kind of mapping among them; the small ones first, because each is loaded often.
const PLANS: [&str; 8] = [
    "tests/plans/valid/drill.yaml",
    "tests/plans/valid/signals.yaml",
    "tests/plans/valid/names.yaml",
    "tests/plans/valid/windows.yaml",
    "tests/plans/valid/actions/plan.yaml",
    "tests/plans/valid/every-fault/plan.yaml",
    "plans/failover-drill.yaml",
    "plans/medzen/plan.yaml",
];
/// Fewer than the loader lists.
const BATCH: usize = 15;

/// A folder, one file of which has another text.
struct Overlay<'t> {
    disk: Disk,
    path: &'t str,
    text: String,
}

impl Files for Overlay<'_> {
    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        if path == self.path { Ok(self.text.clone().into_bytes()) } else { self.disk.read(path) }
    }

    fn list(&self, dir: &str) -> Vec<String> {
        self.disk.list(dir)
    }

    fn walk(&self, dir: &str) -> Vec<String> {
        self.disk.walk(dir)
    }
}

/// One file of a plan.
struct Doc {
    root: PathBuf,
    entry: String,
    path: String,
    content: Value,
    is_scenario: bool,
}

impl Doc {
    /// What the loader says when the mapping at `place` has these keys as well, none of which has a value.
    fn told(&self, place: &str, keys: &[&str]) -> String {
        let mut content = self.content.clone();
        let mapping = content.pointer_mut(place).and_then(Value::as_object_mut).unwrap();
        mapping.extend(keys.iter().map(|key| ((*key).to_owned(), Value::Null)));
        // JSON is YAML as well.
        let files = Overlay { disk: Disk::new(self.root.clone()), path: &self.path, text: content.to_string() };
        load(&files, &self.entry).map_or_else(|problems| problems.to_string(), |_| String::new())
    }
}

fn docs() -> Vec<Doc> {
    let mut out = Vec::new();
    for plan in PLANS {
        let at = Path::new(env!("CARGO_MANIFEST_DIR")).join(plan);
        let (root, entry) = (at.parent().unwrap().to_owned(), at.file_name().unwrap().to_str().unwrap().to_owned());
        let read = |path: &str| -> Value { serde_saphyr::from_str(&std::fs::read_to_string(root.join(path)).unwrap()).unwrap() };
        let first = read(&entry);
        let included: Vec<String> = serde_json::from_value(first.get("include").cloned().unwrap_or(json!([]))).unwrap();
        let folder = if entry == "plan.yaml" { "scenarios".to_owned() } else { entry.replace(".yaml", ".scenarios") };
        let scenarios = Disk::new(root.clone()).list(&folder).into_iter().map(|name| (format!("{folder}/{name}"), true));
        let mut paths = vec![(entry.clone(), false)];
        paths.extend(included.into_iter().map(|path| (path, false)));
        paths.extend(scenarios);
        for (path, is_scenario) in paths {
            out.push(Doc { root: root.clone(), entry: entry.clone(), content: read(&path), path, is_scenario });
        }
    }
    out
}

/// A mapping with known keys: where its schema is, where the mapping is, and the keys.
type Kinds = BTreeMap<String, (usize, String, BTreeSet<String>)>;

/// One walk over a document beside its schema.
struct Walk<'s> {
    schema: &'s Value,
    doc: usize,
    kinds: &'s mut Kinds,
}

impl Walk<'_> {
    /// `at` is the place of `schema` in its document, `place` that of `value`. `siblings` are keys of which one is there.
    fn visit(&mut self, at: &str, value: &Value, place: &str, siblings: &BTreeSet<String>) {
        let schema = self.schema.pointer(at).unwrap_or_else(|| panic!("no {at}"));
        if let Some(target) = schema["$ref"].as_str() {
            return self.visit(target.trim_start_matches('#'), value, place, siblings);
        }
        let mut siblings = siblings.clone();
        siblings.extend(required_of(&schema["oneOf"]));
        for (i, _) in schema["allOf"].as_array().into_iter().flatten().enumerate() {
            self.visit(&format!("{at}/allOf/{i}"), value, place, &siblings);
        }
        for (i, branch) in schema["anyOf"].as_array().into_iter().flatten().enumerate() {
            let resolved = branch["$ref"].as_str().map_or(branch, |r| self.schema.pointer(r.trim_start_matches('#')).unwrap());
            if value.is_object() == (resolved["type"] == "object") && value.is_array() == (resolved["type"] == "array") {
                self.visit(&format!("{at}/anyOf/{i}"), value, place, &siblings);
            }
        }
        if !schema["if"].is_null() {
            let branch = if matches_if(&schema["if"], value) { "then" } else { "else" };
            if schema[branch]["$ref"].is_string() {
                self.visit(&format!("{at}/{branch}"), value, place, &siblings);
            }
        }
        match value {
            Value::Object(entries) => {
                if let Some(properties) = schema["properties"].as_object() {
                    assert_eq!(schema["additionalProperties"], json!(false), "{at} lets any key pass");
                    let keys = properties.keys().cloned().chain(siblings).collect();
                    self.kinds.entry(at.to_owned()).or_insert_with(|| (self.doc, place.to_owned(), keys));
                }
                for (key, value) in entries {
                    let escaped = key.replace('~', "~0").replace('/', "~1");
                    let there = format!("{place}/{escaped}");
                    let known = schema["properties"].get(key).map(|_| format!("{at}/properties/{escaped}"));
                    let any = schema["additionalProperties"].is_object().then(|| format!("{at}/additionalProperties"));
                    if let Some(at) = known.or(any) {
                        self.visit(&at, value, &there, &BTreeSet::new());
                    }
                }
            }
            Value::Array(items) if !schema["items"].is_null() => {
                for (i, item) in items.iter().enumerate() {
                    self.visit(&format!("{at}/items"), item, &format!("{place}/{i}"), &BTreeSet::new());
                }
            }
            _ => {}
        }
    }
}

/// The keys of a list of `{"required": [key]}`.
fn required_of(list: &Value) -> Vec<String> {
    let each = list.as_array().into_iter().flatten().filter_map(|one| one["required"][0].as_str());
    each.map(str::to_owned).collect()
}

/// Whether a condition of the only kinds that the schemas have is met.
fn matches_if(condition: &Value, value: &Value) -> bool {
    let has = |list: &Value| list.as_array().into_iter().flatten().all(|key| value.get(key.as_str().unwrap()).is_some());
    match condition["anyOf"].as_array() {
        Some(any) => any.iter().any(|one| has(&one["required"])),
        None => has(&condition["required"]),
    }
}

/// Every place of a schema that has `properties`.
fn mappings_of(schema: &Value, at: &str, out: &mut BTreeSet<String>) {
    match schema {
        Value::Object(entries) => {
            if entries.contains_key("properties") && entries.contains_key("additionalProperties") {
                out.insert(at.to_owned());
            }
            for (key, value) in entries {
                mappings_of(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), out);
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                mappings_of(item, &format!("{at}/{i}"), out);
            }
        }
        _ => {}
    }
}

/// Every name of a key that any schema has.
fn vocabulary(schemas: [&Value; 2]) -> BTreeSet<String> {
    let mut places = BTreeSet::new();
    let mut words = BTreeSet::from(["no-such-key".to_owned()]);
    for schema in schemas {
        places.clear();
        mappings_of(schema, "", &mut places);
        for place in &places {
            words.extend(schema.pointer(place).unwrap()["properties"].as_object().unwrap().keys().cloned());
        }
    }
    words
}

#[test]
fn the_schemas_have_exactly_the_keys_that_the_loader_reads() {
    let (plan, scenario): (Value, Value) = (serde_json::from_str(PLAN).unwrap(), serde_json::from_str(SCENARIO).unwrap());
    let words = vocabulary([&plan, &scenario]);
    let docs = docs();
    for (schema, is_scenario) in [(&plan, false), (&scenario, true)] {
        let mut kinds = Kinds::new();
        for (i, doc) in docs.iter().enumerate().filter(|(_, doc)| doc.is_scenario == is_scenario) {
            Walk { schema, doc: i, kinds: &mut kinds }.visit("", &doc.content, "", &BTreeSet::new());
        }
        let mut all = BTreeSet::new();
        mappings_of(schema, "", &mut all);
        // Conditions of scenarios are those of plans, which have them all.
        let seen: BTreeSet<String> = kinds.keys().cloned().collect();
        assert_eq!(all.difference(&seen).collect::<Vec<_>>(), Vec::<&String>::new(), "no plan of this test has these");
        for (kind, (doc, place, known)) in &kinds {
            let doc = &docs[*doc];
            let there = doc.content.pointer(place).unwrap().as_object().unwrap();
            let absent: Vec<&str> = words.iter().map(String::as_str).filter(|word| !there.contains_key(*word)).collect();
            let (read, unread): (Vec<&str>, Vec<&str>) = absent.into_iter().partition(|word| known.contains(*word));
            for key in read {
                let told = doc.told(place, &[key]);
                let unknown = format!("unknown key `{key}`");
                assert!(!told.contains(&unknown), "the schema has `{key}` at {kind}, the loader refuses it at {place}: {told}");
            }
            for keys in unread.chunks(BATCH) {
                let told = doc.told(place, keys);
                for key in keys {
                    let refused =
                        told.contains(&format!("unknown key `{key}`")) || told.contains(&format!("`{key}` has no meaning here"));
                    assert!(refused, "the loader reads `{key}` at {place}, which the schema has not at {kind}:\n{told}");
                }
            }
        }
    }
}
