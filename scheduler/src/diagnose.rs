//! Where a channel fails: each station from who may watch to what a player sees, in the order of the
//! signal. Pure: the record, what is heard and what `look` found go in, sentences come out.

mod delivered;
mod look;
mod playlist;

pub use delivered::{CameTo, Delivered, Edges, Rights, Seen};
pub use look::{Sight, look};

use framemill_schemas::live::{
    ChannelDetail, ChannelRecord, ChannelState, Diagnosis, SAMPLES_TO_TELL, Station, StationState, StationView, Wanted,
};

/// Slower than this, thousandths of real time, an encoder falls behind.
pub const SLOW_MILLI: u64 = 980;

/// What is found of one station.
struct Found {
    state: StationState,
    says: String,
    mend: Option<&'static str>,
}

fn found(state: StationState, says: impl Into<String>) -> Found {
    Found { state, says: says.into(), mend: None }
}

impl Found {
    fn mend(self, mend: &'static str) -> Self {
        Self { mend: Some(mend), ..self }
    }
}

/// Looks at every station of a channel.
pub fn diagnose(channel: &ChannelRecord, shown: &ChannelDetail, delivered: &Delivered) -> Diagnosis {
    let mut stations: Vec<StationView> = Vec::new();
    for station in [
        Station::Entitlement,
        Station::Control,
        Station::Source,
        Station::Encoder,
        Station::Queue,
        Station::OriginPlaylist,
        Station::EdgePlaylist,
        Station::Playback,
    ] {
        let found = match station {
            Station::Entitlement => {
                let of = (&channel.tenant, channel.id.as_str());
                delivered::entitlement(of, &channel.edition.access, &delivered.rights)
            }
            Station::Control => control(channel),
            _ if !channel.is_on_air() => found(StationState::Unknown, "not looked at: it is off air"),
            Station::Source => source(shown),
            Station::Encoder => encoder(channel, shown),
            Station::Queue => queue(channel, shown),
            Station::OriginPlaylist => playlist(shown),
            Station::EdgePlaylist => delivered::edge_playlist(&delivered.edges),
            Station::Playback => playback(&stations, shown),
        };
        let Found { state, says, mend } = found;
        stations.push(StationView { station, state, says, mend: mend.map(str::to_owned) });
    }
    Diagnosis {
        channel_id: channel.id.clone(),
        tenant: channel.tenant.clone(),
        state: channel.state,
        failed: stations.iter().find(|found| found.state == StationState::Failed).map(|found| found.station),
        stations,
    }
}

fn control(channel: &ChannelRecord) -> Found {
    use StationState::{Failed, Ok, Warning};
    match channel.wanted {
        Wanted::Stopped => return found(Failed, "it is stopped").mend("start it: framemill channel start"),
        Wanted::Retired => return found(Failed, "it is being removed").mend("apply it again once it is gone"),
        Wanted::Running => {}
    }
    if channel.state == ChannelState::Scheduled {
        let why = channel.why.as_ref();
        let says = why.map_or_else(|| "its schedule keeps it off air".to_owned(), |why| why.reason.clone());
        let over = why.is_some_and(|why| why.code == "schedule-over");
        return if over { found(Warning, says).mend("give it another schedule, or none") } else { found(Ok, says) };
    }
    let (placed, wanted) = (channel.replicas.len(), channel.edition.redundancy);
    let why = channel.why.as_ref().map_or_else(String::new, |why| format!(": {}", why.reason));
    let says = format!("it is {}, with {placed} of {wanted} replicas placed{why}", channel.state.as_str());
    if placed == 0 {
        let mend = "see whether a scheduler runs and NATS answers: framemill doctor";
        return found(Failed, says).mend(mend);
    }
    let whole = matches!(channel.state, ChannelState::Live);
    let found = found(if whole { Ok } else { Warning }, says);
    if placed < wanted as usize { found.mend("give the farm a node more that can encode it") } else { found }
}

