use framemill_schemas::{
    asset::AssetState,
    key::job_key,
    source::Source,
    wire::{RECORD_BYTES_MAX, encode},
};

use super::*;
use crate::{
    archive::{
        resolve::{Known, Span, resolve},
        sample::{FIRST, START_MS, commit, timeline},
    },
    ops::sample,
};

fn asset(numbers: u64) -> AssetRecord {
    let mut known = Known { oldest: FIRST, floor: FIRST, ..Known::default() };
    known.timelines.insert(1, timeline(1, FIRST));
    // Every fortieth is a gap.
    let letter = |number| if (number - FIRST) % 40 == 39 { '-' } else { 's' };
    known.commits = (FIRST..FIRST + numbers).map(|number| (number, commit(1, number, letter(number)))).collect();
    let span = Span { from_ms: START_MS, to_ms: START_MS + numbers as i64 * 4000, closed: false };
    let (cut, (first, last)) = resolve(&known, "live/demo/news", span).unwrap();
    let source = Source::Channel { tenant: "demo".parse().unwrap(), channel: "news".parse().unwrap(), first, last };
    AssetRecord { source, cut: Some(Box::new(cut)), slots: 0, ..sample::asset(AssetState::Accepted) }
}

#[test]
fn every_number_is_copied_once_into_its_place() {
    let asset = asset(100);
    let cut = asset.cut.as_ref().unwrap();
    let plan = plan(&asset, cut);
    assert_eq!((cut.segments(), plan.parts.len()), (98, 4 + 1));
    let mut copied = Vec::new();
    let mut end = 0;
    for (unit, part) in &plan.parts {
        let JobSpec::Archive(spec) = &part.spec else { panic!("{unit} encodes") };
        assert_eq!(part.lane.kind(), JobKind::Package);
        match &*spec.of {
            JobSpec::Transcode(chunk) => {
                assert_eq!((chunk.start_frame, spec.inits.len(), spec.track), (end, 2, 0));
                end = chunk.end_frame;
                let numbers: Vec<_> = spec.stretches.iter().flat_map(|stretch| stretch.numbers()).collect();
                assert_eq!(chunk.segment_numbers().count(), numbers.len(), "{unit}");
                copied.extend(numbers);
            }
            JobSpec::Audio(sound) => {
                assert_eq!((spec.track, spec.inits.len(), &spec.stretches), (2, 1, &cut.stretches));
                assert_eq!(sound.lead_ticks, cut.lead_ticks());
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((end, copied.len()), (9800, 98));
    assert!(copied.is_sorted() && !copied.contains(&(FIRST + 39)));
    let probe = probe(&asset, cut);
    assert_eq!((probe.video.grid.frames, probe.video.height, probe.audio.len()), (9800, 360, 1));
}

#[test]
fn the_longest_span_fits_its_records() {
    let asset = asset(9000);
    let plan = plan(&asset, asset.cut.as_ref().unwrap());
    for part in plan.parts.values() {
        assert!(encode(&part.spec).unwrap().len() < RECORD_BYTES_MAX / 16);
    }
    assert!(encode(&asset).unwrap().len() < RECORD_BYTES_MAX / 16);
}

#[test]
fn titles_that_are_encoded_keep_their_keys() {
    let spec = |lead_ticks| {
        let asset = asset(10);
        let plan = plan(&asset, asset.cut.as_ref().unwrap());
        let JobSpec::Archive(spec) = plan.parts["archive/sound/stereo"].spec.clone() else { panic!() };
        let JobSpec::Audio(sound) = *spec.of else { panic!() };
        JobSpec::Audio(AudioSpec { lead_ticks, ..sound })
    };
    assert_ne!(job_key(&spec(0), 0), job_key(&spec(1), 0));
    let written = serde_json::to_value(spec(0)).unwrap();
    assert_eq!(written["audio"].get("lead_ticks"), None);
}
