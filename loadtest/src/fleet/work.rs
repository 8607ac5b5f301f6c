//! The jobs of a fleet: chunks of mixed ladders and lengths. Pure; the same every time.

use framemill_schemas::{
    ids::{AssetId, Tenant},
    job::JobRecord,
    ladder::VideoCodec,
    lane::{Demand, Lane, Priority, Size},
    load::pixels_per_s,
    rate::{FrameGrid, Ratio},
    source::Source,
    spec::{Decoder, JobSpec, Nvenc, RateControl, RungSpec, TranscodeSpec},
};
use uuid::Uuid;

use super::share_of;

/// A ladder of the mix.
struct Mix {
    codec: VideoCodec,
    /// Lines of its rungs.
    lines: &'static [u32],
    /// Pictures a second.
    rate: u32,
    preset: &'static str,
    /// How many of a hundred jobs.
    percent: usize,
}

const MIXES: [Mix; 5] = [
    Mix { codec: VideoCodec::H264, lines: &[480], rate: 25, preset: "medium", percent: 25 },
    Mix { codec: VideoCodec::H264, lines: &[720, 480, 360], rate: 25, preset: "fast", percent: 30 },
    Mix { codec: VideoCodec::H264, lines: &[1080, 720, 540, 480, 360], rate: 30, preset: "medium", percent: 25 },
    Mix { codec: VideoCodec::Hevc, lines: &[1080, 720, 540], rate: 50, preset: "medium", percent: 15 },
    Mix { codec: VideoCodec::Hevc, lines: &[2160, 1080], rate: 25, preset: "medium", percent: 5 },
];

/// The largest job: a ladder from 2160 lines at fifty pictures a second.
const LARGE: Mix = Mix { codec: VideoCodec::Hevc, lines: &[2160, 1080, 720], rate: 50, preset: "medium", percent: 100 };
/// Name of its unit; how reports find it.
pub(super) const LARGE_UNIT: &str = "large";

/// So many jobs, the sizes well shuffled.
pub(super) fn mixed(count: usize, media_s: u64) -> Vec<JobRecord> {
    (0..count)
        .map(|at| {
            let mix = share_of(at, MIXES.iter().map(|mix| (mix.percent, mix)));
            // From half to all of the longest.
            let seconds = media_s / 2 + (at as u64 * 7919) % (media_s / 2 + 1);
            job("mixed", at, mix, seconds, Priority::Standard)
        })
        .collect()
}

/// So many of the largest.
pub(super) fn large(count: usize, media_s: u64) -> Vec<JobRecord> {
    (0..count).map(|at| job(LARGE_UNIT, at, &LARGE, media_s, Priority::Standard)).collect()
}

fn job(unit: &str, at: usize, mix: &Mix, seconds: u64, priority: Priority) -> JobRecord {
    let rate = Ratio { num: mix.rate, den: 1 };
    let frames = seconds.max(1) * u64::from(mix.rate);
    let rungs: Vec<_> = mix.lines.iter().map(|lines| rung(*lines, mix.preset)).collect();
    let size = Size::of_pixel_rate(pixels_per_s(&rungs, rate));
    let lane = Lane::Encode { engine: Demand::Nvenc, codec: mix.codec, size, priority };
    let spec = TranscodeSpec {
        source: Source::Http("https://media.example.net/x.mp4".to_owned()),
        identity: String::new(),
        folder: "fleet".to_owned(),
        stream: 0,
        grid: FrameGrid { rate, frames, origin_ticks: 0, time_base: Ratio { num: 1, den: 12_800 } },
        start_frame: 0,
        end_frame: frames,
        seek: Vec::new(),
        deinterlace: false,
        gop_frames: mix.rate * 2,
        segment_frames: mix.rate * 4,
        timescale: mix.rate * 1000,
        threads: 1,
        codec: mix.codec,
        nvenc: Some(Nvenc { decoder: Decoder::Gpu }),
        rungs,
    };
    // One asset a job: nothing of it is looked at together.
    let asset = AssetId::new(Uuid::new_v4());
    let unit = format!("{unit}/{at}");
    JobRecord::ready(asset, 1, unit, Tenant::default_tenant(), lane, JobSpec::Transcode(spec), 0)
}

fn rung(lines: u32, preset: &str) -> RungSpec {
    RungSpec {
        name: format!("{lines}p"),
        width: lines * 16 / 9,
        height: lines,
        rate_control: RateControl::Average { bitrate_kbps: lines, maxrate_kbps: lines * 2 },
        preset: preset.to_owned(),
        nvenc: Some(framemill_schemas::nvenc::NvencTuning::default()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_mix_is_what_it_says_in_any_hundred() {
        assert_eq!(MIXES.iter().map(|mix| mix.percent).sum::<usize>(), 100);
        let mut lanes: BTreeMap<String, usize> = BTreeMap::new();
        for job in mixed(200, 60) {
            *lanes.entry(job.lane.to_string()).or_default() += 1;
        }
        let of =
            |part: &str| lanes.iter().filter(|(lane, _)| lane.contains(part)).map(|(_, count)| count).sum::<usize>();
        assert_eq!((of(".h264."), of(".hevc.")), (160, 40));
        assert!(of(".small.") > 0 && of(".medium.") > 0 && of(".large.") > 0, "{lanes:?}");
    }
}
