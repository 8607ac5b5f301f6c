//! A whole farm started by `up`, and what a test asks of it.

use std::{io::BufRead, process::Stdio};

use serde_json::Value;

use super::{Place, Running, get};

/// Starts `up` on free ports and waits for the line that says where it listens.
pub fn up(place: &Place, data: &str) -> (Running, String, String) {
    up_with(place, data, &[])
}

/// The same, with settings of its own.
pub fn up_with(place: &Place, data: &str, environment: &[(&str, &str)]) -> (Running, String, String) {
    let folder = place.path().display().to_string();
    let mut command = place.command(&["up", "--json", "--data", data, "--listen", "127.0.0.1:0"]);
    command
        .env("FRAMEMILL_SCHEDULER__FOLDERS", folder)
        .env("FRAMEMILL_SCHEDULER__HEALTH", "127.0.0.1:0")
        .env("FRAMEMILL_EDGE__LISTEN", "127.0.0.1:0")
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::options().create(true).append(true).open(place.path().join("up.log")).unwrap());
    let mut child = command.spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    let running = Running(child);
    let mut line = String::new();
    std::io::BufReader::new(stdout).read_line(&mut line).unwrap();
    let log = || std::fs::read_to_string(place.path().join("up.log")).unwrap_or_default();
    let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}, {}", log()));
    let address = |name: &str| said[name].as_str().unwrap().trim_start_matches("http://").to_owned();
    (running, address("api"), address("health"))
}

/// Whether every part of it can work.
pub fn is_ready(health: &str) -> Option<()> {
    get(health, "/readyz").filter(|(status, _)| *status == 200).map(drop)
}

/// A title as the API shows it.
pub fn asset(api: &str, id: &str) -> Value {
    let (status, body) = get(api, &format!("/v1/assets/{id}")).unwrap();
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// Submits a file and gives the title's id.
pub fn submit(place: &Place, api: &str, file: &str, ladder: &str) -> String {
    let api = format!("http://{api}");
    let ran = place.run(&["submit", file, "--ladder", ladder, "--api", &api]).ends(0);
    ran.stdout.trim().to_owned()
}
