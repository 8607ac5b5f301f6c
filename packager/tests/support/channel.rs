//! A channel to test with: a real NATS server, the embedded store, and commits as replicas make them.

use std::{
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use framemill_media::{FfmpegConfig, Toolchain};
use framemill_packager::{LiveConfig, PackagerParts};
use framemill_queue::{NatsConfig, Queue, RecordError};
use framemill_schemas::{
    ids::{ChannelId, JobId, Tenant},
    ladder::{AudioCodec, AudioRung, VideoCodec},
    live::{
        COMMIT_VERSION, ChannelRecord, ChannelState, Commit, Committed, LiveClock, SourceFormat, TIMELINES_VERSION,
        Timeline, Timelines, TrackCommit, Wanted, channel_folder, commit_key, folder_of, frame_at_ms, init_key,
        record_key,
    },
    rate::{Ratio, timescale_for},
    spec::{RateControl, RungSpec},
    subject,
};
use framemill_storage::{Meta, Store};
use framemill_telemetry::Shutdown;
use serde_json::json;
use tokio::time::{interval, timeout};
use uuid::Uuid;

use crate::{
    farm::{Killed, connect_store, serve_store, start_nats},
    gate::Gate,
};

/// Longest wait for anything.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// The first number: an index ends right before it.
pub const FIRST: u64 = 60 * 7_000_000;
/// Frames of a segment of one second.
const SEGMENT_FRAMES: u32 = 25;

pub struct Studio {
    pub queue: Queue,
    pub store: Store,
    pub tenant: Tenant,
    pub id: ChannelId,
    nats_url: String,
    store_at: std::net::SocketAddr,
    shutdown: Shutdown,
    _nats: Killed,
    _data: tempfile::TempDir,
}

/// A packager behind doors of its own.
pub struct Packager {
    pub nats: Gate,
    pub store: Gate,
    pub shutdown: Shutdown,
}

impl Drop for Studio {
    fn drop(&mut self) {
        self.shutdown.stop.cancel();
    }
}

impl Drop for Packager {
    fn drop(&mut self) {
        self.shutdown.drain.cancel();
        self.shutdown.stop.cancel();
    }
}

/// Unix milliseconds.
pub fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A timeline that starts at a time.
pub fn timeline(id: u32, first: u64, start_ms: i64) -> Timeline {
    let rate = Ratio::new(25, 1).unwrap();
    let first_frame = frame_at_ms(start_ms, rate);
    let rate_control = RateControl::Average { bitrate_kbps: 400, maxrate_kbps: 600 };
    Timeline {
        id,
        random: format!("0000000{id}"),
        first,
        first_frame,
        edition: 1,
        source: 0,
        origin: framemill_schemas::live::LiveSource::parse("udp://239.0.0.1:5000", false).expect("an address"),
        clock: LiveClock { rate, pts: 0, frame: first_frame },
        owner: None,
        format: SourceFormat {
            codec: "h264".to_owned(),
            pixels: "yuv420p".to_owned(),
            width: 160,
            height: 90,
            rate,
            interlaced: false,
            sound: Some("aac".to_owned()),
        },
        gop_frames: SEGMENT_FRAMES,
        segment_frames: SEGMENT_FRAMES,
        timescale: timescale_for(rate),
        threads: 1,
        codec: VideoCodec::H264,
        nvenc: None,
        rungs: vec![RungSpec {
            name: "90p".to_owned(),
            width: 160,
            height: 90,
            rate_control,
            preset: "ultrafast".to_owned(),
            nvenc: None,
        }],
        audio: vec![AudioRung { name: "stereo".to_owned(), codec: AudioCodec::Aac, channels: 2, bitrate_kbps: 96 }],
        made_ms: start_ms,
    }
}

impl Studio {
    /// A channel on air whose only timeline starts at a time.
    pub async fn open(start_ms: i64, timeshift_s: u32) -> Self {
        let data = tempfile::tempdir().unwrap();
        let shutdown = Shutdown::new();
        let (nats, nats_url) = start_nats(data.path()).await;
        let store_at = serve_store(data.path(), shutdown.stop.clone()).await;
        let store = connect_store(store_at).await;
        let queue = Queue::connect(&NatsConfig { url: nats_url.clone(), ..NatsConfig::default() }).await.unwrap();
        let (tenant, id) = ("demo".parse().unwrap(), "news".parse().unwrap());
        let studio = Self { queue, store, tenant, id, nats_url, store_at, shutdown, _nats: nats, _data: data };
        let all = vec![timeline(1, FIRST, start_ms)];
        studio.put_inits(&all[0]).await;
        let timelines = Timelines { v: TIMELINES_VERSION, all, ..Timelines::default() };
        let key = record_key(&studio.tenant, &studio.id);
        studio.queue.records(subject::TIMELINES_BUCKET).create(&key, &timelines).await.unwrap();
        studio.queue.records(subject::CHANNELS_BUCKET).create(&key, &studio.record(timeshift_s)).await.unwrap();
        studio
    }

    fn record(&self, timeshift_s: u32) -> ChannelRecord {
        let ladder = json!({
            "name": "l", "gop_s": 1.0, "segment_s": 1.0,
            "video": [{"name": "90p", "codec": "h264", "height": 90, "bitrate_kbps": 400, "maxrate_kbps": 600}],
        });
        let edition = json!({
            "number": 1, "sources": [], "ladder": ladder, "redundancy": 2, "segment_ms": 1000, "window_s": 12,
            "timeshift_s": timeshift_s, "return_after_s": 30, "access": {}, "observability": {},
        });
        serde_json::from_value(json!({
            "v": 1, "tenant": self.tenant, "id": self.id, "asset": Uuid::from_u128(7), "edition": edition,
            "wanted": "running", "state": "live", "made_ms": 0, "since_ms": 0,
        }))
        .unwrap()
    }

    /// Changes what is wanted of the channel.
    pub async fn want(&self, wanted: Wanted, state: ChannelState) {
        let records = self.queue.records::<ChannelRecord>(subject::CHANNELS_BUCKET);
        let key = record_key(&self.tenant, &self.id);
        let (record, revision) = records.get(&key).await.unwrap().unwrap();
        records.update(&key, &ChannelRecord { wanted, state, ..record }, revision).await.unwrap();
    }

    pub async fn timelines(&self) -> Option<Timelines> {
        let records = self.queue.records::<Timelines>(subject::TIMELINES_BUCKET);
        records.get(&record_key(&self.tenant, &self.id)).await.unwrap().map(|(timelines, _)| timelines)
    }

    pub async fn log(&self) -> Vec<Commit> {
        let records = self.queue.records::<Commit>(subject::COMMITS_BUCKET);
        let listed = records.list(&commit_key(&self.tenant, &self.id, "*")).await.unwrap();
        listed.into_iter().map(|(_, commit, _)| commit).collect()
    }

    /// Commits a number as a replica does; `false` when it was committed before.
    pub async fn commit(&self, number: u64) -> bool {
        let by = JobId::new(Uuid::from_u128(1));
        let track =
            |init: char| TrackCommit { init: init.to_string().repeat(16), bytes: 50_000, digest: "0".repeat(64), by };
        self.commit_tracks(number, vec![track('a'), track('b')]).await
    }

    /// The same of tracks that are stored.
    pub async fn commit_tracks(&self, number: u64, tracks: Vec<TrackCommit>) -> bool {
        let by = JobId::new(Uuid::from_u128(1));
        let what = Committed::Segment { by, node: "node-1".parse().unwrap(), tracks, flaws: Vec::new() };
        let commit = Commit { v: COMMIT_VERSION, timeline: 1, number, what, at_ms: now_ms() };
        let records = self.queue.records(subject::COMMITS_BUCKET);
        match records.create(&commit_key(&self.tenant, &self.id, number), &commit).await {
            Ok(_) => true,
            Err(RecordError::Exists) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// Starts a packager that reaches NATS and the store through doors.
    pub async fn packager(&self, node: &str) -> Packager {
        self.packager_with(node, LiveConfig::default()).await
    }

    /// The same with settings of its own.
    pub async fn packager_with(&self, node: &str, live: LiveConfig) -> Packager {
        let nats = Gate::before(self.nats_url.trim_start_matches("nats://").parse().unwrap()).await;
        let store = Gate::before(self.store_at).await;
        let shutdown = Shutdown::new();
        let config = FfmpegConfig {
            ffmpeg: std::env::var_os("FRAMEMILL_FFMPEG__FFMPEG").map(Into::into),
            ffprobe: std::env::var_os("FRAMEMILL_FFMPEG__FFPROBE").map(Into::into),
            ..FfmpegConfig::default()
        };
        let url = format!("nats://{}", nats.address);
        let parts = PackagerParts {
            queue: Queue::connect(&NatsConfig { url, ..NatsConfig::default() }).await.unwrap(),
            store: connect_store(store.address).await,
            tools: Toolchain::find(&config).await.unwrap(),
            node: node.parse().unwrap(),
            slots: 1,
            live,
            shutdown: shutdown.clone(),
        };
        tokio::spawn(framemill_packager::run(parts));
        Packager { nats, store, shutdown }
    }

    pub fn key(&self, name: &str) -> String {
        format!("{}/{name}", channel_folder(&self.tenant, &self.id))
    }

    /// An object below the channel's folder as text.
    pub async fn read(&self, name: &str) -> Option<String> {
        let object = self.store.get(&self.key(name)).await.unwrap()?;
        Some(String::from_utf8(object.body.to_vec()).unwrap())
    }

    /// Waits until an object below the channel's folder is as wanted.
    pub async fn read_until(&self, name: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut last = None;
        let mut pace = interval(Duration::from_millis(20));
        let reading = async {
            loop {
                pace.tick().await;
                last = self.read(name).await;
                if let Some(text) = last.clone().filter(|text| wanted(text)) {
                    return text;
                }
            }
        };
        let read = timeout(WAIT_MAX, reading).await;
        read.unwrap_or_else(|_| panic!("{name} is not as wanted: {last:?}"))
    }

    /// Inits as an encoder writes them, under the names that commits give them.
    async fn put_inits(&self, timeline: &Timeline) {
        let folder = self.key(&folder_of(timeline));
        for (rendition, init, encode) in [
            ("90p", 'a', "-f lavfi -i testsrc2=s=160x90:r=25:d=1 -c:v libx264 -preset ultrafast -pix_fmt yuv420p"),
            ("stereo", 'b', "-f lavfi -i sine=f=440:r=48000:d=1 -c:a aac -ac 2"),
        ] {
            let key = init_key(&folder, rendition, &init.to_string().repeat(16));
            self.store.put_new(&key, made(encode), &Meta::default()).await.unwrap();
        }
    }
}

/// The init of what ffmpeg makes.
fn made(encode: &str) -> Bytes {
    encoded(encode).0
}

/// What ffmpeg makes: all before its first fragment, and the rest.
pub fn encoded(encode: &str) -> (Bytes, Bytes) {
    let program = std::env::var_os("FRAMEMILL_FFMPEG__FFMPEG").unwrap_or_else(|| "ffmpeg".into());
    let made = Command::new(program)
        .args("-nostdin -v error".split(' '))
        .args(encode.split(' '))
        .args("-movflags +cmaf+frag_keyframe+empty_moov+default_base_moof -f mp4 pipe:1".split(' '))
        .output()
        .unwrap();
    let fragment = made.stdout.windows(4).position(|bytes| bytes == b"moof").unwrap();
    let made = Bytes::from(made.stdout);
    (made.slice(..fragment - 4), made.slice(fragment - 4..))
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut pace = interval(Duration::from_millis(20));
    let waiting = async {
        loop {
            pace.tick().await;
            if holds().await {
                return;
            }
        }
    };
    timeout(WAIT_MAX, waiting).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}
