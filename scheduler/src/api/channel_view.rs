//! A channel as it is shown: its record, and what is heard of it. Pure.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use framemill_schemas::live::{
    ChannelDetail, ChannelRecord, ChannelView, EncoderView, HeadView, LiveSource, RenditionStatus, Replica,
    ReplicaStatus, SourceStatus, SourceView, channel_folder,
};

use crate::{
    on_air,
    view::{JobSummary, Known, Log, Outcome},
};

/// What a replica said longer ago than this is not shown.
const FRESH: Duration = Duration::from_secs(5);

/// When a channel is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// By this process's monotonic clock.
    pub now: Instant,
    /// Unix milliseconds.
    pub now_ms: i64,
}

/// A channel as it is listed.
pub fn view_of(channel: &ChannelRecord, now_ms: i64) -> ChannelView {
    let proven = channel.replicas.iter().filter(|replica| replica.proven).count();
    ChannelView {
        channel_id: channel.id.clone(),
        tenant: channel.tenant.clone(),
        wanted: channel.wanted,
        state: channel.state,
        why: channel.why.clone(),
        next: on_air::next(channel, now_ms),
        edition: channel.edition.number,
        ladder: channel.edition.ladder.name.clone(),
        redundancy: channel.edition.redundancy,
        proven: u32::try_from(proven).unwrap_or(u32::MAX),
        made_ms: channel.made_ms,
        since_ms: channel.since_ms,
    }
}

/// A channel with all that is known of it at a moment.
pub fn detail(channel: &ChannelRecord, jobs: &[Arc<JobSummary>], known: &Known, at: Moment) -> ChannelDetail {
    let Moment { now, now_ms } = at;
    let heard = |replica: &Replica| {
        let word = known.words.get(&replica.job)?;
        (now.saturating_duration_since(word.at) < FRESH).then_some(&word.status)
    };
    let heard_all: Vec<&ReplicaStatus> = channel.replicas.iter().filter_map(heard).collect();
    let timeline = known.timelines.last();
    let sources = channel.edition.sources.iter().enumerate();
    let replicas = channel.replicas.iter().map(|replica| {
        let job = jobs.iter().find(|job| job.id == replica.job);
        encoder(replica, job.map(|job| &**job), heard(replica))
    });
    let folder = channel_folder(&channel.tenant, &channel.id);
    let playlist = known.playlist.as_ref().map(|(status, _)| status);
    ChannelDetail {
        channel: view_of(channel, now_ms),
        segment_ms: channel.edition.segment_ms,
        window_s: channel.edition.window_s,
        timeshift_s: channel.edition.timeshift_s,
        on_air: channel.on_air.documents(),
        head: head(&known.log, now),
        timeline: timeline.map(|timeline| timeline.id),
        aligned: timeline.is_none_or(|timeline| timeline.owner.is_none()),
        sources: sources.map(|(index, source)| source_view(source, index, &heard_all)).collect(),
        replicas: replicas.collect(),
        waiting: None,
        renditions: timeline
            .map_or_else(Vec::new, |timeline| timeline.renditions().map(|name| rendition(name, known)).collect()),
        playlist_age_ms: playlist_age(known, now),
        playlist_number: playlist.and_then(|status| status.number),
        findings: playlist.map_or_else(Vec::new, |status| status.findings.clone()),
        sound_offset_ms: playlist.and_then(|status| status.sound_offset_ms),
        samples_late: playlist.is_some_and(|status| status.samples_late),
        hls: format!("{folder}/master.m3u8"),
        dash: format!("{folder}/manifest.mpd"),
    }
}

/// How old the playlists are now: as old as they were said to be, and the time since.
fn playlist_age(known: &Known, now: Instant) -> Option<u64> {
    let (status, at) = known.playlist.as_ref()?;
    let since = u64::try_from(now.saturating_duration_since(*at).as_millis()).unwrap_or(u64::MAX);
    Some(status.age_ms?.saturating_add(since))
}

fn head(log: &Log, now: Instant) -> Option<HeadView> {
    let (number, noted) = log.last_key_value()?;
    let age = now.saturating_duration_since(noted.at).as_millis();
    Some(HeadView {
        number: *number,
        what: noted.what.as_str().to_owned(),
        node: noted.by.as_ref().map(|(_, node)| node.clone()),
        age_ms: u64::try_from(age).unwrap_or(u64::MAX),
    })
}

/// A number is committed for all renditions together.
fn rendition(name: &str, known: &Known) -> RenditionStatus {
    let log = &known.log;
    let count = |wanted: Outcome| {
        let found = log.values().filter(|noted| noted.what == wanted).count();
        u32::try_from(found).unwrap_or(u32::MAX)
    };
    let last = log.iter().rfind(|(_, noted)| noted.what != Outcome::Gap);
    let samples = known.playlist.as_ref().map(|(status, _)| &status.samples);
    RenditionStatus {
        name: name.to_owned(),
        number: last.map(|(number, _)| *number),
        gaps: count(Outcome::Gap),
        filler: count(Outcome::Filler),
        sample: samples.and_then(|samples| samples.iter().find(|sample| sample.rendition == name)).cloned(),
    }
}

fn source_view(source: &LiveSource, index: usize, heard: &[&ReplicaStatus]) -> SourceView {
    let told: Vec<&SourceStatus> = heard.iter().filter_map(|status| status.sources.get(index)).collect();
    let best = told.iter().max_by_key(|told| (told.reachable, told.bits_per_s));
    let active = told.iter().filter(|told| told.active).count();
    SourceView {
        uri: source.to_string(),
        kind: source.kind,
        secret: source.secret.clone(),
        active: u32::try_from(active).unwrap_or(u32::MAX),
        reachable: best.map(|told| told.reachable),
        bits_per_s: best.map_or(0, |told| told.bits_per_s),
        last_packet_ms: told.iter().filter_map(|told| told.last_packet_ms).min(),
        format: told.iter().find_map(|told| told.format.clone()),
        reconnects: told.iter().map(|told| told.reconnects).max().unwrap_or_default(),
        lost_packets: told.iter().map(|told| told.lost_packets).max().unwrap_or_default(),
        trouble: best.filter(|told| !told.reachable).and_then(|told| told.trouble.clone()),
    }
}

fn encoder(replica: &Replica, job: Option<&JobSummary>, heard: Option<&ReplicaStatus>) -> EncoderView {
    let node = job.and_then(|job| job.holder.as_ref()).map(|holder| holder.node.clone());
    EncoderView {
        job_id: replica.job,
        node: node.or_else(|| replica.node.clone()),
        engine: replica.engine,
        state: job.map(|job| job.state),
        placed_ms: replica.placed_ms,
        proven: replica.proven,
        encoding: heard.map(|status| status.encoding),
        number: heard.and_then(|status| status.number),
        lag_ms: heard.and_then(|status| status.lag_ms),
        speed_milli: heard.and_then(|status| status.speed_milli),
        committed: heard.map_or(0, |status| status.committed),
        yielded: heard.map_or(0, |status| status.yielded),
        restarts: heard.map_or(0, |status| status.restarts),
        flaws: heard.map_or_else(Vec::new, |status| status.flaws.clone()),
        trouble: heard
            .and_then(|status| status.trouble.clone())
            .or_else(|| job.and_then(|job| job.failures.last().cloned())),
    }
}