fn source(shown: &ChannelDetail) -> Found {
    use StationState::{Failed, Ok, Unknown, Warning};
    let told: Vec<_> = shown.sources.iter().filter(|source| source.reachable.is_some()).collect();
    if told.is_empty() {
        return found(Unknown, "no replica says anything of its sources").mend("look at the encoders");
    }
    let lost: Vec<_> = told.iter().filter(|source| source.reachable == Some(false)).collect();
    let trouble = lost.iter().find_map(|source| source.trouble.as_ref());
    let why = trouble.map_or_else(String::new, |trouble| format!(": {}", trouble.reason));
    if lost.len() == told.len() {
        let mend = "look at whoever sends it, at the way here, and at its address";
        return found(Failed, format!("none of its {} sources comes through{why}", told.len())).mend(mend);
    }
    if let Some(first) = lost.first() {
        let says = format!(
            "{} of {} sources do not come through, the first of them {}{why}",
            lost.len(),
            told.len(),
            first.uri
        );
        return found(Warning, says).mend("look at whoever sends it: the channel runs on another source");
    }
    match shown.sources.iter().find(|source| source.active > 0) {
        None => found(Warning, "its sources come through, and none is encoded yet"),
        Some(active) if shown.sources.first().is_some_and(|first| first.uri != active.uri) => {
            let says = format!("it runs on {}, and will return to the first source", active.uri);
            found(Warning, says)
        }
        Some(active) => found(Ok, format!("{} comes at {} kbit/s", active.uri, active.bits_per_s / 1000)),
    }
}

fn encoder(channel: &ChannelRecord, shown: &ChannelDetail) -> Found {
    use StationState::{Failed, Ok, Unknown, Warning};
    let heard: Vec<_> = shown.replicas.iter().filter(|replica| replica.encoding.is_some()).collect();
    if heard.is_empty() {
        let waits = shown.replicas.iter().any(|replica| replica.node.is_none());
        let mend = "see which nodes take jobs: framemill node ls";
        return if waits || shown.replicas.is_empty() {
            let why = shown.waiting.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            found(Failed, format!("no node runs a replica of it{why}")).mend(mend)
        } else {
            found(Unknown, "nothing is heard of its replicas").mend(mend)
        };
    }
    let encoding = heard.iter().filter(|replica| replica.encoding == Some(true)).count();
    let wanted = channel.edition.redundancy as usize;
    let trouble = shown.replicas.iter().find_map(|replica| replica.trouble.as_ref());
    let why = trouble.map(|trouble| &trouble.reason).or(shown.waiting.as_ref());
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    if encoding == 0 {
        return found(Failed, format!("{} replicas run, and none encodes{why}", heard.len()))
            .mend("look at the source first; then at the worker's log");
    }
    if encoding < wanted {
        return found(Warning, format!("{encoding} of {wanted} replicas encode{why}"));
    }
    if let Some(slow) = heard.iter().find(|replica| replica.speed_milli.is_some_and(|speed| speed < SLOW_MILLI)) {
        let node = slow.node.as_ref().map_or("?", |node| node.as_str());
        return found(Warning, format!("the replica on {node} is slower than real time"))
            .mend("give that node less to do, or the ladder fewer rungs");
    }
    if let Some(flawed) = heard.iter().find(|replica| !replica.flaws.is_empty()) {
        let node = flawed.node.as_ref().map_or("?", |node| node.as_str());
        let flaws: Vec<_> = flawed.flaws.iter().map(|flaw| flaw.as_str()).collect();
        return found(Warning, format!("the replica on {node} sees it {}", flaws.join(", ")));
    }
    found(Ok, format!("{encoding} replicas encode it"))
}

fn queue(channel: &ChannelRecord, shown: &ChannelDetail) -> Found {
    use StationState::{Failed, Ok, Warning};
    let mend = "look at the encoders, and whether NATS and the store answer: framemill doctor";
    let Some(head) = &shown.head else {
        return found(Failed, "no number of it was committed yet").mend(mend);
    };
    let alert_ms = u64::from(channel.edition.observability.alert_after_segment_gap_s) * 1000;
    let says = format!("number {} was committed {} ms ago", head.number, head.age_ms);
    if head.age_ms > alert_ms {
        return found(Failed, format!("{says}, and nothing since")).mend(mend);
    }
    if head.what == "gap" {
        return found(Failed, format!("{says}, as a gap")).mend(mend);
    }
    let gaps = shown.renditions.iter().map(|rendition| rendition.gaps).max().unwrap_or_default();
    if head.what == "filler" {
        return found(Warning, format!("{says}, as filler"));
    }
    if gaps > 0 {
        return found(Warning, format!("{says}; of the last numbers {gaps} are gaps"));
    }
    found(Ok, says)
}

