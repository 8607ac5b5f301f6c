//! Sick nodes, poison sources and drained machines, with real processes: an ffmpeg that breaks is
//! a script in front of the real one.

use std::{
    collections::BTreeSet,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{Place, Running, clip, get, local_s3::LocalS3, outside, real_ffmpeg, role, wait, wait_or};
use serde_json::Value;

/// A farm of separate processes.
struct Farm {
    place: Place,
    api: String,
    environment: Vec<(String, String)>,
    _nats: outside::Nats,
    _store: LocalS3,
    _roles: Vec<Running>,
}

/// What the script in front of ffmpeg does instead of encoding.
enum Does {
    /// It crashes while the file is there, at any encode and at the canary.
    CrashesWhile(&'static str),
    /// It crashes on sources of 24 frames a second.
    CrashesOnFilm,
    /// It waits before it encodes pictures while the file is there.
    WaitsWhile(&'static str),
}

const LADDER: &str = "
name: small
gop_s: 1
segment_s: 2
video:
  - { name: 90p, codec: h264, height: 90, bitrate_kbps: 100, maxrate_kbps: 120, preset: ultrafast }
audio:
  - { name: stereo, codec: aac, channels: 2, bitrate_kbps: 96 }
";

impl Farm {
    /// A scheduler and a packager; workers come as a test wants them.
    fn start() -> Self {
        let place = Place::new();
        place.write("ladder.yaml", LADDER);
        clip(&place.path().join("clip.mp4"), 16, "160x90");
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
            ("FRAMEMILL_PACKAGER__SLOTS".to_owned(), "1".to_owned()),
        ]);
        let mut farm = Self { place, api, environment, _nats: nats, _store: store, _roles: Vec::new() };
        let roles = [farm.role("scheduler", "control", None), farm.role("packager", "pack", None)];
        farm._roles.extend(roles);
        farm
    }

    /// Starts a role and waits until it is ready.
    fn role(&self, name: &str, node: &str, ffmpeg: Option<&Path>) -> Running {
        let program = ffmpeg.map(|ffmpeg| ("FRAMEMILL_FFMPEG__FFMPEG".to_owned(), ffmpeg.display().to_string()));
        role::start(&self.place, name, node, self.environment.iter().chain(&program))
    }

    /// A worker, and the farm's word that it takes jobs.
    fn worker(&self, node: &str, ffmpeg: Option<&Path>) -> Running {
        let running = self.role("worker", node, ffmpeg);
        self.node(node, "it joined", |_| true);
        running
    }

    /// A script in front of the real ffmpeg.
    fn ffmpeg(&self, name: &str, does: &Does) -> PathBuf {
        let file = |name: &str| self.place.path().join(name).display().to_string();
        let (when, then) = match does {
            Does::CrashesWhile(flag) => (
                format!("[ -e '{}' ] && case \"$*\" in *pipe:100*|*lavfi*) true;; *) false;; esac", file(flag)),
                "kill -SEGV $$".to_owned(),
            ),
            Does::CrashesOnFilm => {
                ("case \"$*\" in *fps=24*pipe:100*) true;; *) false;; esac".to_owned(), "kill -SEGV $$".to_owned())
            }
            Does::WaitsWhile(flag) => (
                "case \"$*\" in *fps=*pipe:100*) true;; *) false;; esac".to_owned(),
                format!("while [ -e '{}' ]; do sleep 0.05; done", file(flag)),
            ),
        };
        let real = real_ffmpeg().display().to_string();
        let script = self.place.write(name, format!("#!/bin/sh\nif {when}; then {then}; fi\nexec '{real}' \"$@\"\n"));
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        script
    }

    fn json(&self, path: &str) -> Option<Value> {
        get(&self.api, path).filter(|(status, _)| *status == 200).map(|(_, body)| serde_json::from_str(&body).unwrap())
    }

    /// Waits until a node is as wanted.
    #[track_caller]
    fn node(&self, id: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/v1/nodes/{id}");
        let log = || format!("{:?} {}", self.json(&path), self.logs());
        wait_or(&format!("{id}: {what}"), 120, log, || {
            self.json(&path).map(|found| found["node"].clone()).filter(|node| wanted(node))
        })
    }

    /// What an operator types, and what came of it.
    fn operator(&self, args: &[&str]) -> Value {
        let api = format!("http://{}", self.api);
        let ran = self.place.run(&[args, &["--json", "--api", &api]].concat()).ends(0);
        serde_json::from_str(&ran.stdout).unwrap()
    }

    fn submit(&self, file: &str) -> String {
        let api = format!("http://{}", self.api);
        let file = self.place.path().canonicalize().unwrap().join(file).display().to_string();
        let args = ["submit", &file, "--ladder", "./ladder.yaml", "--api", &api];
        self.place.run(&args).ends(0).stdout.trim().to_owned()
    }

    #[track_caller]
    fn ends(&self, id: &str, state: &str) -> Value {
        let path = format!("/v1/assets/{id}");
        let log = || format!("{:?} {:?} {}", self.json(&path), self.jobs(id), self.logs());
        wait_or(&format!("the title is {state}"), 240, log, || {
            self.json(&path).filter(|asset| asset["state"] != "accepted").inspect(|asset| {
                assert_eq!(asset["state"], state, "{asset} {:?}", self.jobs(id));
            })
        })
    }

    fn jobs(&self, asset: &str) -> Vec<Value> {
        let page = self.json(&format!("/v1/jobs?asset={asset}&limit=200"));
        page.map_or_else(Vec::new, |page| page["items"].as_array().unwrap().clone())
    }

    fn running_on(&self, node: &str) -> Vec<Value> {
        let shown = self.json(&format!("/v1/nodes/{node}"));
        shown.map_or_else(Vec::new, |shown| shown["jobs"].as_array().unwrap().clone())
    }

    fn logs(&self) -> String {
        let logs = std::fs::read_dir(self.place.path()).unwrap().flatten().map(|entry| entry.path());
        let logs = logs.filter(|path| path.extension().is_some_and(|end| end == "log"));
        logs.map(|path| format!("== {}\n{}\n", path.display(), std::fs::read_to_string(&path).unwrap())).collect()
    }
}

/// A source of 24 frames a second.
fn film(path: &Path, seconds: u32) {
    let picture = format!("testsrc2=size=160x90:rate=24:duration={seconds}");
    let made = Command::new(crate::support::ffmpeg())
        .args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", &picture])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "48", "-f", "mp4"])
        .arg(path)
        .status()
        .unwrap();
    assert!(made.success());
}

#[test]
fn a_node_with_a_broken_ffmpeg_is_quarantined_until_it_is_mended() {
    let farm = Farm::start();
    let script = farm.ffmpeg("sick-ffmpeg", &Does::CrashesWhile("broken"));
    let _sick = farm.worker("sick", Some(&script));
    // Not at the start: it would not offer what it cannot encode.
    let broken = farm.place.write("broken", "");
    let _well = farm.worker("well", None);
    let first = farm.submit("clip.mp4");

    let node = farm.node("sick", "it is quarantined", |node| node["state"] == "quarantined");
    assert_eq!(node["by"], "farm");
    assert!(node["why"].as_str().unwrap().contains("ffmpeg-crashed"), "{node}");
    // The others go on with what it dropped.
    farm.ends(&first, "published");
    let jobs = farm.jobs(&first);
    let (tried, made): (BTreeSet<_>, BTreeSet<_>) = (
        jobs.iter().flat_map(|job| job["failures"].as_array().unwrap()).map(|f| f["node"].to_string()).collect(),
        jobs.iter().filter(|job| job["kind"] == "transcode").map(|job| job["node"].to_string()).collect(),
    );
    assert_eq!((tried, made), (BTreeSet::from(["\"sick\"".to_owned()]), BTreeSet::from(["\"well\"".to_owned()])));
    let node = farm.node("sick", "its canary failed", |node| node["canary"]["runs"].as_u64() >= Some(1));
    assert_eq!(node["canary"]["good"], 0, "{node}");
    assert!(node["canary"]["failure"]["code"] == "ffmpeg-crashed", "{node}");
    let shown = farm.json("/v1/nodes/sick").unwrap();
    assert!(shown["failures"].as_array().unwrap().len() >= 2, "{shown}");
    assert_eq!(farm.node("well", "it is active", |_| true)["state"], "active");

    // An operator takes the other one out: only an operator brings that one back.
    let out = farm.operator(&["node", "quarantine", "well", "--why", "a smell of smoke"]);
    assert_eq!((out["state"].as_str(), out["by"].as_str()), (Some("quarantined"), Some("operator")));
    std::fs::remove_file(broken).unwrap();
    let node = farm.node("sick", "it is released", |node| node["state"] == "active");
    assert_eq!((node["by"].as_str(), node["canary"]["good"].as_u64()), (Some("farm"), Some(2)), "{node}");
    let second = farm.submit("clip.mp4");
    farm.ends(&second, "published");
    assert!(farm.jobs(&second).iter().filter(|job| job["kind"] == "transcode").all(|job| job["node"] == "sick"));
    let node = farm.node("well", "it is still out", |_| true);
    assert_eq!((node["state"].as_str(), node["why"].as_str()), (Some("quarantined"), Some("a smell of smoke")));
    assert!(node.get("canary").is_none(), "{node}");
    assert_eq!(farm.operator(&["node", "resume", "well"])["state"], "active");

    let listed = farm.operator(&["node", "ls"]);
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["pack", "sick", "well"]);
    let api = format!("http://{}", farm.api);
    farm.place.run(&["node", "show", "nobody", "--api", &api]).ends(4);
    let shown = farm.place.run(&["node", "show", "sick", "--api", &api]).ends(0).stdout;
    assert!(shown.contains("ffmpeg-crashed") && shown.contains("canary: "), "{shown}");
}

