//! Records as versions before wrote them, byte for byte, taken from farms that ran. They must be
//! read for ever; a format that is raised gets new files beside them.
#![allow(clippy::unwrap_used)]

use framemill_schemas::{
    asset::{ASSET_VERSION, AssetRecord, AssetState},
    job::{JOB_VERSION, JobKind, JobRecord, JobState},
    spec::JobOutput,
    wire,
};

fn job(bytes: &[u8]) -> JobRecord {
    wire::decode_up_to(bytes, JOB_VERSION).unwrap()
}

#[test]
fn an_asset_of_format_1_is_read() {
    let asset: AssetRecord = wire::decode_up_to(include_bytes!("formats/asset-1.msgpack"), ASSET_VERSION).unwrap();
    assert_eq!((asset.v, asset.state, asset.generation.number), (1, AssetState::Published, 1));
    assert_eq!((asset.ladder.name.as_str(), asset.generation.random.as_str()), ("tiny", "ddb0b996"));
    let published = asset.published.unwrap();
    assert!(published.master.key.ends_with("/g1-ddb0b996.m3u8") && published.mpd.bytes > 0);
}

#[test]
fn jobs_of_format_1_are_read() {
    type Fits = fn(&JobOutput) -> bool;
    let files: [(&[u8], JobKind, Fits); 5] = [
        (include_bytes!("formats/probe-1.msgpack"), JobKind::Probe, |made| matches!(made, JobOutput::Probe(_))),
        (include_bytes!("formats/audio-1.msgpack"), JobKind::Audio, |made| matches!(made, JobOutput::Parts(_))),
        (include_bytes!("formats/package-1.msgpack"), JobKind::Package, |made| matches!(made, JobOutput::Package(_))),
        (include_bytes!("formats/validate-1.msgpack"), JobKind::Validate, |made| {
            matches!(made, JobOutput::Validation(_))
        }),
        (include_bytes!("formats/transcode-1.msgpack"), JobKind::Transcode, |made| {
            matches!(made, JobOutput::Parts(parts)
                if parts.len() == 3 && parts.iter().all(|part| part.segments.len() == 2))
        }),
    ];
    for (bytes, kind, fits) in files {
        let job = job(bytes);
        assert_eq!((job.v, job.kind(), job.state), (1, kind, JobState::Done));
        assert_eq!((job.attempt, job.spent, job.failures.len()), (1, 0, 0), "{}", job.unit);
        assert!(job.holder.is_some() && job.ended_ms > job.claimed_ms, "{}", job.unit);
        assert!(job.output.as_ref().is_some_and(fits), "{}", job.unit);
        // What this version writes of it, it reads.
        assert_eq!(wire::decode::<JobRecord>(&wire::encode(&job).unwrap()).unwrap(), job);
    }
}
