//! A farm of separate processes that can be killed, stopped and restarted one by one, and what it
//! is asked from outside.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::BufRead,
    process::Stdio,
};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{Place, Running, SMALL_LADDER, clip, get, local_s3::LocalS3, outside, role, wait, wait_or};

/// Longest wait for a title.
const TITLE_S: u64 = 120;

pub struct Apart {
    pub place: Place,
    pub store: LocalS3,
    /// Where the API listens, whichever scheduler it is.
    pub api: String,
    environment: Vec<(String, String)>,
    _nats: outside::Nats,
}

impl Apart {
    /// NATS, a store, a clip of so many seconds and a small ladder; no role yet.
    pub fn new(seconds: u32, preset: &str) -> Self {
        let place = Place::new();
        clip(&place.path().join("clip.mp4"), seconds, "320x180");
        place.write("ladder.yaml", SMALL_LADDER.replace("ultrafast", preset));
        let nats = outside::Nats::start(place.path());
        let store = LocalS3::start(&place.path().join("store"));
        let api = format!("127.0.0.1:{}", outside::free_port());
        let folder = place.path().canonicalize().unwrap().display().to_string();
        let mut environment = store.environment();
        environment.extend([
            ("FRAMEMILL_NATS__URL".to_owned(), nats.url.clone()),
            ("FRAMEMILL_SCHEDULER__LISTEN".to_owned(), api.clone()),
            ("FRAMEMILL_SCHEDULER__FOLDERS".to_owned(), folder.clone()),
            ("FRAMEMILL_SOURCES__FOLDERS".to_owned(), folder),
            ("FRAMEMILL_WORKER__SLOTS".to_owned(), "1".to_owned()),
        ]);
        Self { place, store, api, environment, _nats: nats }
    }

    /// Starts a role; one that is armed may be gone before it is ready, and is not waited for.
    pub fn role(&self, name: &str, node: &str, armed: Option<&str>) -> Running {
        let points = armed.map(|points| ("FAILPOINTS".to_owned(), points.to_owned()));
        role::start(&self.place, name, node, self.environment.iter().chain(&points))
    }

    pub fn log(&self, name: &str, node: &str) -> String {
        role::log(&self.place, name, node)
    }

    /// Submits the clip; the same key gives the same title. `None` where the scheduler died of it.
    pub fn submit(&self, key: &str) -> Option<String> {
        let file = self.place.path().canonicalize().unwrap().join("clip.mp4").display().to_string();
        let url = format!("http://{}", self.api);
        let args = ["submit", &file, "--ladder", "./ladder.yaml", "--idempotency-key", key, "--api", &url];
        let ran = self.place.run(&args);
        (ran.code == 0).then(|| ran.stdout.trim().to_owned())
    }

    /// The API's answer; `None` where it does not answer now.
    pub fn ask(&self, path: &str) -> Option<Value> {
        let (status, body) = get(&self.api, path)?;
        (status == 200).then(|| serde_json::from_str(&body).unwrap())
    }

    pub fn jobs(&self, asset: &str) -> Vec<Value> {
        let page = wait("a list of jobs", 20, || self.ask(&format!("/v1/jobs?asset={asset}&limit=200")));
        page["items"].as_array().unwrap().clone()
    }

    /// Waits for the end of a title, which must be a good one.
    #[track_caller]
    pub fn published(&self, asset: &str) -> Value {
        let logs = || {
            let names = std::fs::read_dir(self.place.path()).unwrap().flatten().map(|entry| entry.path());
            let logs = names.filter(|path| path.extension().is_some_and(|ending| ending == "log"));
            let tail = |text: String| text.lines().rev().take(40).map(|line| format!("{line}\n")).collect::<String>();
            logs.map(|path| format!("{path:?}:\n{}", tail(std::fs::read_to_string(&path).unwrap()))).collect()
        };
        let found = wait_or("the title's end", TITLE_S, logs, || {
            self.ask(&format!("/v1/assets/{asset}")).filter(|asset| asset["state"] != "accepted")
        });
        assert_eq!(found["state"], "published", "{found}");
        assert_eq!(found["validation"]["state"], "passed", "{found}");
        found
    }

    /// Event ids of every completion of a title's jobs, by job: an event may come twice, under one
    /// id; two ids are two commits. Read until each of the jobs has one.
    pub fn completions(&self, asset: &str) -> BTreeMap<String, BTreeSet<String>> {
        let jobs = self.jobs(asset).len();
        let url = format!("http://{}", self.api);
        let mut command = self.place.command(&["event", "tail", "--json", "--after", "0", "--api", &url]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let _running = Running(child);
        let mut found = BTreeMap::<String, BTreeSet<String>>::new();
        for line in lines {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let kind = event["type"].as_str().unwrap();
            if event["data"]["asset_id"] == asset && kind.ends_with(".completed") {
                let job = event["data"]["job_id"].as_str().unwrap().to_owned();
                found.entry(job).or_default().insert(event["id"].as_str().unwrap().to_owned());
            }
            if found.len() == jobs {
                break;
            }
        }
        found
    }

    /// That a title is whole, each job of it done and committed once.
    #[track_caller]
    pub fn is_whole(&self, asset: &str, frames: u64) {
        let found = self.published(asset);
        assert_eq!(found["input"]["frames"], frames, "{found}");
        for job in self.jobs(asset) {
            assert_eq!(job["state"], "done", "{job}");
        }
        let completions = self.completions(asset);
        assert!(completions.values().all(|ids| ids.len() == 1), "committed twice: {completions:?}");
    }
}

/// Waits until an armed process has ended itself.
#[track_caller]
pub fn aborts(running: &mut Running, what: &str, log: impl Fn() -> String) {
    use std::os::unix::process::ExitStatusExt;
    let status = wait_or(&format!("{what} kills"), 60, log, || running.0.try_wait().unwrap());
    assert_eq!(status.signal(), Some(Signal::SIGABRT as i32), "{what}: {status}");
}

/// Process numbers of the ffmpegs (and what they started) of one process, as their marks tell,
/// with their command lines.
pub fn ffmpegs_of(owner: u32) -> Vec<(i32, String)> {
    let owner = format!("/{owner}/");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let Ok(environment) = std::fs::read(entry.path().join("environ")) else { continue };
        let mut variables = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        if variables.any(|variable| variable.starts_with("FRAMEMILL_CHILD=") && variable.contains(&owner)) {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push((pid, String::from_utf8_lossy(&line).replace('\0', " ")));
        }
    }
    found
}