#[test]
fn a_worker_offers_what_it_proved_and_what_is_mended_without_a_restart() {
    let farm = Farm::start();
    let broken = farm.place.write("broken", "");
    let script = farm.ffmpeg("broken-ffmpeg", &Does::CrashesWhile("broken"));
    let _worker = farm.worker("one", Some(&script));
    let node = farm.node("one", "it joined", |_| true);
    assert_eq!(node["roles"][0]["encodes"], serde_json::json!([]), "{node}");
    let proofs = |shown: &Value| shown["inventory"]["encoders"].as_array().unwrap().clone();
    let of = |shown: &Value, name: &str| proofs(shown).into_iter().find(|proof| proof["name"] == name).unwrap();
    let shown = farm.json("/v1/nodes/one").unwrap();
    assert!(of(&shown, "libx264")["answer"].as_str().unwrap().contains("signal"), "{shown}");
    let api = format!("http://{}", farm.api);
    let text = farm.place.run(&["node", "show", "one", "--api", &api]).ends(0).stdout;
    assert!(text.contains("encoders: none") && text.contains("libx264, libx265") && text.contains("signal"), "{text}");
    // A list stays short.
    assert!(farm.operator(&["node", "ls"])[0]["roles"][0].get("inventory").is_none());

    // Nobody here could encode it.
    let clip = farm.place.path().canonicalize().unwrap().join("clip.mp4").display().to_string();
    let refused = farm.place.run(&["submit", &clip, "--ladder", "./ladder.yaml", "--api", &api]).ends(2);
    assert!(refused.stderr.contains("no worker's ffmpeg encodes h264"), "{}", refused.stderr);

    std::fs::remove_file(broken).unwrap();
    let node = farm.node("one", "it is mended", |node| node["roles"][0]["encodes"] != serde_json::json!([]));
    assert!(node["roles"][0]["encodes"].as_array().unwrap().contains(&"h264".into()), "{node}");
    let title = farm.submit("clip.mp4");
    farm.ends(&title, "published");
    let shown = farm.json("/v1/nodes/one").unwrap();
    assert!(of(&shown, "libx264").get("answer").is_none(), "{shown}");
}

