//! From YAML to a plan, or to every error in it.
//!
//! A file becomes a tree in which every node knows its place (`node`); readers walk the tree, record what
//! is wrong and go on, so that all errors are found in one go. Whatever a reader could not make sense of is
//! left out, which is harmless because a plan with a single error is refused as a whole.
//!
//! | Module | Reads |
//! |---|---|
//! | `header` | version, account, regions, objectives, traffic |
//! | `vars`, `names` | variables and `${name}`, references |
//! | `monitors`, `conditions` | what is observed, and what must be true of it |
//! | `steps`, `actions`, `records`, `order` | phases and steps, and their running order |
//! | `window` | when they may be started |
//! | `local` | scripts, edits, requests, and what stands for them in a drill |
//! | `about` | parts, risks, success criteria, cost, escalation |
//! | `rollbacks`, `drill`, `scenarios`, `faults` | what their names say |
//! | `places` | where in the files what was read is, for the lints, which run over the whole plan at the end |

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

pub(in crate::plan) use self::actions::ROLLBACK_ACTIONS;
use self::context::Context;
use self::fields::Fields;
use self::files::check_path;
pub use self::files::{Disk, FILE_BYTES_MAX, Files};
pub(in crate::plan) use self::node::At;
use self::node::Node;
pub(in crate::plan) use self::places::{Places, Spot};
pub use self::problem::{Problem, Problems};
pub(in crate::plan) use self::value::nearest;
use crate::plan::lint::{self, Level, Subject, Where};
use crate::plan::{About, Manifest, Plan, Scenario, sha256_hex};

mod about;
mod actions;
mod availability;
mod conditions;
mod context;
mod dns;
mod drill;
mod faults;
mod fields;
mod files;
mod header;
mod heartbeat;
mod local;
mod metrics;
mod monitors;
mod names;
mod node;
mod order;
mod places;
mod problem;
mod records;
mod rollbacks;
mod scenarios;
mod steps;
mod value;
mod vars;
mod window;

/// Most files that a plan includes.
const INCLUDES_MAX: usize = 50;
/// Most bytes of all templates together, each counted as often as it is used.
const TEMPLATE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The sections that an included file may hold.
const SECTIONS: [&str; 13] = [
    "vars",
    "vantages",
    "monitors",
    "phases",
    "rollbacks",
    "traffic",
    "availability",
    "parts",
    "risks",
    "success",
    "cost",
    "escalation",
    "drill",
];

/// A plan and what belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The plan.
    pub plan: Plan,
    /// The scenarios beside it, sorted by name; `calm` is always there.
    pub scenarios: Vec<Scenario>,
    /// What looks wrong but may be meant.
    pub warnings: Vec<Problem>,
}

/// Loads a plan from a folder; `entry` is its file, such as `plan.yaml`.
///
/// # Errors
/// Everything that is wrong with the plan or its scenarios (at most 50 errors are listed). Where only lints refuse it, what
/// they merely warn of is listed as well.
pub fn load(files: &dyn Files, entry: &str) -> Result<Loaded, Problems> {
    let (base, name) = entry.rsplit_once('/').map_or(("", entry), |(dir, name)| (dir, name));
    let base = if base.is_empty() { String::new() } else { format!("{base}/") };
    let mut r =
        Reader { files, base, cx: Context::default(), read: BTreeMap::new(), templates: HashMap::new(), template_bytes: 0 };
    let loaded = r.plan(name);
    match loaded {
        Some(loaded) if !r.cx.failed() => Ok(Loaded { warnings: r.cx.take_warnings(), ..loaded }),
        _ => {
            if !r.cx.failed() {
                // Every reader that gives up has said why; this is for the day on which one forgets.
                r.cx.file_error(entry, "the plan cannot be read".to_owned());
            }
            Err(Problems(r.cx.take_all()))
        }
    }
}

