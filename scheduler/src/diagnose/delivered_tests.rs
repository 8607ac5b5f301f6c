use framemill_schemas::live::Access;

use super::*;

/// Everything as it should be.
pub fn well() -> Delivered {
    Delivered {
        rights: Rights { is_asked: true, refused: None, denied: None, others: 0, unsigned: None },
        edges: asked(vec![CameTo::Playlist(7), CameTo::Playlist(6)]),
    }
}

fn asked(came_to: Vec<CameTo>) -> Edges {
    let seen = came_to.into_iter().enumerate();
    let seen = seen.map(|(index, came_to)| Seen { edge: format!("edge-{index}").parse().unwrap(), came_to });
    Edges::Asked { last: 7, seen: seen.collect(), named: true }
}

fn tenant() -> Tenant {
    "acme".parse().unwrap()
}

#[test]
fn who_may_watch_is_told_with_what_is_in_the_way() {
    use StationState::{Failed, Ok, Warning};
    let own = Access { policy: Some("subscribers".to_owned()), regions: Vec::new() };
    type Change = fn(&mut Rights);
    let cases: [(Change, bool, StationState, &str); 11] = [
        (|_| {}, false, Ok, "viewers of acme may watch it"),
        (|rights| rights.others = 2, false, Ok, "2 other tenants have it in a package"),
        (|_| {}, true, Warning, "nothing asks its own `access`"),
        (|rights| rights.is_asked = false, true, Ok, "no edge that would ask"),
        (|rights| rights.refused = Some((PurgeId::derive("x"), 0)), false, Failed, "until 1970-01-01T00:00:00Z"),
        (
            |rights| rights.denied = Some(Denied::TenantSuspended("top".parse().unwrap())),
            false,
            Failed,
            "top is suspended",
        ),
        (|rights| rights.denied = Some(Denied::Package("/live/acme/news/".to_owned())), false, Failed, "no package"),
        (
            |rights| (rights.denied, rights.others) = (Some(Denied::Package("/live/acme/news/".to_owned())), 1),
            false,
            Warning,
            "one other tenant has it",
        ),
        (|rights| rights.denied = Some(Denied::Early("x".to_owned())), false, Warning, "not be watched yet"),
        (
            |rights| rights.denied = Some(Denied::RegionMissing("x".to_owned())),
            false,
            Ok,
            "in the regions of its packages",
        ),
        (
            |rights| rights.unsigned = Some("the tenant acme has no token key".to_owned()),
            false,
            Warning,
            "no token key",
        ),
    ];
    for (change, has_own, state, words) in cases {
        let mut rights = well().rights;
        change(&mut rights);
        let access = if has_own { own.clone() } else { Access::default() };
        let found = entitlement((&tenant(), "news"), &access, &rights);
        assert!(found.state == state && found.says.contains(words), "{} {rights:?}", found.says);
        assert_eq!(found.mend.is_none(), state == Ok, "what is not well has a mend: {}", found.says);
    }
}

#[test]
fn edges_are_told_apart_by_what_they_serve() {
    use CameTo::{Missing, Odd, Playlist, Refused, Unreachable};
    use StationState::{Failed, Ok, Unknown, Warning};
    for (edges, state, words) in [
        (well().edges, Ok, "2 of 2 edges serve it, up to number 7"),
        // One that was asked a moment later is ahead.
        (asked(vec![Playlist(8)]), Ok, "1 of 1 edges"),
        (
            asked(vec![Playlist(7), Playlist(5)]),
            Warning,
            "1 of 2 edges do not serve it as it is: edge-1 is 2 numbers behind",
        ),
        (asked(vec![Playlist(1)]), Failed, "edge-0 is 6 numbers behind"),
        (asked(vec![Missing, Playlist(7)]), Warning, "edge-0 says that it is not there"),
        (asked(vec![Refused(503, Some("fenced"))]), Failed, "edge-0 answers 503 (fenced)"),
        (asked(vec![Odd]), Failed, "no playlist"),
        (asked(vec![Unreachable("no connection"); 5]), Failed, "and 2 more"),
        (Edges::Unasked("there is no edge"), Unknown, "there is no edge"),
    ] {
        let found = edge_playlist(&edges);
        assert!(found.state == state && found.says.contains(words), "{}", found.says);
        assert_eq!(found.mend.is_some(), matches!(state, Failed | Warning), "{}", found.says);
    }
    let Edges::Asked { last, seen, .. } = asked(vec![Missing]) else { panic!("they were asked") };
    let found = edge_playlist(&Edges::Asked { last, seen, named: false });
    assert!(found.says.contains("one says") && !found.says.contains("edge-0"), "{}", found.says);
}
