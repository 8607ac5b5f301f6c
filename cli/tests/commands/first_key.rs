//! A farm that asks for keys gets its first one past the API.

use crate::support::{Place, Ran, outside, separate::Separate, up::is_ready, wait};
use serde_json::Value;

/// What the API at `url` says to a key.
fn asks(place: &Place, url: &str, key: Option<&str>) -> Ran {
    let mut command = place.command(&["asset", "ls", "--json", "--api", url]);
    if let Some(key) = key {
        command.env("FRAMEMILL_API_KEY", key);
    }
    Ran::of(command.output().unwrap())
}

#[test]
fn of_a_farm_with_roles_apart() {
    let place = Place::new();
    let farm = Separate::start(&place);
    let port = outside::free_port();
    let _scheduler = farm.role(&place, "scheduler", "s", Some(&format!("0.0.0.0:{port}")));
    let url = format!("http://127.0.0.1:{port}");
    asks(&place, &url, None).ends(5).says("FRAMEMILL_API_KEY");

    let environment: Vec<_> = farm.environment().iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let create = ["key", "create", "--direct", "--role", "admin", "--tenant", "acme", "--label", "first", "--json"];
    let created: Value = serde_json::from_str(&place.run_with(&create, &environment).ends(0).stdout).unwrap();
    let key = created["token"].as_str().unwrap();
    assert_eq!((&created["key"]["tenant"], &created["key"]["role"]), (&Value::from("acme"), &Value::from("admin")));
    assert_eq!(asks(&place, &url, Some(key)).ends(0).stdout.trim(), "[]");
    // An admin's key makes the next one by the API.
    let mut next = place.command(&["key", "create", "--tenant", "acme", "--role", "viewer", "--api", &url]);
    Ran::of(next.env("FRAMEMILL_API_KEY", key).output().unwrap()).ends(0);
    place.run_with(&["key", "create", "--direct", "--tenant", "A B"], &environment).ends(2).says("--tenant");
}

#[test]
fn of_a_farm_in_one_process_tree() {
    let place = Place::new();
    place.run(&["key", "create", "--direct", "--data", "data"]).ends(4).says("no farm runs");
    let (api, health) = (outside::free_port(), outside::free_port());
    let mut command = place.command(&["up", "--data", "data", "--listen", &format!("0.0.0.0:{api}")]);
    let health = format!("127.0.0.1:{health}");
    command
        .env("FRAMEMILL_SCHEDULER__HEALTH", &health)
        .stderr(std::fs::File::create(place.path().join("up.log")).unwrap());
    let _farm = crate::support::Running(command.spawn().unwrap());
    wait("ready", 60, || is_ready(&health));
    let url = format!("http://127.0.0.1:{api}");
    asks(&place, &url, None).ends(5);
    let created = place.run(&["key", "create", "--direct", "--data", "data", "--role", "viewer"]).ends(0);
    asks(&place, &url, Some(created.stdout.trim())).ends(0);
}
