//! One period of a channel's MPD: a stretch of the chain on one timeline, with the same inits all through.

use std::io;

use framemill_media::boxes::TrackKind;
use framemill_schemas::{
    ladder::AudioRung,
    live::{Timeline, folder_of},
    rate::frames_to_ticks,
};

use super::{
    chain::{Entry, Media},
    facts::Facts,
    hls::init_address,
    master::Face,
    target::Span,
};
use crate::{
    dash::{
        Xml,
        set::{picture_attributes, write_channels},
        timeline::write_timeline,
    },
    decimal::{MICROS, xml_duration},
    language,
};

/// A stretch as it is shown.
pub struct Period<'a> {
    entries: &'a [Entry],
    timeline: &'a Timeline,
    media: &'a Media,
    /// In the order of the timeline.
    faces: Vec<Face<'a>>,
}

/// The stretches of a list of entries. One whose inits could not be read is left out: nobody could play it.
pub fn periods<'a>(entries: &'a [Entry], facts: &'a Facts) -> Vec<Period<'a>> {
    let stretches = entries.chunk_by(|a, b| a.mark.stretch == b.mark.stretch);
    stretches.filter_map(|stretch| Period::of(stretch, facts)).collect()
}

impl<'a> Period<'a> {
    fn of(entries: &'a [Entry], facts: &'a Facts) -> Option<Self> {
        let first = entries.first().filter(|entry| !entry.mark.gap)?;
        let (timeline, media) = (&*first.timeline, first.mark.media.as_ref()?);
        let faces = faces(timeline, media, facts, entries)?;
        Some(Self { entries, timeline, media, faces })
    }

    /// Writes it.
    pub fn write(&self, xml: &mut Xml) -> io::Result<()> {
        let stretch = self.stretch();
        let frame = self.timeline.frames_of(stretch).start;
        let start = frames_to_ticks(frame, self.timeline.clock.rate, MICROS_PER_S);
        let attributes = [("id", stretch.to_string()), ("start", xml_duration(start))];
        let attributes = attributes.iter().map(|(name, value)| (*name, value.as_str()));
        xml.create_element("Period").with_attributes(attributes).write_inner_content(|xml| {
            let (pictures, sounds) = self.faces.split_at(self.timeline.rungs.len());
            self.write_pictures(xml, pictures)?;
            // Sound of so many channels is one set, whose members differ in bitrate only.
            let mut sounds: Vec<_> = self.timeline.audio.iter().zip(sounds).collect();
            sounds.sort_by_key(|(rung, _)| (rung.channels != 2, rung.channels));
            for (n, set) in sounds.chunk_by(|a, b| a.0.channels == b.0.channels).enumerate() {
                self.write_sounds(xml, n + 2, set)?;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// The number its stretch begins with, shown or not.
    fn stretch(&self) -> u64 {
        self.entries.first().map_or(self.timeline.first, |entry| entry.mark.stretch)
    }

    fn write_pictures(&self, xml: &mut Xml, faces: &[Face<'_>]) -> io::Result<()> {
        let size = faces.iter().map(Face::size).max_by_key(|size| size.1).unwrap_or((1, 1));
        let mut attributes = set_attributes(1);
        attributes.extend(picture_attributes(self.timeline.clock.rate, size));
        let attributes = attributes.iter().map(|(name, value)| (*name, value.as_str()));
        xml.create_element("AdaptationSet").with_attributes(attributes).write_inner_content(|xml| {
            self.write_template(xml, self.timeline.timescale, Span::picture)?;
            faces.iter().try_for_each(|face| self.write_representation(xml, face))
        })?;
        Ok(())
    }

    fn write_sounds(&self, xml: &mut Xml, id: usize, set: &[(&AudioRung, &Face<'_>)]) -> io::Result<()> {
        let own =
            [("contentType", "audio".to_owned()), ("mimeType", "audio/mp4".to_owned()), ("lang", language::tag(None))];
        let attributes = [set_attributes(id), own.to_vec()].concat();
        let attributes = attributes.iter().map(|(name, value)| (*name, value.as_str()));
        xml.create_element("AdaptationSet").with_attributes(attributes).write_inner_content(|xml| {
            write_channels(xml, set.first().map_or(2, |(rung, _)| rung.channels))?;
            self.write_template(xml, framemill_schemas::spec::AUDIO_RATE, Span::sound)?;
            set.iter().try_for_each(|(_, face)| self.write_representation(xml, face))
        })?;
        Ok(())
    }

    /// Numbers and times of its segments. Times count from the stretch's first picture, sound's too.
    fn write_template(&self, xml: &mut Xml, timescale: u32, span: fn(&Timeline, u64) -> Span) -> io::Result<()> {
        let frame = self.timeline.frames_of(self.stretch()).start;
        let suffix = if self.media.filler { "-filler" } else { "" };
        let media = format!("{}/$RepresentationID$/$Number${suffix}.m4s", folder_of(self.timeline));
        xml.create_element("SegmentTemplate")
            .with_attributes([
                ("timescale", timescale.to_string().as_str()),
                ("startNumber", &self.entries.first().map_or(0, Entry::number).to_string()),
                ("presentationTimeOffset", &frames_to_ticks(frame, self.timeline.clock.rate, timescale).to_string()),
                ("media", &media),
            ])
            .write_inner_content(|xml| {
                let spans = self.entries.iter().map(|entry| span(self.timeline, entry.number()).ticks);
                write_timeline(xml, spans.map(|ticks| (ticks.start, ticks.end - ticks.start)))
            })?;
        Ok(())
    }

    fn write_representation(&self, xml: &mut Xml, face: &Face<'_>) -> io::Result<()> {
        let bandwidth = face.peak.to_string();
        let own = match face.facts.kind {
            TrackKind::Video { width, height } => vec![("width", width.to_string()), ("height", height.to_string())],
            TrackKind::Audio { rate, .. } => vec![("audioSamplingRate", rate.to_string())],
        };
        let initialization = init_address(self.timeline, self.media, face.name).unwrap_or_default();
        xml.create_element("Representation")
            .with_attributes([("id", face.name), ("codecs", &face.facts.codecs), ("bandwidth", &bandwidth)])
            .with_attributes(own.iter().map(|(name, value)| (*name, value.as_str())))
            .write_inner_content(|xml| {
                xml.create_element("SegmentTemplate")
                    .with_attribute(("initialization", initialization.as_str()))
                    .write_empty()?;
                Ok(())
            })?;
        Ok(())
    }
}

/// Ticks of a period's start: manifests carry six digits.
const MICROS_PER_S: u32 = MICROS as u32;

fn set_attributes(id: usize) -> Vec<(&'static str, String)> {
    vec![("id", id.to_string()), ("segmentAlignment", "true".to_owned()), ("startWithSAP", "1".to_owned())]
}

/// The renditions of a timeline with what their inits say, in its order; `None` where one is not known.
pub fn faces<'a>(timeline: &'a Timeline, media: &Media, facts: &'a Facts, entries: &[Entry]) -> Option<Vec<Face<'a>>> {
    let of = |name: &str| facts.get(&init_address(timeline, media, name)?);
    let pictures = timeline.rungs.iter().enumerate();
    let pictures = pictures.map(|(n, rung)| Some(Face::of_rung(rung, of(&rung.name)?, n, entries)));
    let sounds = timeline.audio.iter().map(|rung| Some(Face::of_sound(rung, of(&rung.name)?)));
    pictures.chain(sounds).collect()
}
