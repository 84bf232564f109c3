//! What a live run does on the machine of its engine: scripts, edits of the working tree, requests.
//!
//! | Module | What is in it |
//! |---|---|
//! | `script` | bash in a process group of its own, with a time limit and a bounded environment |
//! | `output` | what a script or request says: kept in a file, its end shown |
//! | `secrets` | the values that are handed over and must not come out again |
//! | `tree` | files of the working tree, replaced as a whole or not at all |
//! | `request` | one HTTP request and what its answer must be like |

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use self::output::Output;
use self::secrets::Secrets;
use crate::cloud::{Answer, Call, CallId, Failure, FailureKind, Query, Receipt};
use crate::plan::sha256_hex;

mod output;
mod request;
mod script;
mod secrets;
mod tree;

/// So many outputs are kept in memory; the files stay.
const OUTPUTS_MAX: usize = 50;

/// Where a run's local actions happen.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The run's folder.
    pub folder: PathBuf,
    /// The working tree.
    pub workdir: PathBuf,
    /// The run's id.
    pub run: String,
    /// The plan's folder, if it is on this machine.
    pub plan: Option<PathBuf>,
    /// Names of the environment variables that are secrets.
    pub secrets: Vec<String>,
}

/// Performs the local actions of a run.
#[derive(Debug, Clone)]
pub struct Local {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    secrets: Secrets,
    outputs: Mutex<BTreeMap<CallId, Arc<Output>>>,
    /// Scripts under way: whoever sends `true` ends one.
    stops: Mutex<BTreeMap<CallId, watch::Sender<bool>>>,
}

impl Local {
    /// Ready to act. Ends what an earlier engine of this run left running: without its engine nobody knows what came of it.
    #[must_use]
    pub fn new(settings: Settings) -> Local {
        script::end_left(&settings.folder);
        let secrets = Secrets::of_environment(&settings.secrets);
        let inner = Inner { settings, secrets, outputs: Mutex::default(), stops: Mutex::default() };
        Local { inner: Arc::new(inner) }
    }

    /// Does what a local call asks for. A script takes as long as it takes; everything else bounds its own time.
    ///
    /// # Errors
    /// After anything but `Unknown` it was certainly not done, or it failed for good.
    pub async fn send(&self, id: CallId, call: &Call, text: Option<&str>) -> Result<Receipt, Failure> {
        match call {
            Call::RunScript { .. } => self.run_script(id, call, text.unwrap_or_default()).await,
            Call::EditFile { file, before, after, splices } => {
                let workdir = self.inner.settings.workdir.clone();
                let (file, before, after, splices) = (file.clone(), before.clone(), after.clone(), splices.clone());
                let edited = tokio::task::spawn_blocking(move || tree::replace(&workdir, &file, &before, &after, &splices));
                edited.await.unwrap_or_else(|error| Err(error.to_string())).map_err(refused)?;
                Ok(Receipt::default())
            }
            Call::MakeRequest { job, request } => {
                let output = self.output_of(id, job).map_err(refused)?;
                request::make(request, &self.inner.secrets, &output).await
            }
            _ => Err(refused(format!("{} is no local action", call.operation()))),
        }
    }

    async fn run_script(&self, id: CallId, call: &Call, text: &str) -> Result<Receipt, Failure> {
        let Call::RunScript { job, env, secrets, outputs, timeout_ms, grace_ms, script_sha256 } = call else {
            return Err(refused("this is no script".into()));
        };
        if sha256_hex(text) != *script_sha256 {
            return Err(refused("not run: the script is not the one that the plan was pinned to".into()));
        }
        let secrets = self.inner.secrets.values(secrets).map_err(refused)?;
        let output = self.output_of(id, job).map_err(refused)?;
        let (stop, stopped) = watch::channel(false);
        self.stops().insert(id, stop);
        let task = script::Task {
            settings: &self.inner.settings,
            name: format!("{id:04}"),
            job,
            text,
            env,
            secrets: &secrets,
            outputs,
            timeout_ms: *timeout_ms,
            grace_ms: *grace_ms,
        };
        let result = script::run(task, &self.inner.secrets, &output, stopped).await;
        self.stops().remove(&id);
        result
    }

    /// Looks at something on this machine.
    ///
    /// # Errors
    /// Why it cannot be told.
    pub async fn ask(&self, query: &Query) -> Result<Answer, Failure> {
        match query {
            Query::File { file } => {
                let (workdir, file) = (self.inner.settings.workdir.clone(), file.clone());
                let read = tokio::task::spawn_blocking(move || tree::read(&workdir, &file));
                read.await.unwrap_or_else(|error| Err(error.to_string())).map(Answer::File).map_err(refused)
            }
            Query::DoneIf { job, script, env, secrets } => {
                let secrets = self.inner.secrets.values(secrets).map_err(refused)?;
                let task = script::Task {
                    settings: &self.inner.settings,
                    name: "done-if".into(),
                    job,
                    text: script,
                    env,
                    secrets: &secrets,
                    outputs: &[],
                    timeout_ms: script::DONE_IF_MS,
                    grace_ms: 1_000,
                };
                script::is_done(task, &self.inner.secrets).await.map(Answer::DoneIf)
            }
            _ => Err(refused("this is not asked of the machine".into())),
        }
    }

    /// Ends a script that is under way.
    pub fn stop(&self, id: CallId) {
        if let Some(stop) = self.stops().get(&id) {
            stop.send_replace(true);
        }
    }

    /// The newest lines that a call has given, oldest first; none of one that this engine did not make.
    #[must_use]
    pub fn output(&self, id: CallId) -> Vec<String> {
        self.outputs().get(&id).map(|output| output.tail()).unwrap_or_default()
    }

    fn output_of(&self, id: CallId, job: &str) -> Result<Arc<Output>, String> {
        let output = Arc::new(Output::create(&self.inner.settings.folder, id, job)?);
        let mut outputs = self.outputs();
        outputs.insert(id, Arc::clone(&output));
        while outputs.len() > OUTPUTS_MAX {
            outputs.pop_first();
        }
        Ok(output)
    }

    fn outputs(&self) -> std::sync::MutexGuard<'_, BTreeMap<CallId, Arc<Output>>> {
        self.inner.outputs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stops(&self) -> std::sync::MutexGuard<'_, BTreeMap<CallId, watch::Sender<bool>>> {
        self.inner.stops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(message: String) -> Failure {
    Failure { kind: FailureKind::Refused, message }
}
