//! What is published is decoded and looked at, in another process than the one that encoded it: a real NATS
//! server, a real store, segments of a real encoder, and a packager that samples them.
#![allow(clippy::unwrap_used, dead_code)]

#[path = "support/channel.rs"]
mod channel;
#[path = "support/farm.rs"]
mod farm;
#[path = "support/gate.rs"]
mod gate;

use bytes::{Bytes, BytesMut};
use channel::{FIRST, Studio, WAIT_MAX, encoded, now_ms, timeline};
use framemill_media::boxes::restamp;
use framemill_packager::{LiveConfig, check::code};
use framemill_schemas::{
    finding::Severity,
    ids::JobId,
    live::{Flaw, PlaylistStatus, Timeline, TrackCommit, folder_of, init_key, segment_key},
    spec::AAC_FRAME_SAMPLES,
};
use framemill_storage::Meta;
use futures_util::{Stream, StreamExt};
use tokio::time::timeout;
use uuid::Uuid;

const HOUR_MS: i64 = 3_600_000;
const TONE: &str = "aevalsrc=0.1*sin(2*PI*1000*t)|0.1*sin(2*PI*1000*t):s=48000";

/// An init, and a second of something; of sound, for each count of frames that a number may have.
struct Reel {
    init: Bytes,
    segments: Vec<(u64, Bytes)>,
}

fn picture(source: &str) -> Reel {
    let encode = "-t 1 -c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 25 -b:v 400k -video_track_timescale 90000";
    let (init, segment) = encoded(&format!("-f lavfi -i {source} {encode}"));
    Reel { init, segments: vec![(25, segment)] }
}

fn sound(source: &str) -> Reel {
    let of = |frames| encoded(&format!("-f lavfi -i {source} -frames:a {frames} -c:a aac -ac 2 -b:a 96k"));
    let segments: Vec<(u64, Bytes)> = [46, 47].map(|frames| (frames, of(frames).1)).to_vec();
    Reel { init: of(46).0, segments }
}

/// What a replica puts: picture and sound of a number, at their places on the timeline.
struct Replica<'a> {
    studio: &'a Studio,
    timeline: Timeline,
    next: u64,
}

impl Replica<'_> {
    async fn publish(&mut self, picture: &Reel, sound: &Reel) {
        let number = self.next;
        self.next += 1;
        let sounds = self.timeline.sound_frames(number);
        let sound_ticks = sounds.start * AAC_FRAME_SAMPLES;
        let tracks = vec![
            self.put("90p", picture, 25, self.timeline.picture_ticks(number).start, 'c').await,
            self.put("stereo", sound, sounds.end - sounds.start, sound_ticks, 'd').await,
        ];
        assert!(self.studio.commit_tracks(number, tracks).await);
    }

    async fn put(&self, rendition: &str, reel: &Reel, frames: u64, start_ticks: u64, init: char) -> TrackCommit {
        let (number, folder) = (self.next - 1, self.studio.key(&folder_of(&self.timeline)));
        let init = init.to_string().repeat(16);
        let store = &self.studio.store;
        let _ = store.put_new(&init_key(&folder, rendition, &init), reel.init.clone(), &Meta::default()).await.unwrap();
        let (_, segment) = reel.segments.iter().find(|(held, _)| *held == frames).unwrap();
        let mut bytes = BytesMut::from(&segment[..]);
        restamp(&mut bytes, 1, start_ticks).unwrap();
        let key = segment_key(&folder, rendition, number);
        let put = store.put_new(&key, bytes.freeze(), &Meta::default()).await.unwrap();
        let stored = put.stored();
        let by = JobId::new(Uuid::from_u128(1));
        TrackCommit { init, bytes: stored.bytes, digest: stored.digest.clone(), by }
    }

    /// Publishes a number with each word of the packager, until one is as wanted.
    async fn until(
        &mut self,
        statuses: &mut (impl Stream<Item = PlaylistStatus> + Unpin),
        (picture, sound): (&Reel, &Reel),
        wanted: impl Fn(&PlaylistStatus) -> bool,
    ) -> PlaylistStatus {
        let mut last = None;
        let publishing = async {
            loop {
                self.publish(picture, sound).await;
                let status = statuses.next().await.unwrap();
                last = Some(status.clone());
                if wanted(&status) {
                    return status;
                }
            }
        };
        timeout(WAIT_MAX, publishing).await.unwrap_or_else(|_| panic!("not as wanted: {last:?}"))
    }
}

