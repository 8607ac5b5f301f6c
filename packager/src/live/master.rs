//! The multivariant playlist of a channel. Pure; it changes only when what the channel is made of does.

use std::cmp::Reverse;

use framemill_media::boxes::{InitFacts, TrackKind};
use framemill_schemas::{
    ladder::AudioRung,
    live::Timeline,
    spec::{RateControl, RungSpec},
};

use super::{chain::Entry, target::Span};
use crate::{
    bitrate::{Stretch, average, peak},
    decimal::frame_rate,
    hls::{self, Attributes, variant::START_BITS_PER_S_MAX},
    language,
};

const KBIT: u64 = 1000;

/// A rendition as manifests describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Face<'a> {
    /// Its name.
    pub name: &'a str,
    /// What its init says.
    pub facts: &'a InitFacts,
    /// Peak, bits per second: what was asked for, or measured where nothing was.
    pub peak: u64,
    /// Average, bits per second.
    pub average: u64,
}

impl<'a> Face<'a> {
    /// A rung's, as it was asked for; where only its quality was, as these entries show it.
    pub fn of_rung(rung: &'a RungSpec, facts: &'a InitFacts, position: usize, entries: &[Entry]) -> Self {
        let (peak, average) = match rung.rate_control {
            RateControl::Average { bitrate_kbps, maxrate_kbps } => (u64::from(maxrate_kbps), u64::from(bitrate_kbps)),
            RateControl::Quality { maxrate_kbps, .. } => {
                let (peak, average) = measured(position, entries);
                let peak = maxrate_kbps.map_or(peak, |maxrate_kbps| u64::from(maxrate_kbps) * KBIT);
                return Self { name: &rung.name, facts, peak, average: average.min(peak) };
            }
        };
        Self { name: &rung.name, facts, peak: peak * KBIT, average: average * KBIT }
    }

    /// Of sound, as it was asked for.
    pub fn of_sound(rung: &'a AudioRung, facts: &'a InitFacts) -> Self {
        let bits = u64::from(rung.bitrate_kbps) * KBIT;
        Self { name: &rung.name, facts, peak: bits, average: bits }
    }

    /// Width and height; zeros for sound.
    pub fn size(&self) -> (u32, u32) {
        match self.facts.kind {
            TrackKind::Video { width, height } => (width, height),
            TrackKind::Audio { .. } => (0, 0),
        }
    }
}

/// Peak and average of a rendition over the last timeline of the entries. Rounded up to eighths of powers of
/// two, so that they say the same from segment to segment.
fn measured(position: usize, entries: &[Entry]) -> (u64, u64) {
    let timeline = entries.last().map(|entry| entry.mark.timeline);
    let on_it = entries.iter().filter(|entry| Some(entry.mark.timeline) == timeline);
    let stretches: Vec<Stretch> = on_it
        .filter_map(|entry| {
            let bytes = *entry.bytes.get(position)?;
            Some(Stretch { bytes, micros: Span::picture(&entry.timeline, entry.number()).micros() })
        })
        .collect();
    let target_s = crate::bitrate::target_duration_s(stretches.iter().copied());
    (stepped(peak(&stretches, target_s)), stepped(average(&stretches)))
}

fn stepped(bits: u64) -> u64 {
    let step = 1 << bits.max(1).ilog2().saturating_sub(3);
    bits.max(1).div_ceil(step) * step
}

/// Writes the playlist of a timeline's renditions. `faces` are in its order, `folder` stands before the names
/// of the media playlists.
pub fn master(timeline: &Timeline, faces: &[Face<'_>], folder: &str) -> String {
    let (pictures, sounds) = faces.split_at(timeline.rungs.len().min(faces.len()));
    let mut out = format!("#EXTM3U\n#EXT-X-VERSION:{}\n#EXT-X-INDEPENDENT-SEGMENTS\n", hls::VERSION);
    let sounds = stereo_first(timeline, sounds);
    for (rung, face) in &sounds {
        out += &media(rung, face, folder);
    }
    // All variants of the most compatible sound come first.
    let rounds = if sounds.is_empty() { vec![None] } else { sounds.iter().map(|(_, face)| Some(*face)).collect() };
    for sound in rounds {
        for picture in in_order(pictures) {
            out += &stream_inf(timeline, picture, sound, folder);
        }
    }
    out
}

fn stereo_first<'a>(timeline: &'a Timeline, faces: &'a [Face<'a>]) -> Vec<(&'a AudioRung, &'a Face<'a>)> {
    let mut sounds: Vec<_> = timeline.audio.iter().zip(faces).collect();
    sounds.sort_by_key(|(rung, _)| rung.channels != 2);
    sounds
}

