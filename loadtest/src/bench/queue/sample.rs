//! Jobs as a planner makes them: a chunk of a feature film, three rungs of H.264.

use framemill_schemas::{
    ids::{AssetId, Tenant},
    job::JobRecord,
    ladder::VideoCodec,
    lane::{Demand, Lane, Priority, Size},
    object::{Generation, generation_folder},
    probe::SeekPoint,
    rate::{FrameGrid, Ratio},
    source::Source,
    spec::{JobSpec, RateControl, RungSpec, TranscodeSpec},
    trace::TraceContext,
};

/// Frames of a chunk: a minute.
const CHUNK_FRAMES: u64 = 1500;
const RATE: Ratio = Ratio { num: 25, den: 1 };

/// Where these jobs wait.
pub const LANE: Lane =
    Lane::Encode { engine: Demand::Any, codec: VideoCodec::H264, size: Size::Small, priority: Priority::Standard };

/// Chunk `index` of an asset, ready, as it is created.
pub fn job(asset: AssetId, index: u64, now_ms: i64) -> JobRecord {
    let tenant = Tenant::default_tenant();
    let unit = format!("transcode/h264/{index:04}");
    let spec = JobSpec::Transcode(chunk(&tenant, asset, index));
    let trace = TraceContext {
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
        tracestate: String::new(),
    };
    JobRecord { trace, ..JobRecord::ready(asset, 1, unit, tenant, LANE, spec, now_ms) }
}

fn chunk(tenant: &Tenant, asset: AssetId, index: u64) -> TranscodeSpec {
    let rung = |name: &str, width, height, bitrate_kbps| RungSpec {
        name: name.to_owned(),
        width,
        height,
        rate_control: RateControl::Average { bitrate_kbps, maxrate_kbps: bitrate_kbps * 6 / 5 },
        preset: "medium".to_owned(),
        nvenc: None,
    };
    let start_frame = index * CHUNK_FRAMES;
    let point = |frame: u64| SeekPoint { frame, seek_us: i64::try_from(frame * 40_000).unwrap_or(i64::MAX) };
    TranscodeSpec {
        source: Source::Http("https://media.example.net/library/2026/11/a-feature-film-of-two-hours.mp4".to_owned()),
        identity: "etag:9b2cf535f27731c974343645a3985328-412".to_owned(),
        folder: generation_folder(tenant, asset, &Generation { number: 1, random: "5f3a9c01".to_owned() }),
        stream: 0,
        grid: FrameGrid {
            rate: RATE,
            frames: 120 * CHUNK_FRAMES,
            origin_ticks: 0,
            time_base: Ratio { num: 1, den: 12_800 },
        },
        start_frame,
        end_frame: start_frame + CHUNK_FRAMES,
        seek: vec![point(start_frame)],
        deinterlace: false,
        gop_frames: 50,
        segment_frames: 100,
        timescale: 25_000,
        threads: 1,
        nvenc: None,
        codec: VideoCodec::H264,
        rungs: vec![rung("720p", 1280, 720, 3000), rung("480p", 854, 480, 1200), rung("360p", 640, 360, 700)],
    }
}
