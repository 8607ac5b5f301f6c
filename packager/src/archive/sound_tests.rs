use framemill_schemas::{ladder::AudioCodec, rate::FrameGrid, source::Source};
use proptest::prelude::*;

use super::*;
use crate::check::expected::of_sound;

const RATES: [(u32, u32); 6] = [(25, 1), (50, 1), (30_000, 1001), (60_000, 1001), (24_000, 1001), (30, 1)];

/// Stretches of `(first frame, segments)`; numbers lie far apart.
fn sample(rate: (u32, u32), segment_frames: u32, stretches: &[(u64, u64)]) -> (AudioSpec, Vec<Stretch>) {
    let rate = Ratio::new(rate.0, rate.1).unwrap();
    let stretches: Vec<Stretch> = (1..)
        .zip(stretches)
        .map(|(n, &(first_frame, segments))| Stretch {
            timeline: n,
            folder: format!("live/demo/news/t{n}-00000001"),
            first: u64::from(n) * 100_000,
            last: u64::from(n) * 100_000 + segments - 1,
            first_frame,
        })
        .collect();
    let start = samples(stretches[0].first_frame, rate);
    let segments: u64 = stretches.iter().map(Stretch::segments).sum();
    let time_base = Ratio::new(1, 90_000).unwrap();
    let grid = FrameGrid { rate, frames: segments * u64::from(segment_frames), origin_ticks: 0, time_base };
    let spec = AudioSpec {
        source: Source::parse("/x").unwrap(),
        identity: String::new(),
        folder: "f".to_owned(),
        rendition: "stereo".to_owned(),
        stream: 0,
        grid,
        segment_frames,
        codec: AudioCodec::Aac,
        channels: 2,
        bitrate_kbps: 128,
        lead_ticks: start.next_multiple_of(AAC_FRAME_SAMPLES) - start,
    };
    (spec, stretches)
}

/// Every frame of the title as it was counted in the channel.
fn all(plan: &SoundPlan, segments: u64) -> Vec<(usize, u64)> {
    let slots = (0..segments).flat_map(|segment| plan.slots(segment));
    slots
        .map(|slot| {
            let (stretch, number, within) = plan.frame_at(slot);
            let joint = &plan.joints[stretch];
            let start = joint.first_frame + (number - joint.number) * plan.segment_frames;
            (stretch, samples(start, plan.rate).div_ceil(AAC_FRAME_SAMPLES) + within as u64)
        })
        .collect()
}

#[test]
fn one_stretch_is_taken_as_it_is() {
    let (spec, stretches) = sample((25, 1), 96, &[(44_875_000_007, 20)]);
    let plan = SoundPlan::new(&spec, &stretches);
    // A segment of 3.84 s has 180 frames; each is one of the channel.
    for segment in 0..20 {
        let takes = plan.takes(segment);
        assert_eq!(takes.len(), 1, "{takes:?}");
        assert_eq!((takes[0].number, &takes[0].frames), (100_000 + segment, &(0..180).collect::<Vec<_>>()));
    }
    assert!(spec.lead_ticks > 0 && plan.start_ticks(0) == spec.lead_ticks);
}

#[test]
fn joints_drop_or_repeat_one_frame_at_most() {
    // A picture is 1.875 frames of sound. 25 of them end within frame 46, 29 within frame 54; eight pictures later
    // the phase is the same again.
    for (segment_frames, second, taken) in [
        (25, 1_000_000, 47),
        (25, 1_000_003, 47),
        // The stretch behind begins nearer to the next place: frame 46 stands there twice.
        (25, 1_000_005, 48),
        // It begins nearer to the place before: frame 54 is dropped.
        (29, 1_000_000, 54),
        (29, 1_000_003, 55),
    ] {
        let (spec, stretches) = sample((25, 1), segment_frames, &[(0, 1), (second, 1)]);
        let plan = SoundPlan::new(&spec, &stretches);
        let of_first = all(&plan, 2).iter().filter(|(stretch, _)| *stretch == 0).count();
        assert_eq!(of_first, taken, "{segment_frames} {second}");
    }
}

proptest! {
    #[test]
    fn sound_of_any_span_is_what_validation_expects(
        rate in 0..RATES.len(),
        segment_frames in 24_u32..300,
        stretches in prop::collection::vec((0_u64..200_000_000_000, 1_u64..40), 1..6),
    ) {
        let (spec, stretches) = sample(RATES[rate], segment_frames, &stretches);
        let plan = SoundPlan::new(&spec, &stretches);
        let segments: u64 = stretches.iter().map(Stretch::segments).sum();
        let frames = all(&plan, segments);

        // Validation's own rule, from the job's spec alone.
        let expected = of_sound(&spec, frames.len() as u64);
        prop_assert_eq!(expected.len() as u64, segments);
        for (segment, expected) in (0..).zip(expected) {
            let slots = plan.slots(segment);
            prop_assert_eq!(slots.end - slots.start, expected.samples);
            prop_assert_eq!(plan.start_ticks(slots.start), expected.start_ticks);
        }
        // It ends with the picture, to within a frame.
        let end = plan.start_ticks(frames.len() as u64);
        prop_assert!(end.abs_diff(spec.grid.duration_ticks(AUDIO_RATE)) <= AAC_FRAME_SAMPLES);

        for pair in frames.windows(2) {
            if pair[0].0 == pair[1].0 {
                // Within a stretch each frame follows the one before; its last may be there twice, before a joint.
                let joint = &plan.joints[pair[0].0];
                let repeated = pair[0].1 == pair[1].1 && pair[1].1 == joint.first + joint.frames - 1;
                prop_assert!(pair[1].1 == pair[0].1 + 1 || repeated, "{pair:?}");
            } else {
                // A stretch begins with its first frame.
                prop_assert_eq!(pair[1].1, plan.joints[pair[1].0].first);
            }
        }
        let mut title_frame = 0;
        for (n, (joint, stretch)) in plan.joints.iter().zip(&stretches).enumerate() {
            let taken = frames.iter().filter(|(of, _)| *of == n).count() as u64;
            prop_assert!(taken.abs_diff(joint.frames) <= 1, "{taken} of {}", joint.frames);
            // Nothing stands further than half a frame from where it stood beside its pictures.
            let beside = joint.first * AAC_FRAME_SAMPLES - samples(stretch.first_frame, plan.rate);
            let stands = plan.start_ticks(joint.slot) as i64 - samples(title_frame, plan.rate) as i64;
            let off = stands - beside as i64;
            prop_assert!(off.unsigned_abs() <= AAC_FRAME_SAMPLES / 2 && (n > 0 || off == 0), "{off}");
            title_frame += stretch.segments() * u64::from(segment_frames);
        }
    }
}
