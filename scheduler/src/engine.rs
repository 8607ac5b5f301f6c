//! What encodes a title: a GPU or the processor, decided once for each codec when the title is planned,
//! because every encoder writes an init of its own. Pure.

use framemill_schemas::{
    failure::{Class, Failure},
    ladder::{EnginePolicy, Ladder, VideoCodec},
};

/// How long a title waits for a GPU that is not there, where its ladder prefers or requires one, and
/// how long jobs may have waited for one before a title that prefers it is encoded in software,
/// milliseconds.
pub const HARDWARE_WAIT_MS: i64 = 60_000;
/// The same for GPUs that are there and busy: ten minutes.
const BUSY_WAIT_MS: i64 = 600_000;

/// What the fleet offers for one codec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// A worker encodes it on a GPU, and takes jobs.
    pub takes: bool,
    /// A worker would, but takes none now.
    pub known: bool,
    /// How long the oldest job that demands it waits, milliseconds.
    pub oldest_wait_ms: i64,
    /// How long nobody was heard who would, milliseconds; as long as this scheduler has listened where
    /// nobody ever was. One that has just started knows nothing of who is there.
    pub unheard_ms: i64,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The codecs that a GPU encodes; software the rest.
    Planned(Vec<VideoCodec>),
    /// Not yet.
    Wait,
    /// It cannot be made.
    Refused(Failure),
}

/// Decides for a title that waits for `waited_ms` to be planned.
pub fn choose(ladder: &Ladder, offered: impl Fn(VideoCodec) -> Offered, waited_ms: i64) -> Choice {
    if ladder.engine == EnginePolicy::Software {
        return Choice::Planned(Vec::new());
    }
    let mut hardware = Vec::new();
    let used = |codec: &VideoCodec| ladder.video.iter().any(|rung| rung.codec == *codec);
    for codec in VideoCodec::ALL.into_iter().filter(used) {
        let offer = offered(codec);
        match ladder.engine {
            EnginePolicy::RequireHardware if offer.takes => hardware.push(codec),
            EnginePolicy::RequireHardware if waited_ms.min(offer.unheard_ms) < HARDWARE_WAIT_MS => return Choice::Wait,
            EnginePolicy::RequireHardware => return Choice::Refused(missing(&ladder.name, codec)),
            _ if offer.takes && offer.oldest_wait_ms < BUSY_WAIT_MS => hardware.push(codec),
            _ if !offer.takes && offer.known && waited_ms < HARDWARE_WAIT_MS => return Choice::Wait,
            _ => {}
        }
    }
    Choice::Planned(hardware)
}

/// Whether a title that waits for GPUs is planned anew for what there is: its ladder only prefers them, and
/// for `wait_ms` nobody was heard who has one for a codec of `waiting`, whose jobs have waited that long.
pub fn is_deserted(
    ladder: &Ladder,
    waiting: &[VideoCodec],
    offered: impl Fn(VideoCodec) -> Offered,
    wait_ms: i64,
) -> bool {
    let gone = |codec: &VideoCodec| {
        let offer = offered(*codec);
        !offer.known && offer.unheard_ms >= wait_ms
    };
    ladder.engine == EnginePolicy::PreferHardware && waiting.iter().any(gone)
}

fn missing(ladder: &str, codec: VideoCodec) -> Failure {
    let codec = codec.as_str();
    let reason = format!("the ladder {ladder:?} requires a hardware encoder, and no worker encodes {codec} on a GPU");
    Failure::new(Class::Resource, "no-hardware-encoder", reason)
        .mend("use engine: prefer-hardware or software, or add a node with such a GPU")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(engine: &str) -> Ladder {
        let text = format!(
            "name: x\ngop_s: 2\nsegment_s: 4\nengine: {engine}\nvideo:\n\
             \x20 - {{ name: a, codec: h264, height: 360, quality: 23 }}\n\
             \x20 - {{ name: b, codec: av1, height: 360, quality: 30 }}\n"
        );
        Ladder::from_yaml(&text).unwrap()
    }

    #[test]
    fn a_gpu_is_used_where_one_takes_jobs_and_waited_for_where_one_may_come_back() {
        use VideoCodec::{Av1, H264};
        let none = Offered::default();
        let takes = Offered { takes: true, known: true, oldest_wait_ms: 0, unheard_ms: 0 };
        let away = Offered { takes: false, known: true, oldest_wait_ms: 0, unheard_ms: 0 };
        let busy = Offered { takes: true, known: true, oldest_wait_ms: BUSY_WAIT_MS, unheard_ms: 0 };
        let planned = |codecs: &[VideoCodec]| Some(codecs.to_vec());
        for (engine, h264, av1, waited_ms, expected) in [
            ("software", takes, takes, 0, planned(&[])),
            ("prefer-hardware", none, none, 0, planned(&[])),
            ("prefer-hardware", takes, none, 0, planned(&[H264])),
            ("prefer-hardware", takes, takes, 0, planned(&[H264, Av1])),
            ("prefer-hardware", away, none, 0, None),
            ("prefer-hardware", away, none, HARDWARE_WAIT_MS, planned(&[])),
            ("prefer-hardware", busy, takes, 0, planned(&[Av1])),
            ("require-hardware", takes, takes, 0, planned(&[H264, Av1])),
            ("require-hardware", busy, takes, 0, planned(&[H264, Av1])),
            ("require-hardware", takes, none, 0, None),
        ] {
            let offered = |codec| if codec == H264 { h264 } else { av1 };
            let chosen = match choose(&ladder(engine), offered, waited_ms) {
                Choice::Planned(codecs) => Some(codecs),
                Choice::Wait => None,
                Choice::Refused(failure) => panic!("{engine}: {}", failure.reason),
            };
            assert_eq!(chosen, expected, "{engine} {h264:?} {av1:?} {waited_ms}");
        }
        let gone = Offered { unheard_ms: HARDWARE_WAIT_MS, ..none };
        for (engine, waiting, offer, expected) in [
            ("prefer-hardware", &[H264][..], gone, true),
            // This scheduler has only just begun to listen.
            ("prefer-hardware", &[H264], none, false),
            ("prefer-hardware", &[H264], away, false),
            ("prefer-hardware", &[], gone, false),
            ("require-hardware", &[H264], gone, false),
        ] {
            let found = is_deserted(&ladder(engine), waiting, |_| offer, HARDWARE_WAIT_MS);
            assert_eq!(found, expected, "{engine} {offer:?}");
        }
        let waits = choose(&ladder("require-hardware"), |_| away, HARDWARE_WAIT_MS);
        assert_eq!(waits, Choice::Wait, "it was heard a moment ago");
        let refused = choose(&ladder("require-hardware"), |_| gone, HARDWARE_WAIT_MS);
        assert!(matches!(refused, Choice::Refused(failure) if failure.code == "no-hardware-encoder"));
    }
}