/// First the one to start with, then from best to worst.
fn in_order<'a>(pictures: &'a [Face<'a>]) -> Vec<&'a Face<'a>> {
    let mut ordered: Vec<_> = pictures.iter().collect();
    ordered.sort_by_key(|face| Reverse((face.size().1, face.average)));
    let start = ordered.iter().position(|face| face.average <= START_BITS_PER_S_MAX);
    if let Some(start) = start.or(ordered.len().checked_sub(1)) {
        ordered[..=start].rotate_right(1);
    }
    ordered
}

fn media(rung: &AudioRung, face: &Face<'_>, folder: &str) -> String {
    Attributes::of("EXT-X-MEDIA")
        .plain("TYPE", "AUDIO")
        .quoted("GROUP-ID", &group(face))
        .quoted("LANGUAGE", &language::tag(None))
        .quoted("NAME", face.name)
        .plain("DEFAULT", "YES")
        .plain("AUTOSELECT", "YES")
        .quoted("CHANNELS", &rung.channels.to_string())
        .quoted("URI", &format!("{folder}{}", hls::audio_playlist(face.name)))
        .end()
}

fn group(face: &Face<'_>) -> String {
    format!("audio-{}", face.name)
}

fn stream_inf(timeline: &Timeline, picture: &Face<'_>, sound: Option<&Face<'_>>, folder: &str) -> String {
    let codecs: Vec<&str> =
        [Some(picture), sound].into_iter().flatten().map(|face| face.facts.codecs.as_str()).collect();
    let (width, height) = picture.size();
    let sum = |of: fn(&Face<'_>) -> u64| of(picture) + sound.map_or(0, of);
    let mut attributes = Attributes::of("EXT-X-STREAM-INF")
        .plain("BANDWIDTH", sum(|face| face.peak))
        .plain("AVERAGE-BANDWIDTH", sum(|face| face.average))
        .quoted("CODECS", &codecs.join(","))
        .plain("RESOLUTION", format_args!("{width}x{height}"))
        .plain("FRAME-RATE", frame_rate(timeline.clock.rate));
    if let Some(sound) = sound {
        attributes = attributes.quoted("AUDIO", &group(sound));
    }
    format!("{}{folder}{}\n", attributes.end(), hls::video_playlist(picture.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::sample::{FIRST, facts, stage, timeline};

    #[test]
    fn a_channel_says_what_it_is_made_of() {
        let (timeline, facts, stage) = (timeline(1, FIRST), facts(), stage("sss"));
        let mut faces: Vec<_> = timeline
            .rungs
            .iter()
            .enumerate()
            .map(|(n, rung)| Face::of_rung(rung, &facts[n], n, stage.entries()))
            .collect();
        faces.push(Face::of_sound(&timeline.audio[0], &facts[2]));
        assert_eq!(
            master(&timeline, &faces, "timeshift/"),
            "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio-stereo\",LANGUAGE=\"und\",NAME=\"stereo\",DEFAULT=YES,\
             AUTOSELECT=YES,CHANNELS=\"2\",URI=\"timeshift/audio-stereo.m3u8\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1328000,AVERAGE-BANDWIDTH=1128000,CODECS=\"avc1.64001e,mp4a.40.2\",\
             RESOLUTION=640x360,FRAME-RATE=25.000,AUDIO=\"audio-stereo\"\ntimeshift/video-360p.m3u8\n\
             #EXT-X-STREAM-INF:BANDWIDTH=608000,AVERAGE-BANDWIDTH=528000,CODECS=\"avc1.64000d,mp4a.40.2\",\
             RESOLUTION=320x180,FRAME-RATE=25.000,AUDIO=\"audio-stereo\"\ntimeshift/video-180p.m3u8\n"
        );
    }

    #[test]
    fn what_was_asked_for_by_quality_is_measured_in_steps() {
        let (mut timeline, facts, stage) = (timeline(1, FIRST), facts(), stage("sssssss"));
        timeline.rungs[0].rate_control = RateControl::Quality { quality: 23, maxrate_kbps: None };
        let face = Face::of_rung(&timeline.rungs[0], &facts[0], 0, stage.entries());
        // Half a megabyte in four seconds.
        assert_eq!((face.peak, face.average), (1_048_576, 1_048_576));
        for (bits, expected) in [(0, 1), (1, 1), (15, 15), (17, 18), (1_000_000, 1_048_576), (1_048_576, 1_048_576)] {
            assert_eq!(stepped(bits), expected, "{bits}");
        }
    }
}
