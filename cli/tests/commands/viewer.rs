//! A viewer in front of a farm in one process tree: from a submitted file to what the edge serves, and back to nothing.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::support::{
    Place, SMALL_LADDER, clip, ffmpeg, get,
    up::{asset, is_ready, submit, up},
    wait,
};

#[test]
fn a_title_is_watched_with_a_token_until_it_is_taken_down() {
    let place = Place::new();
    place.write("ladder.yaml", SMALL_LADDER);
    let file = place.path().join("clip.mp4");
    clip(&file, 4, "128x72");
    let (_farm, api, health) = up(&place, "data");
    wait("ready", 10, || is_ready(&health));
    let url = format!("http://{api}");
    let run = |args: &[&str]| {
        let all: Vec<&str> = args.iter().copied().chain(["--api", &url]).collect();
        place.run(&all)
    };
    let json = |args: &[&str]| -> Value {
        let all: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&run(&all).ends(0).stdout).unwrap()
    };
    let id = submit(&place, &api, file.to_str().unwrap(), "./ladder.yaml");
    run(&["token", "key", "create"]).ends(0);
    wait("published", 60, || (asset(&api, &id)["state"] == "published").then_some(()));
    // The shortest there is: by the time that everything else has been looked at it is nearly to be renewed.
    let short = json(&["token", "issue", "--account", "u2", "--asset", &id, "--address", "127.0.0.1", "--ttl", "30"]);
    let edge = wait("the edge says that it is there", 10, || {
        json(&["edge", "ls"]).as_array()?.first()?["url"]
            .as_str()
            .map(|url| url.trim_start_matches("http://").to_owned())
    });

    let ask = ["token", "issue", "--account", "u1", "--asset", &id, "--address", "127.0.0.1"];
    let issued = json(&ask);
    let token = issued["prefix"].as_str().unwrap().trim_end_matches('/').to_owned();
    let master = format!("/vod/default/{id}/master.m3u8");
    assert_eq!(get(&edge, &master).unwrap().0, 401);
    // The edge hears of the key a moment later than the scheduler makes it.
    let (_, playlist) =
        wait("let in", 10, || get(&edge, &format!("{token}{master}")).filter(|(status, _)| *status == 200));
    assert!(playlist.starts_with("#EXTM3U") && !playlist.contains("/t/"), "{playlist}");
    // Every address in it is relative, so a player that was given one address plays it all.
    let played = Command::new(ffmpeg())
        .args(["-nostdin", "-v", "error", "-xerror", "-i", &format!("http://{edge}{token}{master}")])
        .args(["-f", "null", "-"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));

    let session = issued["session"].as_str().unwrap();
    run(&["token", "revoke", "--session", session]).ends(0);
    let path = format!("{token}{master}");
    let (_, said) = wait("out", 10, || get(&edge, &path).filter(|(status, _)| *status == 403));
    assert!(said.contains("revoked"), "{said}");

    // Whoever asks on is led to the next token, which this farm's own scheduler signed.
    let watched = format!("{}{master}", short["prefix"].as_str().unwrap().trim_end_matches('/'));
    let next = wait("led on", 40, || leads_to(&edge, &watched));
    assert!(next.starts_with("/t/") && next != watched && next.ends_with(&master), "{next}");
    assert_eq!(get(&edge, &next).unwrap().0, 200);

    let issued = json(&ask);
    let path = format!("{}{master}", issued["prefix"].as_str().unwrap().trim_end_matches('/'));
    assert_eq!(get(&edge, &path).unwrap().0, 200);
    run(&["purge", "--tag", &format!("asset:{id}"), "--refuse", "--watch", "--timeout", "20"]).ends(0);
    assert_eq!(get(&edge, &path).unwrap().0, 404);
    let (_, metrics) = get(&health, "/metrics").unwrap();
    assert!(metrics.contains("framemill_edge_denials_total") && !metrics.contains("/t/"), "{metrics}");
    // Neither token is anywhere in what the farm has said.
    let log = std::fs::read_to_string(place.path().join("up.log")).unwrap();
    assert!(!log.contains(next.split('/').nth(2).unwrap()), "{log}");
    assert!(!log.contains(issued["token"].as_str().unwrap()) && !log.contains(token.trim_start_matches("/t/")));
}

/// Where an answer leads to, if it does; it must be one of those that let in.
fn leads_to(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap();
    assert!(["200", "307"].contains(&status), "{answer}");
    let location = answer.lines().find_map(|line| line.strip_prefix("location: "));
    location.map(|location| location.trim().to_owned())
}
