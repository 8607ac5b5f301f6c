//! The order of edges for one viewer. Pure: what is known of them and the viewer give one order.
//!
//! Everything is counted in kilometres: how far an edge is, what its load and its health are worth, and what it is worth
//! not to move a viewer who watches.

use std::cmp::Ordering;

use framemill_schemas::delivery::{EdgeLoad, Place};

use super::board::Known;

/// How long nothing may be heard of an edge, milliseconds: it says something every ten seconds.
pub const SILENT_MS_MAX: i64 = 30_000;
/// Health below which an edge is for those who find no other.
const HEALTH_MIN: u8 = 50;
/// Percent from which an edge takes nobody new where another one does.
const FULL_PERCENT: u8 = 95;
/// Percent up to which load costs nothing.
const LIGHT_PERCENT: u32 = 50;
/// What a point of health is worth.
const HEALTH_KM: u32 = 20;
/// Edges this close to each other share viewers.
const SPREAD_KM: u32 = 100;
/// How much better another edge must be for a viewer to be moved.
const STAY_KM: u32 = 300;
/// How far an edge of the same zone is, where places are not known.
const ZONE_KM: u32 = 50;
/// How far any other is.
const ELSEWHERE_KM: u32 = 1000;

/// Who is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Viewer<'a> {
    /// Where the viewer is, if that is known.
    pub place: Option<Place>,
    /// The viewer's session: the same one always gets the same answer.
    pub session: &'a str,
    /// The edge that serves the viewer now.
    pub present: Option<&'a str>,
}

/// How much of an edge can be counted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It serves.
    Good,
    /// It serves, but is full, or many of its answers fail.
    Poor,
    /// It may not serve, or is not heard of.
    Away,
}

/// An edge in the order.
#[derive(Clone, Copy, Debug)]
pub struct Ranked<'a> {
    /// What is known of it.
    pub known: &'a Known,
    /// Whether it is this one.
    pub is_own: bool,
    /// What to count on.
    pub standing: Standing,
    /// How far it is from the viewer, kilometres.
    pub distance_km: u32,
    /// All of it, in kilometres.
    pub cost_km: u32,
}

/// Takes this edge, where viewers are sent to it, and the others; returns all of them, the best first.
pub fn rank<'a>(own: Option<&'a Known>, others: &'a [Known], viewer: &Viewer<'_>, now_ms: i64) -> Vec<Ranked<'a>> {
    let from = viewer.place.or(own.and_then(|own| own.load.place));
    let zone = own.and_then(|own| own.load.zone.as_ref());
    let mut ranked: Vec<Ranked<'a>> = own
        .map(|own| (own, true))
        .into_iter()
        .chain(others.iter().map(|other| (other, false)))
        .map(|(known, is_own)| {
            let load = &known.load;
            let stays = viewer.present == Some(load.edge.as_str());
            let is_silent = !is_own && now_ms.saturating_sub(known.heard_ms) > SILENT_MS_MAX;
            let distance_km = match (from, load.place) {
                (Some(from), Some(place)) => from.distance_km(&place),
                _ if is_own => 0,
                _ if zone.is_some() && load.zone.as_ref() == zone => ZONE_KM,
                _ => ELSEWHERE_KM,
            };
            let cost_km = distance_km
                + load_km(load.load_percent())
                + u32::from(100 - load.health.min(100)) * HEALTH_KM
                + spread_km(viewer.session, load)
                + if stays { 0 } else { STAY_KM };
            Ranked { known, is_own, standing: standing(load, is_silent, stays), distance_km, cost_km }
        })
        .collect();
    ranked.sort_by(order);
    ranked
}

fn order(a: &Ranked<'_>, b: &Ranked<'_>) -> Ordering {
    let key = |ranked: &Ranked<'_>| (ranked.standing, ranked.cost_km);
    key(a).cmp(&key(b)).then_with(|| a.known.load.edge.cmp(&b.known.load.edge))
}

/// A viewer whom a full edge serves already stays: its cost says who goes.
fn standing(load: &EdgeLoad, is_silent: bool, stays: bool) -> Standing {
    if is_silent || !load.serves {
        Standing::Away
    } else if load.health < HEALTH_MIN || (load.load_percent() >= FULL_PERCENT && !stays) {
        Standing::Poor
    } else {
        Standing::Good
    }
}