#[test]
fn a_source_that_crashes_ffmpeg_fails_after_two_attempts_and_nobody_else_is_blamed() {
    let farm = Farm::start();
    film(&farm.place.path().join("film.mp4"), 16);
    let script = farm.ffmpeg("poisoned-ffmpeg", &Does::CrashesOnFilm);
    let _one = farm.worker("one", Some(&script));
    let failed_jobs = |asset: &str| {
        let mut jobs = farm.jobs(asset);
        jobs.retain(|job| job["state"] == "failed");
        jobs
    };
    let tried = |job: &Value| {
        let failures = job["failures"].as_array().unwrap().iter();
        let crashes = failures.filter(|failure| failure["code"] == "ffmpeg-crashed");
        crashes.map(|failure| failure["node"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };

    // Where there is one node, it is tried there twice.
    let alone = farm.submit("film.mp4");
    let asset = farm.ends(&alone, "failed");
    assert_eq!(asset["failure"]["class"], "input", "{asset}");
    assert_eq!(asset["failure"]["code"], "source-breaks-encoder", "{asset}");
    let jobs = failed_jobs(&alone);
    assert!(!jobs.is_empty());
    for job in &jobs {
        assert_eq!((job["attempt"].as_u64(), tried(job)), (Some(2), vec!["one".to_owned(); 2]), "{job}");
    }

    // Where there are two, once on each; a good title runs beside it.
    let _two = farm.worker("two", Some(&script));
    let (poison, good) = (farm.submit("film.mp4"), farm.submit("clip.mp4"));
    let asset = farm.ends(&poison, "failed");
    assert_eq!(asset["failure"]["class"], "input", "{asset}");
    farm.ends(&good, "published");
    let jobs = failed_jobs(&poison);
    assert!(!jobs.is_empty());
    for job in &jobs {
        let (attempts, nodes): (_, BTreeSet<_>) = (tried(job).len(), tried(job).into_iter().collect());
        assert_eq!((job["attempt"].as_u64(), attempts, nodes.len()), (Some(2), 2, 2), "{job}");
    }
    for id in ["one", "two", "pack"] {
        let node = farm.node(id, "it is listed", |_| true);
        assert_eq!(node["state"], "active", "{node}");
        assert!(node.get("suspicion").is_none(), "{node}");
    }
    let said = farm.place.run(&["node", "ls", "--api", &format!("http://{}", farm.api)]).ends(0).stdout;
    assert!(!said.contains("quarantined") && !said.contains("suspected"), "{said}");
}

#[test]
fn a_drained_node_hands_back_what_it_runs_and_stays_empty_until_it_is_resumed() {
    let farm = Farm::start();
    let hold = farm.place.write("hold", "");
    let script = farm.ffmpeg("patient-ffmpeg", &Does::WaitsWhile("hold"));
    let mut one = farm.worker("one", Some(&script));
    let first = farm.submit("clip.mp4");
    let held = wait("a chunk on the first node", 60, || {
        farm.running_on("one").into_iter().find(|job| job["unit"].as_str().unwrap().starts_with("transcode"))
    });
    let _two = farm.worker("two", None);
    let drained = farm.operator(&["node", "drain", "one", "--deadline", "0", "--wait"]);
    assert_eq!((drained["state"].as_str(), drained["drained"].as_bool()), (Some("draining"), Some(true)));
    farm.ends(&first, "published");
    let jobs = farm.jobs(&first);
    let again = jobs.iter().find(|job| job["id"] == held["job_id"]).unwrap();
    assert_eq!((again["node"].as_str(), again["attempt"].as_u64()), (Some("two"), Some(2)), "{again}");
    assert!(jobs.iter().all(|job| job["failures"].as_array().unwrap().is_empty()), "no attempt is spent");

    // A restart of its worker changes nothing about it.
    one.kill();
    std::fs::remove_file(&hold).unwrap();
    let _one = farm.role("worker", "one", Some(&script));
    let second = farm.submit("clip.mp4");
    farm.ends(&second, "published");
    assert!(farm.jobs(&second).iter().all(|job| job["node"] != "one"));
    assert_eq!(farm.node("one", "it is still drained", |_| true)["drained"], true);

    // Resumed, it takes jobs; drained with time, it finishes what it runs.
    assert_eq!(farm.operator(&["node", "resume", "one"])["state"], "active");
    farm.operator(&["node", "drain", "two", "--deadline", "600"]);
    farm.place.write("hold", "");
    let third = farm.submit("clip.mp4");
    let held = wait("a chunk on the first node again", 60, || {
        farm.running_on("one").into_iter().find(|job| job["unit"].as_str().unwrap().starts_with("transcode"))
    });
    farm.operator(&["node", "drain", "one", "--deadline", "600"]);
    std::fs::remove_file(&hold).unwrap();
    farm.node("one", "it has drained", |node| node["drained"] == true);
    let finished = farm.jobs(&third).into_iter().find(|job| job["id"] == held["job_id"]).unwrap();
    let fate = (finished["state"].as_str(), finished["node"].as_str(), finished["attempt"].as_u64());
    assert_eq!(fate, (Some("done"), Some("one"), Some(1)));
    farm.operator(&["node", "resume", "two"]);
    farm.ends(&third, "published");
}