/// Loads a plan from a file on disk, or from a folder that holds a `plan.yaml`.
///
/// # Errors
/// As [`load`]; and that there is no such file. Files are named as seen from the working directory.
pub fn load_path(path: &Path) -> Result<Loaded, Problems> {
    let shown = path.display().to_string();
    let refuse = |message: &str| Err(Problems(vec![Problem::of_file(&shown, message.to_owned())]));
    let file = if path.is_dir() { path.join("plan.yaml") } else { path.to_owned() };
    if !file.exists() {
        return refuse(if path.is_dir() { "the folder holds no `plan.yaml`" } else { "there is no such file or folder" });
    }
    let Some(entry) = file.file_name().and_then(|n| n.to_str()) else { return refuse("the path is not UTF-8 text") };
    let root = file.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    let name = |problem: Problem| Problem { file: root.join(&problem.file).display().to_string(), ..problem };
    match load(&Disk::new(root.clone()), entry) {
        Ok(loaded) => Ok(Loaded { warnings: loaded.warnings.into_iter().map(name).collect(), ..loaded }),
        Err(Problems(problems)) => Err(Problems(problems.into_iter().map(name).collect())),
    }
}

/// One load under way.
struct Reader<'f> {
    files: &'f dyn Files,
    /// The plan's folder: empty, or with a final `/`.
    base: String,
    cx: Context,
    /// Path → SHA-256 (hex) of everything the plan is made of.
    read: BTreeMap<String, String>,
    templates: HashMap<String, Result<String, String>>,
    template_bytes: usize,
}