fn streak(status: &PlaylistStatus, flaw: Flaw) -> u32 {
    status.samples.iter().map(|sample| sample.streak(flaw)).max().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_published_is_decoded_and_what_is_wrong_with_it_is_found() {
    let start_ms = now_ms() + HOUR_MS;
    let studio = Studio::open(start_ms, 0).await;
    let mut statuses = Box::pin(studio.queue.playlists().await.unwrap());
    let _packager = studio.packager_with("packager-1", LiveConfig { sample_every_s: 1 }).await;
    let mut replica = Replica { studio: &studio, timeline: timeline(1, FIRST, start_ms), next: FIRST };
    let (moving, black) = (picture("testsrc2=s=160x90:r=25"), picture("color=c=black:s=160x90:r=25"));
    let (tone, silence) = (sound(TONE), sound("anullsrc=r=48000:cl=stereo"));
    assert_eq!((&moving.init, &tone.init), (&black.init, &silence.init));

    let all = |status: &PlaylistStatus| status.samples.len() == 2;
    let status = replica.until(&mut statuses, (&moving, &tone), all).await;
    assert_eq!((status.sample_every_s, status.sound_offset_ms, status.findings.len()), (1, Some(0), 0), "{status:?}");
    let [seen, heard] = &status.samples[..] else { panic!("two renditions") };
    assert_eq!((seen.rendition.as_str(), heard.rendition.as_str()), ("90p", "stereo"));
    assert!(seen.seen.is_empty() && heard.seen.is_empty() && seen.loudness_lufs_centi.is_none(), "{status:?}");
    // Of a second, the encoder's own frame at its start is a part that counts.
    let loudness = heard.loudness_lufs_centi.unwrap();
    assert!((loudness + 2000).abs() <= 100, "{loudness}");

    let flawed = |status: &PlaylistStatus| streak(status, Flaw::Black) >= 3 && streak(status, Flaw::Silent) >= 3;
    let status = replica.until(&mut statuses, (&black, &silence), flawed).await;
    let codes: Vec<&str> = status.findings.iter().map(|found| found.finding.code.as_str()).collect();
    assert!(codes.contains(&code::BLACK) && codes.contains(&code::SILENT), "{codes:?}");
    assert!(status.findings.iter().all(|found| found.finding.severity == Severity::Warning), "{status:?}");

    // Its boxes are whole, and its pictures are not.
    let mut broken = picture("testsrc2=s=160x90:r=25");
    let mut bytes = BytesMut::from(&broken.segments[0].1[..]);
    let middle = bytes.len() / 2;
    bytes[middle..middle + 300].fill(0xff);
    broken.segments[0].1 = bytes.freeze();
    let refused =
        |status: &PlaylistStatus| status.samples.iter().any(|s| s.fault.as_deref() == Some(code::UNDECODABLE));
    let status = replica.until(&mut statuses, (&broken, &tone), refused).await;
    let found = status.findings.iter().find(|found| found.finding.code == code::UNDECODABLE).unwrap();
    assert!(found.finding.severity == Severity::Error && found.finding.at.starts_with("90p/"), "{found:?}");

    let well = |status: &PlaylistStatus| status.samples.iter().all(|s| s.fault.is_none() && s.seen.is_empty());
    replica.until(&mut statuses, (&moving, &tone), well).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_decoded_where_that_is_not_wanted() {
    let start_ms = now_ms() + HOUR_MS;
    let studio = Studio::open(start_ms, 0).await;
    let mut statuses = Box::pin(studio.queue.playlists().await.unwrap());
    let _packager = studio.packager_with("packager-1", LiveConfig { sample_every_s: 0 }).await;
    let mut replica = Replica { studio: &studio, timeline: timeline(1, FIRST, start_ms), next: FIRST };
    let (moving, tone) = (picture("testsrc2=s=160x90:r=25"), sound(TONE));
    let checked = |status: &PlaylistStatus| status.checked >= 3;
    let status = replica.until(&mut statuses, (&moving, &tone), checked).await;
    assert_eq!((status.sample_every_s, status.samples.len(), status.findings.len()), (0, 0, 0), "{status:?}");
}
