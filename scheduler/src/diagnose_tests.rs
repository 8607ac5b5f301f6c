use framemill_schemas::{
    ids::JobId,
    inventory::Engine,
    live::{
        Access, ChannelView, EncoderView, Flaw, HeadView, LiveSourceKind, RenditionSample, RenditionStatus, SeenFlaw,
        SourceView, Station, StationState,
    },
};
use uuid::Uuid;

use super::{delivered::tests::well as delivered, *};
use crate::{api::channel_view_of, ops::sample};

fn replica(name: &str) -> EncoderView {
    EncoderView {
        job_id: JobId::new(Uuid::nil()),
        node: Some(name.parse().unwrap()),
        engine: Engine::Software,
        state: None,
        placed_ms: 0,
        proven: true,
        encoding: Some(true),
        number: Some(7),
        lag_ms: Some(10),
        speed_milli: Some(1000),
        committed: 1,
        yielded: 1,
        restarts: 0,
        flaws: Vec::new(),
        trouble: None,
    }
}

fn source(name: &str, active: u32) -> SourceView {
    SourceView {
        uri: format!("udp://{name}:5000"),
        kind: LiveSourceKind::Udp,
        secret: None,
        active,
        reachable: Some(true),
        bits_per_s: 4_000_000,
        last_packet_ms: Some(20),
        format: None,
        reconnects: 0,
        lost_packets: 0,
        trouble: None,
    }
}

/// A channel that is well.
fn well() -> (ChannelRecord, ChannelDetail) {
    let mut channel = sample::channel(Wanted::Running);
    channel.state = ChannelState::Live;
    let view: ChannelView = channel_view_of(&channel, 0);
    let shown = ChannelDetail {
        channel: view,
        segment_ms: 4000,
        window_s: 60,
        timeshift_s: 0,
        on_air: Vec::new(),
        head: Some(HeadView { number: 7, what: "segment".to_owned(), node: None, age_ms: 1000 }),
        timeline: Some(1),
        aligned: true,
        sources: vec![source("a", 2), source("b", 0)],
        replicas: vec![replica("x"), replica("y")],
        waiting: None,
        renditions: vec![RenditionStatus { name: "v".to_owned(), number: Some(7), gaps: 0, filler: 0, sample: None }],
        playlist_age_ms: Some(1100),
        playlist_number: Some(7),
        findings: Vec::new(),
        sound_offset_ms: Some(0),
        samples_late: false,
        hls: String::new(),
        dash: String::new(),
    };
    for _ in 0..2 {
        channel.replicas.push(framemill_schemas::live::Replica {
            job: JobId::new(Uuid::nil()),
            node: None,
            apart: Vec::new(),
            placed_ms: 0,
            proven: true,
            engine: Engine::Software,
        });
    }
    (channel, shown)
}

fn state_of(found: &Diagnosis, station: Station) -> StationState {
    found.stations.iter().find(|held| held.station == station).unwrap().state
}

#[test]
fn every_station_is_there_in_order_and_one_that_is_well_says_so() {
    let (channel, shown) = well();
    let found = diagnose(&channel, &shown, &delivered());
    assert!(found.stations.is_sorted_by_key(|held| held.station) && found.stations.len() == 8);
    assert_eq!(found.failed, None);
    for held in &found.stations {
        assert_eq!(held.state, StationState::Ok, "{held:?}");
    }
}

#[test]
fn the_first_station_that_fails_is_the_answer() {
    type Break = fn(&mut ChannelRecord, &mut ChannelDetail);
    let cases: [(&str, Break, Option<Station>); 12] = [
        ("stopped", |channel, _| channel.wanted = Wanted::Stopped, Some(Station::Control)),
        ("nobody places", |channel, _| channel.replicas.clear(), Some(Station::Control)),
        (
            "sources lost",
            |_, shown| {
                shown.sources.iter_mut().for_each(|source| source.reachable = Some(false));
                shown.head = None;
            },
            Some(Station::Source),
        ),
        ("one source lost", |_, shown| shown.sources[0].reachable = Some(false), None),
        ("on the backup", |_, shown| shown.sources.swap(0, 1), None),
        (
            "nobody encodes",
            |_, shown| shown.replicas.iter_mut().for_each(|replica| replica.encoding = Some(false)),
            Some(Station::Encoder),
        ),
        ("nobody takes it", |_, shown| shown.replicas.clear(), Some(Station::Encoder)),
        ("one encodes", |_, shown| shown.replicas[1].encoding = Some(false), None),
        ("nothing committed", |_, shown| shown.head = None, Some(Station::Queue)),
        ("nothing for long", |_, shown| shown.head.as_mut().unwrap().age_ms = 12_001, Some(Station::Queue)),
        ("a gap", |_, shown| shown.head.as_mut().unwrap().what = "gap".to_owned(), Some(Station::Queue)),
        ("old playlists", |_, shown| shown.playlist_age_ms = Some(12_001), Some(Station::OriginPlaylist)),
    ];
    for (what, change, failed) in cases {
        let (mut channel, mut shown) = well();
        change(&mut channel, &mut shown);
        let found = diagnose(&channel, &shown, &delivered());
        assert_eq!(found.failed, failed, "{what}: {found:?}");
        let reached = [Some(Station::Queue), Some(Station::OriginPlaylist)].contains(&failed);
        assert_eq!(
            state_of(&found, Station::Playback) == StationState::Failed,
            reached || shown.head.is_none(),
            "{what}"
        );
    }
}