impl Reader<'_> {
    fn bytes(&self, path: &str) -> Result<Vec<u8>, String> {
        self.files.read(&format!("{}{path}", self.base)).map_err(|e| files::read_error(&e))
    }

    /// Reads and parses a file, and gives its tree and its hash. An error is reported at `named_at`, the place
    /// where the file is named, if there is one.
    fn open(&mut self, path: &str, named_at: Option<At>) -> Option<(Node, String)> {
        let shown = format!("{}{path}", self.base);
        let bytes = self.bytes(path);
        let text = match bytes.as_deref().map_err(Clone::clone).and_then(files::to_text) {
            Ok(text) => text.to_owned(),
            Err(why) => {
                match named_at {
                    Some(at) => self.cx.error(at, format!("`{}` cannot be read: {why}", problem::show(path))),
                    None => self.cx.file_error(&shown, format!("it cannot be read: {why}")),
                }
                return None;
            }
        };
        let hash = sha256_hex(bytes.as_deref().unwrap_or_default());
        let number = u32::try_from(self.cx.sources.len()).ok()?;
        let root = node::parse(number, &text);
        self.cx.sources.push(context::SourceFile { path: shown, text });
        match root {
            Ok(root) => Some((root, hash)),
            Err(refusal) => {
                self.cx.error_help(refusal.at, refusal.message, refusal.help);
                None
            }
        }
    }

    /// The text of a template.
    fn template(&mut self, path: &str) -> Result<String, String> {
        if !self.templates.contains_key(path) {
            let text = self.bytes(path).and_then(|bytes| {
                let text = files::to_text(&bytes)?.to_owned();
                self.read.insert(path.to_owned(), sha256_hex(&bytes));
                Ok(text)
            });
            self.templates.insert(path.to_owned(), text);
        }
        let text = self.templates.get(path).cloned().unwrap_or_else(|| Err("it was not read".to_owned()))?;
        self.template_bytes += text.len();
        if self.template_bytes > TEMPLATE_BYTES_MAX {
            return Err(format!("the templates of this plan have more than {} MiB", TEMPLATE_BYTES_MAX >> 20));
        }
        Ok(text)
    }

    fn plan(&mut self, entry: &str) -> Option<Loaded> {
        let (root, hash) = self.open(entry, None)?;
        self.read.insert(entry.to_owned(), hash);
        header::check_version(&mut self.cx, &root)?;
        let mut f = Fields::of(&mut self.cx, &root, "the plan")?;
        f.need(&mut self.cx, "cutover", |_, _| Some(()));
        let included = f.maybe(&mut self.cx, "include", |_, n| Some(n)).and_then(|n| self.include(entry, n)).unwrap_or_default();
        // Without one of the files everything that is in it would be missing, over and over.
        if self.cx.sources.len() > included.len() + 1 || f.key_at("include").is_some() && self.cx.failed() {
            return None;
        }
        let mut sections = Sections::default();
        sections.take(&mut self.cx, &mut f);
        for root in &included {
            if let Some(mut f) = Fields::of(&mut self.cx, root, "the included file") {
                f.refuse(&mut self.cx, "include", "only the plan's first file includes others");
                sections.take(&mut self.cx, &mut f);
                f.finish(&mut self.cx);
            }
        }
        vars::read(&mut self.cx, sections.of("vars"));
        let (plan, opening) = self.resolve(&mut f, &sections);
        f.finish(&mut self.cx);
        let scenarios = self.scenarios(entry, &plan, opening);
        if !self.cx.failed() {
            let roots: Vec<&Node> = std::iter::once(&root).chain(&included).collect();
            self.lint(&plan, &scenarios, &roots);
        }
        // Its warnings are taken by whoever knows whether there are errors as well.
        Some(Loaded { plan, scenarios, warnings: Vec::new() })
    }

    /// Lets the lints look at a plan without errors.
    fn lint(&mut self, plan: &Plan, scenarios: &[Scenario], roots: &[&Node]) {
        let cx = &mut self.cx;
        let places = Places::of(roots, |id| cx.expand(At::default(), id).unwrap_or_default());
        for finding in lint::check(&Subject { plan, scenarios, places: &places }).findings {
            let message = format!("{}: {}", finding.lint.name, finding.message);
            match (finding.place, finding.lint.level) {
                (Where::Plan(at), Level::Error) => cx.error_help(at, message, finding.help),
                (Where::Plan(at), Level::Warning) => cx.warn(at, message, finding.help),
                (Where::File(path, text, start, len), level) => {
                    let path = format!("{}{path}", self.base);
                    let problem = Problem::at(&path, &text, start, len, message, finding.help);
                    cx.of_file(Problem { warning: level == Level::Warning, ..problem });
                }
            }
        }
    }

    /// The trees of the included files, in the order in which they are named.
    fn include(&mut self, entry: &str, node: &Node) -> Option<Vec<Node>> {
        let items = self.cx.list(node)?;
        if items.len() > INCLUDES_MAX {
            self.cx.error(node.at, format!("a plan includes at most {INCLUDES_MAX} files"));
            return None;
        }
        let mut roots = Vec::new();
        for item in items {
            let Some(path) = self.cx.scalar(item) else { continue };
            let shown = problem::show(&path);
            if let Err(why) = check_path(&path) {
                self.cx.error(item.at, format!("`{shown}` cannot be included: {why}"));
            } else if path == entry {
                self.cx.error(item.at, format!("`{shown}` includes itself"));
            } else if self.read.contains_key(&path) {
                self.cx.error(item.at, format!("`{shown}` is included twice"));
            } else if let Some((root, hash)) = self.open(&path, Some(item.at)) {
                self.read.insert(path, hash);
                roots.push(root);
            }
        }
        Some(roots)
    }

    fn resolve(&mut self, f: &mut Fields<'_>, sections: &Sections<'_>) -> (Plan, Option<(At, String)>) {
        let cx = &mut self.cx;
        let name = f.need(cx, "name", Context::name);
        let title = f.need(cx, "title", Context::words);
        let account = f.need(cx, "account", header::account);
        let days = f.need(cx, "days", |cx, n| u32::try_from(cx.integer(n, 1, 365)?).ok());
        let regions = f.need(cx, "regions", header::regions);
        let objectives = f.need(cx, "objectives", header::objectives);
        let heartbeat = f.maybe(cx, "heartbeat", heartbeat::read);
        let secrets = f.maybe(cx, "secrets", local::secrets).unwrap_or_default();
        cx.secrets.clone_from(&secrets);
        let parts = sections.one(cx, "parts").and_then(|n| about::parts(cx, n)).unwrap_or_default();
        cx.part_ids = parts.iter().map(|(id, _)| id.clone()).collect();
        monitors::read_vantages(cx, sections.of("vantages"));
        monitors::read(cx, sections.of("monitors"));
        if sections.of("phases").is_empty() {
            f.missing(cx, "phases");
        }
        let traffic = sections.one(cx, "traffic").and_then(|n| header::traffic(cx, n));
        let service = traffic.as_ref().and_then(|t| t.service);
        let availability = sections.one(cx, "availability").map(|n| availability::read(cx, n, service));
        // Without its number of days a plan is as long as it may be, so that its phases are not reported too.
        let (phases, steps) = steps::read(self, sections.of("phases"), days.unwrap_or(365));
        let rollbacks = rollbacks::read(self, sections.of("rollbacks"), &steps);
        let cx = &mut self.cx;
        let about = About {
            parts,
            risks: sections.one(cx, "risks").and_then(|n| about::risks(cx, n, &phases)).unwrap_or_default(),
            success: sections.one(cx, "success").and_then(|n| about::success(cx, n)).unwrap_or_default(),
            cost: sections.one(cx, "cost").and_then(|n| about::cost(cx, n)),
            escalation: sections.one(cx, "escalation").and_then(|n| about::escalation(cx, n)),
        };
        local::check_outputs(&mut self.cx, &steps::given(&steps));
        let node = sections.one(&mut self.cx, "drill");
        let (drill, opening) = drill::read(self, node);
        let cx = &mut self.cx;
        if let Some(section) = sections.of("phases").first()
            && steps.is_empty()
            && !cx.failed()
        {
            cx.error(section.at, "the plan has no steps");
        }
        // A plan that is incomplete still serves its scenarios' references, which is all that is read after this;
        // their numbers come from the tables of names. It is refused in the end, because something was recorded.
        let plan = Plan {
            name: name.unwrap_or_default(),
            title: title.unwrap_or_default(),
            account: account.unwrap_or_default(),
            days: days.unwrap_or_default(),
            regions: regions.unwrap_or_default(),
            objectives: objectives.unwrap_or(crate::plan::Objectives { availability_ppm: 0, rto_ms: 0, rpo_ms: 0 }),
            availability: availability.unwrap_or_else(|| availability::usual(service)),
            traffic,
            vantages: std::mem::take(&mut cx.declared),
            heartbeat,
            monitors: cx.monitors.iter().flatten().cloned().collect(),
            conditions: std::mem::take(&mut cx.conditions),
            phases,
            steps: steps.into_iter().flatten().collect(),
            rollbacks,
            secrets,
            about,
            drill,
            manifest: manifest(&self.read),
        };
        (plan, opening)
    }

    fn scenarios(&mut self, entry: &str, plan: &Plan, opening: Option<(At, String)>) -> Vec<Scenario> {
        let stem = entry.strip_suffix(".yaml").unwrap_or(entry);
        let dir = if entry == "plan.yaml" { "scenarios".to_owned() } else { format!("{stem}.scenarios") };
        let scenarios = scenarios::read(self, &dir, plan);
        if let Some((at, name)) = opening
            && !scenarios.iter().any(|s| s.name == name)
            && !self.cx.failed()
        {
            let help = self.cx.suggest(&name, scenarios.iter().map(|s| s.name.as_str()));
            self.cx.error_help(at, format!("there is no scenario `{name}` in `{dir}`"), help);
        }
        scenarios
    }
}

