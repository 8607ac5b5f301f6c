//! `run --serve`: the page of the title stays until somebody says that it is enough. And what long
//! commands need is looked for before they begin.

use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
};

use crate::support::{Place, Running, SMALL_LADDER, clip, get, wait};
use nix::sys::signal::Signal;
use serde_json::Value;

#[test]
fn the_page_is_named_beside_the_line_for_scripts() {
    let place = Place::new();
    clip(&place.path().join("clip.mp4"), 2, "128x72");
    place.write("ladder.yaml", SMALL_LADDER);
    let mut command = place.command(&["run", "clip.mp4", "--ladder", "./ladder.yaml", "--json", "--serve"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let mut running = Running(child);
    let said = BufReader::new(stderr).lines().map_while(Result::ok).find(|line| line.contains("watch it at"));
    let said = said.expect("the address of the page");
    let address = said.split("http://").nth(1).unwrap().split(';').next().unwrap();
    let (host, path) = address.split_once('/').unwrap();
    let (status, page) = get(host, &format!("/{path}")).unwrap();
    assert_eq!(status, 200, "{page}");
    running.signal(Signal::SIGINT);
    let mut line = String::new();
    stdout.read_to_string(&mut line).unwrap();
    assert_eq!(wait("its end", 30, || running.0.try_wait().unwrap()).code(), Some(0));
    let line: Value = serde_json::from_str(&line).expect("one document");
    assert_eq!(line["state"], "published");
    assert!(path.ends_with(line["asset"].as_str().unwrap()), "{path}");
}

#[test]
fn a_benchmark_looks_for_its_server_first() {
    let place = Place::new();
    clip(&place.path().join("clip.mp4"), 2, "128x72");
    place.write("ladder.yaml", SMALL_LADDER);
    let missing = place.path().join("none").display().to_string();
    let args = ["loadtest", "bench", "vod", "clip.mp4", "--ladder", "./ladder.yaml"];
    // Found out by the farm's side, after the plain one, it would end with 1.
    place.run_with(&args, &[("FRAMEMILL_NATS__SERVER", &missing)]).ends(2).says("no such nats-server").says("mend");
}