fn playlist(shown: &ChannelDetail) -> Found {
    use StationState::{Failed, Ok, Unknown, Warning};
    let mend = "see whether a packager runs and the store answers: framemill doctor";
    let Some(age_ms) = shown.playlist_age_ms else {
        return found(Unknown, "no packager says how its playlists are").mend(mend);
    };
    let segment_ms = u64::from(shown.segment_ms);
    let number = shown.playlist_number.map_or_else(String::new, |number| format!(", up to number {number}"));
    let says = format!("its playlists are {age_ms} ms old{number}");
    if age_ms > 3 * segment_ms {
        return found(Failed, says).mend(mend);
    }
    if let Some(seen) = samples(shown) {
        return seen;
    }
    if 2 * age_ms > 3 * segment_ms { found(Warning, says) } else { found(Ok, says) }
}

/// What is wrong with what the playlists name, as samples of it show; nothing where nothing is.
fn samples(shown: &ChannelDetail) -> Option<Found> {
    let sampled = || shown.renditions.iter().filter_map(|rendition| rendition.sample.as_ref());
    if let Some((sample, fault)) = sampled().find_map(|sample| Some((sample, sample.fault.as_ref()?))) {
        let says = format!("number {} of {}: {fault}", sample.number, sample.rendition);
        let mend = "the packager's log names the job that made it, framemill channel show its node; drain that where it comes again";
        return Some(found(StationState::Failed, says).mend(mend));
    }
    let lasting = sampled().flat_map(|sample| sample.seen.iter().map(move |seen| (sample, seen)));
    let (sample, seen) = lasting.filter(|(_, seen)| seen.samples >= SAMPLES_TO_TELL).max_by_key(|(_, s)| s.samples)?;
    let says = format!("{} is {} in the last {} samples", sample.rendition, seen.flaw.as_str(), seen.samples);
    Some(found(StationState::Warning, says).mend("look at its source"))
}

/// What follows for a player from what lies between the store and itself.
fn beyond(of: &impl Fn(Station) -> Option<StationState>) -> Option<Found> {
    use StationState::{Failed, Warning};
    if of(Station::Entitlement) == Some(Failed) {
        return Some(found(Failed, "players are let in nowhere").mend("mend the first station that failed"));
    }
    match of(Station::EdgePlaylist) {
        Some(Failed) => {
            Some(found(Failed, "players get nothing new from any edge").mend("mend the first station that failed"))
        }
        Some(Warning) => Some(found(Warning, "players of some edges get nothing new")),
        _ => None,
    }
}

/// What follows for a player from what the stations before it are.
fn playback(before: &[StationView], shown: &ChannelDetail) -> Found {
    use StationState::{Failed, Ok, Unknown, Warning};
    let of = |station| before.iter().find(|found| found.station == station).map(|found| found.state);
    let seen = samples(shown);
    if of(Station::Queue) == Some(Failed) || (of(Station::OriginPlaylist) == Some(Failed) && seen.is_none()) {
        return found(Failed, "players wait for pictures that do not come").mend("mend the first station that failed");
    }
    if shown.head.as_ref().is_some_and(|head| head.what == "filler") {
        return found(Warning, "players show the slate");
    }
    if of(Station::Queue) == Some(Warning) {
        return found(Warning, "players skip what is marked as a gap");
    }
    if let Some(seen) = seen {
        let says =
            if seen.state == Failed { "players may stumble over what cannot be decoded" } else { "players show it" };
        return found(Warning, says);
    }
    if let Some(says) = beyond(&of) {
        return says;
    }
    if of(Station::OriginPlaylist) == Some(Unknown) {
        return found(Unknown, "pictures are there; nobody says whether playlists list them");
    }
    found(Ok, format!("players see it about {} s behind", 4 * u64::from(shown.segment_ms) / 1000))
}

#[cfg(test)]
#[path = "diagnose_tests.rs"]
mod tests;