/// What load is worth: nothing while there is room, and more with each percent, so that viewers go a few at a time.
fn load_km(percent: u8) -> u32 {
    u32::from(percent).saturating_sub(LIGHT_PERCENT).pow(2)
}

/// A part of the order that differs from session to session and not from request to request.
fn spread_km(session: &str, load: &EdgeLoad) -> u32 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(session.as_bytes()).update(&[0]).update(load.edge.as_str().as_bytes());
    let digest = hasher.finalize();
    let [a, b, c, d, ..] = *digest.as_bytes();
    u32::from_be_bytes([a, b, c, d]) % SPREAD_KM
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::steering::sample::idle;

    type Change = fn(&mut EdgeLoad);

    const OSLO: Place = Place { latitude: 59.91, longitude: 10.75 };
    const PARIS: Place = Place { latitude: 48.86, longitude: 2.35 };
    const SYDNEY: Place = Place { latitude: -33.87, longitude: 151.21 };

    fn known(edge: &str, place: Option<Place>) -> Known {
        Known::new(EdgeLoad { url: format!("https://{edge}.example"), place, ..idle(edge) }, 0).unwrap()
    }

    fn with(mut known: Known, change: impl FnOnce(&mut EdgeLoad)) -> Known {
        change(&mut known.load);
        known
    }

    fn viewer(place: Option<Place>, present: Option<&str>) -> Viewer<'_> {
        Viewer { place, session: "s-1", present }
    }

    fn names<'a>(own: &'a Known, others: &'a [Known], viewer: &Viewer<'_>, now_ms: i64) -> Vec<&'a str> {
        rank(Some(own), others, viewer, now_ms).iter().map(|ranked| ranked.known.load.edge.as_str()).collect()
    }

    #[test]
    fn the_nearest_comes_first_and_what_cannot_be_counted_on_last() {
        let (oslo, paris, sydney) =
            (known("oslo", Some(OSLO)), known("paris", Some(PARIS)), known("sydney", Some(SYDNEY)));
        let others = |change: Change| [with(paris.clone(), change), sydney.clone()];
        let near_paris = viewer(Some(PARIS), None);
        let table: [(&str, Change, [&str; 3]); 6] = [
            ("as it is", |_| {}, ["paris", "oslo", "sydney"]),
            ("a little load", |load| load.connections = 60, ["paris", "oslo", "sydney"]),
            ("much load", |load| load.connections = 94, ["oslo", "paris", "sydney"]),
            ("full", |load| load.connections = 95, ["oslo", "sydney", "paris"]),
            ("sick", |load| load.health = 40, ["oslo", "sydney", "paris"]),
            ("fenced", |load| (load.serves, load.health) = (false, 0), ["oslo", "sydney", "paris"]),
        ];
        for (what, change, order) in table {
            assert_eq!(names(&oslo, &others(change), &near_paris, 0), order, "{what}");
        }
        let fenced = others(|load| load.serves = false);
        let sick = [fenced[0].clone(), with(sydney.clone(), |load| load.health = 10)];
        assert_eq!(names(&oslo, &sick, &near_paris, 0), ["oslo", "sydney", "paris"]);
        // An edge that may not serve leads its own viewers away.
        let own = with(oslo, |load| load.serves = false);
        assert_eq!(names(&own, &others(|_| {}), &viewer(Some(OSLO), None), 0), ["paris", "sydney", "oslo"]);
    }

    #[test]
    fn an_edge_that_is_not_heard_of_is_last_but_for_this_one() {
        let (oslo, paris) = (known("oslo", Some(OSLO)), known("paris", Some(PARIS)));
        let order = |now_ms| names(&oslo, std::slice::from_ref(&paris), &viewer(Some(PARIS), None), now_ms);
        assert_eq!(order(SILENT_MS_MAX), ["paris", "oslo"]);
        assert_eq!(order(SILENT_MS_MAX + 1), ["oslo", "paris"]);
    }

    #[test]
    fn a_viewer_of_an_unknown_place_gets_this_edge_then_its_zone() {
        let zone = Some("room-1".parse().unwrap());
        let own = with(known("own", None), |load| load.zone = zone.clone());
        let others = [known("elsewhere", None), with(known("beside", None), |load| load.zone = zone.clone())];
        assert_eq!(names(&own, &others, &viewer(None, Some("own")), 0), ["own", "beside", "elsewhere"]);
        // This edge's own place stands for the viewer's.
        let (oslo, others) = (known("oslo", Some(OSLO)), [known("paris", Some(PARIS)), known("sydney", Some(SYDNEY))]);
        assert_eq!(names(&oslo, &others, &viewer(None, None), 0), ["oslo", "paris", "sydney"]);
    }

    #[test]
    fn who_watches_is_moved_only_for_something_clearly_better() {
        let (oslo, near) = (known("oslo", Some(OSLO)), known("near", Some(Place { latitude: 61.0, ..OSLO })));
        for (place, present, connections, first) in [
            // 121 km are not enough to be moved for.
            (OSLO, Some("near"), 0, "near"),
            (Place { latitude: 55.0, ..OSLO }, Some("near"), 0, "near"),
            (OSLO, Some("oslo"), 0, "oslo"),
            // As load grows, it is left.
            (OSLO, Some("near"), 75, "oslo"),
        ] {
            let others = [with(near.clone(), |load| load.connections = connections)];
            let viewer = viewer(Some(place), present);
            assert_eq!(names(&oslo, &others, &viewer, 0)[0], first, "{place:?} {present:?} {connections}");
        }
        // Nobody new goes to one that is full; who is there already is not all sent away at once.
        let full = with(near, |load| load.connections = 100);
        assert_eq!(standing(&full.load, false, false), Standing::Poor);
        assert_eq!(standing(&full.load, false, true), Standing::Good);
    }

    #[test]
    fn edges_of_one_town_share_viewers_and_each_viewer_keeps_its_own() {
        let (own, others) = (known("a", Some(OSLO)), [known("b", Some(OSLO)), known("c", Some(OSLO))]);
        let mut first = std::collections::BTreeMap::<String, usize>::new();
        for number in 0..3000 {
            let session = format!("s-{number}");
            let viewer = Viewer { place: Some(OSLO), session: &session, present: None };
            let order = names(&own, &others, &viewer, 0);
            assert_eq!(order, names(&own, &others, &viewer, 0));
            *first.entry(order[0].to_owned()).or_default() += 1;
        }
        assert!(first.values().all(|count| (800..1200).contains(count)), "{first:?}");
    }

    prop_compose! {
        fn any_edge()(
            place in proptest::option::of((-90.0..90.0, -180.0..180.0)),
            serves: bool,
            health in 0u8..=100,
            connections in 0u32..200,
            heard_ms in 0i64..60_000,
        ) -> (Option<(f64, f64)>, bool, u8, u32, i64) { (place, serves, health, connections, heard_ms) }
    }

    proptest! {
        #[test]
        fn every_edge_is_there_once_and_the_order_is_that_of_what_can_be_counted_on(
            edges in proptest::collection::vec(any_edge(), 1..12),
            present in 0usize..12,
        ) {
            let all: Vec<Known> = edges.iter().enumerate().map(|(n, (place, serves, health, connections, heard_ms))| {
                let place = place.map(|(latitude, longitude)| Place { latitude, longitude });
                let mut known = with(known(&format!("edge-{n}"), place), |load| {
                    (load.serves, load.health, load.connections) = (*serves, *health, *connections);
                });
                known.heard_ms = *heard_ms;
                known
            }).collect();
            let present = format!("edge-{present}");
            let viewer = Viewer { place: Some(OSLO), session: "s-1", present: Some(&present) };
            let ranked = rank(Some(&all[0]), &all[1..], &viewer, 45_000);
            prop_assert_eq!(ranked.len(), all.len());
            prop_assert!(ranked.is_sorted_by_key(|ranked| (ranked.standing, ranked.cost_km)));
            // Whatever order they are heard of in.
            let mut others = all[1..].to_vec();
            others.reverse();
            let again = names(&all[0], &others, &viewer, 45_000);
            let order: Vec<_> = ranked.iter().map(|ranked| ranked.known.load.edge.as_str()).collect();
            prop_assert_eq!(order, again);
        }
    }
}
