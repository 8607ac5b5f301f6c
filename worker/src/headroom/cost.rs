//! What a job takes of a GPU. Pure; rates are vendor-published, and corrected by what was measured.

use framemill_queue::runner::Ask;
use framemill_schemas::{
    ladder::VideoCodec,
    lane::{Lane, Priority},
    load::Load,
};

use super::{device::Device, learn::Learned};
use crate::machine::models::{pixels_per_s, rate_at};

/// All of a device: shares are counted in millionths, because a codec's rate differs from another's.
pub const WHOLE: u64 = 1_000_000;
/// Part of the published rate that is counted on, percent: measured on test pictures at full clock.
const COUNTED_PERCENT: u64 = 80;
/// How much faster than it is watched a title is encoded where there is room, at most: reading and
/// decoding end there.
const TITLE_SPEED: u64 = 8;
/// Least part of what a title would take that it is started with: less would hold its memory and its
/// sessions for too long.
const TITLE_LEAST: u64 = 4;

/// What a job takes of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Millionths of its encoders.
    pub encoder: u64,
    /// Encode sessions.
    pub sessions: u32,
    /// Memory, MiB.
    pub memory_mib: u64,
}

/// What a job would take: a channel exactly so much, a title as much as there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// At the pace at which it is watched, millionths of the encoders.
    pub one: u64,
    /// The same by what is published, without corrections.
    pub published: u64,
    /// The least it is started with.
    pub least: u64,
    /// The most it can use.
    pub most: u64,
    pub sessions: u32,
    pub memory_mib: u64,
}

/// What a job was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The device.
    pub device: u32,
    /// Its share of it.
    pub cost: Cost,
    /// How much faster than it is watched it may go, thousandths, so that it takes no more than its
    /// share.
    pub pace_milli: u64,
    /// Its share by what is published, without corrections.
    pub published: u64,
}

/// What a job that asks would take of a device; nothing where the device does not encode its codec.
pub(super) fn wish(ask: &Ask, device: &Device, learned: &Learned, ceiling_percent: u32) -> Option<Wish> {
    let codec = ask.lane.codec().filter(|codec| device.codecs.contains(codec))?;
    let published = share_at_sight(ask, codec, device)?;
    let one = (published * learned.permille(codec, &ask.load) / 1000).max(1);
    let sessions = ask.load.sessions.max(1);
    let wish = Wish { one, published, least: one, most: one, sessions, memory_mib: u64::from(ask.load.memory_mib) };
    if ask.lane.priority() == Priority::Live {
        return Some(wish);
    }
    // One session runs on one encoder.
    let reach = WHOLE * u64::from(sessions.min(device.engines)) / u64::from(device.engines.max(1));
    let ceiling = WHOLE * u64::from(ceiling_percent) / 100;
    let most = (one * TITLE_SPEED).min(reach).min(ceiling).max(1);
    Some(Wish { least: (most / TITLE_LEAST).max(one.min(most)), most, ..wish })
}

/// The least that any job of a lane asks for.
pub(super) fn least_of(lane: Lane) -> Ask {
    let load = Load { pixels_per_s: 1, rate_milli: 0, effort: 1, sessions: 1, memory_mib: 1 };
    Ask { lane, load }
}

/// Share of a device that a job takes at the pace at which it is watched, by what is published.
fn share_at_sight(ask: &Ask, codec: VideoCodec, device: &Device) -> Option<u64> {
    let pictures = rate_at(device.generation, codec, ask.load.effort)?;
    let rate = (pixels_per_s(device.engines, pictures) * COUNTED_PERCENT / 100).max(1);
    let share = u128::from(ask.load.pixels_per_s) * u128::from(WHOLE) / u128::from(rate);
    let share = u64::try_from(share).unwrap_or(u64::MAX / WHOLE).min(u64::MAX / WHOLE);
    Some(share.max(1))
}

impl Wish {
    /// What it gets of the encoders that are free, if that is enough.
    pub fn of_free(&self, free: u64) -> Option<Cost> {
        let encoder = self.most.min(free);
        (encoder >= self.least).then_some(Cost { encoder, sessions: self.sessions, memory_mib: self.memory_mib })
    }

    /// The pace that a share of the encoders allows.
    pub fn pace_milli(&self, cost: &Cost) -> u64 {
        (cost.encoder * 1000 / self.one.max(1)).max(1)
    }

    /// A share of a device's encoders, given.
    pub fn grant(&self, device: u32, cost: Cost) -> Grant {
        let published = cost.encoder * self.published / self.one.max(1);
        Grant { device, cost, pace_milli: self.pace_milli(&cost), published }
    }
}

#[cfg(test)]
mod tests {
    use framemill_schemas::{
        lane::{Demand, Size},
        load::Load,
    };

    use super::*;
    use crate::machine::models::Generation;

    fn l4() -> Device {
        Device {
            index: 0,
            engines: 2,
            generation: Generation::Ada,
            codecs: VideoCodec::ALL.to_vec(),
            memory_mib: 24 * 1024,
            sessions: None,
        }
    }

    fn ask(lines: u64, rate: u32, sessions: u32, priority: Priority) -> Ask {
        let lane = Lane::Encode { engine: Demand::Nvenc, codec: VideoCodec::H264, size: Size::Medium, priority };
        let pixels_per_s = lines * lines * 16 / 9 * u64::from(rate);
        Ask { lane, load: Load { pixels_per_s, rate_milli: rate * 1000, effort: 5, sessions, memory_mib: 500 } }
    }

    #[test]
    fn a_channel_takes_what_it_takes_and_a_title_what_there_is() {
        let learned = Learned::default();
        // 1080 lines at 25 pictures: 25 of 2 * 283 * 0.8 pictures.
        let channel = wish(&ask(1080, 25, 1, Priority::Live), &l4(), &learned, 90).unwrap();
        assert_eq!((channel.one, channel.least, channel.most), (55_212, 55_212, 55_212));
        let title = wish(&ask(1080, 25, 1, Priority::Bulk), &l4(), &learned, 90).unwrap();
        assert_eq!((title.one, title.least, title.most), (55_212, 110_424, 441_696));
        // One session never gets more than one of two encoders, and a job never more than the ceiling.
        assert_eq!(wish(&ask(2160, 60, 1, Priority::Bulk), &l4(), &learned, 90).unwrap().most, 500_000);
        assert_eq!(wish(&ask(2160, 60, 5, Priority::Bulk), &l4(), &learned, 90).unwrap().most, 900_000);
        assert_eq!(title.of_free(110_000), None);
        let little = title.of_free(200_000).unwrap();
        assert_eq!((little.encoder, title.pace_milli(&little)), (200_000, 3622));
        assert_eq!(title.of_free(WHOLE).unwrap().encoder, 441_696);
        let turing = Device { codecs: vec![VideoCodec::Hevc], ..l4() };
        assert_eq!(wish(&ask(1080, 25, 1, Priority::Live), &turing, &learned, 90), None);
    }
}
