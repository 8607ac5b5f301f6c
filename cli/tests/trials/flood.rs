//! More submissions than a farm takes: those up to its bound are made, the others are refused with
//! a date to come back.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{
    Place, SMALL_LADDER, clip,
    separate::{Separate, post_asset, tiny_ladder},
    up::{asset, is_ready, up_with},
    wait,
    wrapper::Wrapper,
};
use serde_json::Value;

fn submit(api: &str, file: &str, tenant: &str, key: &str) -> (u16, Option<u64>, Value) {
    let body = serde_json::json!({ "source": file, "tenant": tenant, "ladder": tiny_ladder() });
    post_asset(api, &body, key).expect("an answer")
}

#[test]
fn a_flood_is_taken_up_to_the_bound_and_no_further() {
    const BOUND: usize = 6;
    let place = Place::new();
    let wrapper = Wrapper::new(&place);
    wrapper.tell("hold-encode", "");
    clip(&place.path().join("clip.mp4"), 2, "128x72");
    place.write("ladder.yaml", SMALL_LADDER);
    let file = place.path().canonicalize().unwrap().join("clip.mp4").display().to_string();
    let environment = [
        ("FRAMEMILL_FFMPEG__FFMPEG", wrapper.script.to_str().unwrap()),
        ("FRAMEMILL_SCHEDULER__LIMITS__OPEN_ASSETS", "6"),
        ("FRAMEMILL_SCHEDULER__LIMITS__TENANT_OPEN_ASSETS", "4"),
    ];
    let (_farm, api, health) = up_with(&place, "data", &environment);
    wait("ready", 20, || is_ready(&health));

    // Two tenants, many at once.
    let taken = AtomicUsize::new(0);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let submits: Vec<_> = (0..40)
            .map(|n| {
                let (api, file, taken) = (&api, &file, &taken);
                scope.spawn(move || {
                    let answer = submit(api, file, if n % 4 == 0 { "small" } else { "big" }, &format!("k{n}"));
                    taken.fetch_add(usize::from(answer.0 == 202), Ordering::Relaxed);
                    (n, answer)
                })
            })
            .collect();
        submits.into_iter().map(|submit| submit.join().unwrap()).collect()
    });
    assert_eq!(taken.load(Ordering::Relaxed), BOUND, "{answers:?}");
    let of_big = answers.iter().filter(|(n, (status, ..))| n % 4 != 0 && *status == 202).count();
    assert!(of_big <= 4, "one tenant has {of_big} of the {BOUND} places");
    for (_, (status, again, body)) in &answers {
        if *status == 202 {
            continue;
        }
        assert_eq!((*status, body["type"].as_str()), (429, Some("urn:framemill:problem:full")), "{body}");
        assert!(again.is_some_and(|seconds| seconds > 0), "{again:?}");
        assert!(body["detail"].as_str().unwrap().contains("scheduler.limits."), "{body}");
    }

    // What was accepted is answered again, with the same title.
    let (n, (_, _, first)) = answers.iter().find(|(_, (status, ..))| *status == 202).unwrap();
    let (status, _, again) = submit(&api, &file, if n % 4 == 0 { "small" } else { "big" }, &format!("k{n}"));
    assert_eq!((status, &again["id"]), (202, &first["id"]));
    // The command says it in a sentence, and ends as refused.
    let url = format!("http://{api}");
    let command = ["submit", "clip.mp4", "--ladder", "./ladder.yaml", "--tenant", "third", "--api", &url];
    place.run(&command).ends(5).says("titles in the making").says("submit again");

    wrapper.forget("hold-encode");
    let ids: Vec<_> = answers
        .iter()
        .filter(|(_, (status, ..))| *status == 202)
        .map(|(_, (_, _, body))| body["id"].as_str().unwrap())
        .collect();
    for id in ids {
        let state = wait("the end of what was taken", 180, || {
            let state = asset(&api, id)["state"].as_str().unwrap().to_owned();
            (state != "accepted").then_some(state)
        });
        assert_eq!(state, "published", "{}", asset(&api, id));
    }
    // There is room again, for one that was refused too.
    let (n, _) = answers.iter().find(|(_, (status, ..))| *status == 429).unwrap();
    let (status, _, body) = submit(&api, &file, if n % 4 == 0 { "small" } else { "big" }, &format!("k{n}"));
    assert_eq!(status, 202, "{body}");
}

/// Each scheduler counts what the other let in as soon as its view shows it: the bound may be
/// passed by what is under way at one moment, and by no more.
#[test]
fn two_schedulers_keep_one_bound() {
    let place = Place::new();
    clip(&place.path().join("clip.mp4"), 2, "128x72");
    let file = place.path().canonicalize().unwrap().join("clip.mp4").display().to_string();
    let mut farm = Separate::start(&place);
    // Without a worker nothing ends.
    farm.set("SCHEDULER__LIMITS__OPEN_ASSETS", "5");
    let schedulers = ["a", "b"].map(|node| farm.role(&place, "scheduler", node, None));
    let at_once = 4;
    let mut taken = 0;
    for round in 0..5 {
        let answers: Vec<_> = std::thread::scope(|scope| {
            let submits: Vec<_> = (0..at_once)
                .map(|n| {
                    let (api, file) = (&schedulers[n % 2].api, &file);
                    scope.spawn(move || submit(api, file, "default", &format!("{round}-{n}")).0)
                })
                .collect();
            submits.into_iter().map(|submit| submit.join().unwrap()).collect()
        });
        assert!(answers.iter().all(|status| [202, 429].contains(status)), "{answers:?}");
        taken += answers.iter().filter(|status| **status == 202).count();
    }
    assert!((5..5 + at_once).contains(&taken), "{taken} were taken");
    for (n, scheduler) in schedulers.iter().enumerate() {
        let refused =
            wait("both to know", 20, || Some(submit(&scheduler.api, &file, "default", &format!("last-{n}")).0));
        assert_eq!(refused, 429);
    }
}
