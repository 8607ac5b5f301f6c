//! One role of a farm as a process of its own.

use std::{path::PathBuf, process::Stdio};

use super::{Place, Running, get, outside, wait_or};

/// Longest wait for a role to be ready.
const READY_S: u64 = 60;

/// A setting of a role.
pub type Variable = (String, String);

/// Where a role on a node writes its log.
pub fn log_path(place: &Place, name: &str, node: &str) -> PathBuf {
    place.path().join(format!("{name}-{node}.log"))
}

/// What a role on a node said so far.
pub fn log(place: &Place, name: &str, node: &str) -> String {
    std::fs::read_to_string(log_path(place, name, node)).unwrap_or_default()
}

/// Starts a role on a node and waits until it is ready. One that is armed with `FAILPOINTS` may be gone
/// before, and is then not waited for.
pub fn start<'a>(
    place: &Place,
    name: &str,
    node: &str,
    environment: impl IntoIterator<Item = &'a Variable>,
) -> Running {
    start_at(place, name, node, &format!("127.0.0.1:{}", outside::free_port()), environment)
}

/// The same, with its health and metrics at an address of the caller's.
pub fn start_at<'a>(
    place: &Place,
    name: &str,
    node: &str,
    health: &str,
    environment: impl IntoIterator<Item = &'a Variable>,
) -> Running {
    let log_file = std::fs::File::options().create(true).append(true).open(log_path(place, name, node)).unwrap();
    let mut command = place.command(&[name]);
    command
        .envs(environment.into_iter().map(|(key, value)| (key, value)))
        .env(format!("FRAMEMILL_{}__HEALTH", name.to_uppercase()), health)
        .env("FRAMEMILL_WORKER__NODE", node)
        .stdout(Stdio::null())
        .stderr(log_file);
    let armed = command.get_envs().any(|(key, _)| key == "FAILPOINTS");
    let mut running = Running(command.spawn().unwrap());
    wait_or(
        &format!("{name} on {node} ready"),
        READY_S,
        || log(place, name, node),
        || {
            let over = armed && running.0.try_wait().unwrap().is_some();
            (over || get(health, "/readyz").is_some_and(|(status, _)| status == 200)).then_some(())
        },
    );
    running
}