/// The sections of all files of a plan.
#[derive(Default)]
struct Sections<'n> {
    found: HashMap<&'static str, Vec<&'n Node>>,
}

impl<'n> Sections<'n> {
    fn take(&mut self, cx: &mut Context, f: &mut Fields<'n>) {
        for key in SECTIONS {
            if let Some(node) = f.get(cx, key) {
                self.found.entry(key).or_default().push(node);
            }
        }
    }

    fn of(&self, key: &str) -> &[&'n Node] {
        self.found.get(key).map_or(&[], Vec::as_slice)
    }

    /// A section that only one file may hold.
    fn one(&self, cx: &mut Context, key: &str) -> Option<&'n Node> {
        if let [first, second, ..] = self.of(key) {
            cx.error(second.at, format!("`{key}` is there already, in {}", cx.line_of(first.at, second.at)));
        }
        self.of(key).first().copied()
    }
}

/// The list of files and the hash over it.
fn manifest(read: &BTreeMap<String, String>) -> Manifest {
    let files: Vec<(String, String)> = read.iter().map(|(path, hash)| (path.clone(), hash.clone())).collect();
    let mut list = String::new();
    for (path, hash) in &files {
        list.push_str(hash);
        list.push_str("  ");
        list.push_str(path);
        list.push('\n');
    }
    Manifest { files, hash: sha256_hex(list.as_bytes()) }
}