#[test]
fn what_is_missing_is_a_warning_and_what_nobody_says_is_unknown() {
    use StationState::{Unknown, Warning};
    type Change = fn(&mut ChannelRecord, &mut ChannelDetail);
    let cases: [(Change, Station, StationState); 8] = [
        (|channel, _| channel.state = ChannelState::Degraded, Station::Control, Warning),
        (
            |channel, _| channel.edition.access = Access { policy: Some("s".to_owned()), regions: Vec::new() },
            Station::Entitlement,
            Warning,
        ),
        (|_, shown| shown.sources.iter_mut().for_each(|source| source.reachable = None), Station::Source, Unknown),
        (|_, shown| shown.replicas[0].speed_milli = Some(979), Station::Encoder, Warning),
        (|_, shown| shown.replicas[0].flaws.push(framemill_schemas::live::Flaw::Black), Station::Encoder, Warning),
        (|_, shown| shown.renditions[0].gaps = 1, Station::Queue, Warning),
        (|_, shown| shown.head.as_mut().unwrap().what = "filler".to_owned(), Station::Playback, Warning),
        (|_, shown| shown.playlist_age_ms = None, Station::OriginPlaylist, Unknown),
    ];
    for (change, station, state) in cases {
        let (mut channel, mut shown) = well();
        change(&mut channel, &mut shown);
        let found = diagnose(&channel, &shown, &delivered());
        assert_eq!((state_of(&found, station), found.failed), (state, None), "{found:?}");
    }
}

/// A sample of the picture.
fn sample(fault: Option<&str>, seen: Option<(Flaw, u32)>) -> RenditionSample {
    RenditionSample {
        rendition: "v".to_owned(),
        sound: false,
        number: 7,
        at_ms: 0,
        fault: fault.map(str::to_owned),
        seen: seen.map(|(flaw, samples)| SeenFlaw { flaw, samples }).into_iter().collect(),
        loudness_lufs_centi: None,
        loudest_lufs_centi: None,
    }
}

#[test]
fn what_samples_show_is_the_origins() {
    use StationState::{Failed, Ok, Warning};
    for (given, origin, playback, words) in [
        (sample(None, None), Ok, Ok, "its playlists are"),
        (sample(None, Some((Flaw::Black, 1))), Ok, Ok, "its playlists are"),
        (sample(None, Some((Flaw::Black, 3))), Warning, Warning, "v is black in the last 3 samples"),
        (sample(Some("frame-count"), None), Failed, Warning, "number 7 of v: frame-count"),
        (sample(Some("undecodable"), None), Failed, Warning, "number 7 of v: undecodable"),
    ] {
        let (channel, mut shown) = well();
        shown.renditions[0].sample = Some(given);
        let found = diagnose(&channel, &shown, &delivered());
        let of = |station| state_of(&found, station);
        assert_eq!((of(Station::OriginPlaylist), of(Station::Playback)), (origin, playback), "{found:?}");
        let says = &found.stations.iter().find(|held| held.station == Station::OriginPlaylist).unwrap().says;
        assert!(says.contains(words), "{says}");
        assert_eq!(found.failed, (origin == Failed).then_some(Station::OriginPlaylist));
    }
}

#[test]
fn what_lies_beyond_the_store_reaches_players() {
    use StationState::{Failed, Ok, Unknown, Warning};
    let edge = |came_to: Vec<CameTo>| {
        let seen = came_to.into_iter().map(|came_to| Seen { edge: "edge-1".parse().unwrap(), came_to }).collect();
        Edges::Asked { last: 7, seen, named: true }
    };
    let suspended = crate::delivery::entitle::Denied::TenantSuspended("acme".parse().unwrap());
    for (denied, edges, failed, playback) in [
        (None, edge(vec![CameTo::Playlist(7)]), None, Ok),
        (None, Edges::Unasked("there is no edge"), None, Ok),
        (None, edge(vec![CameTo::Playlist(7), CameTo::Missing]), None, Warning),
        (None, edge(vec![CameTo::Missing]), Some(Station::EdgePlaylist), Failed),
        (Some(suspended), edge(vec![CameTo::Playlist(7)]), Some(Station::Entitlement), Failed),
    ] {
        let (channel, shown) = well();
        let mut found = delivered();
        (found.rights.denied, found.edges) = (denied, edges);
        let found = diagnose(&channel, &shown, &found);
        assert_eq!((found.failed, state_of(&found, Station::Playback)), (failed, playback), "{found:?}");
    }
    // Off air nobody is asked.
    let (mut channel, shown) = well();
    channel.wanted = Wanted::Stopped;
    let found = diagnose(&channel, &shown, &delivered());
    assert_eq!(state_of(&found, Station::EdgePlaylist), Unknown);
}
