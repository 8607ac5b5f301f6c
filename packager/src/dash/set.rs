//! Adaptation sets: what a player may switch between without a seam.

use std::io;

use framemill_media::boxes::TrackKind;
use framemill_schemas::{
    ladder::VideoCodec,
    rate::Ratio,
    spec::{AudioRendition, VideoRendition},
};
use quick_xml::events::BytesText;

use crate::{
    bitrate::peak,
    dash::{Xml, timeline},
    language,
    title::{Title, Track},
};

/// One adaptation set.
pub enum Set<'a> {
    /// The picture renditions of one codec: players do not switch codecs in one set.
    Video(Vec<(&'a VideoRendition, &'a Track)>),
    /// One sound track in the bitrates it was made in.
    Audio(Vec<(&'a AudioRendition, &'a Track)>),
}

/// The sets of the picture, H.264 first.
pub fn video(title: &Title) -> Vec<Set<'_>> {
    VideoCodec::ALL
        .into_iter()
        .map(|codec| title.pictures().filter(|(rendition, _)| rendition.codec == codec).collect::<Vec<_>>())
        .filter(|renditions| !renditions.is_empty())
        .map(Set::Video)
        .collect()
}

/// The sets of the sound, stereo first as in the HLS playlist: renditions that differ in bitrate
/// only share one.
pub fn audio(title: &Title) -> Vec<Set<'_>> {
    let mut sets: Vec<Vec<(&AudioRendition, &Track)>> = Vec::new();
    for (rendition, track) in title.sounds() {
        let same = |(other, _): &(&AudioRendition, &Track)| {
            // Two tracks of one rung are never the same sound, whatever they are called.
            other.rung != rendition.rung
                && (&other.language, &other.label, other.channels)
                    == (&rendition.language, &rendition.label, rendition.channels)
        };
        match sets.iter_mut().find(|set| set.iter().all(same)) {
            Some(set) => set.push((rendition, track)),
            None => sets.push(vec![(rendition, track)]),
        }
    }
    sets.sort_by_key(|set| set.iter().any(|(rendition, _)| rendition.channels != 2));
    sets.into_iter().map(Set::Audio).collect()
}

impl Set<'_> {
    /// Writes it.
    pub fn write(&self, xml: &mut Xml, title: &Title, id: u32, prefix: &str) -> io::Result<()> {
        let tracks = self.tracks();
        // Where renditions disagree on the timeline (validation refuses that), each says its own.
        let aligned = tracks.iter().all(|track| track.is_aligned_with(tracks[0]));
        let mut attributes =
            vec![("id", id.to_string()), ("segmentAlignment", aligned.to_string()), ("startWithSAP", "1".to_owned())];
        attributes.extend(match self {
            Self::Video(renditions) => video_attributes(title.spec.rate, renditions),
            Self::Audio(renditions) => audio_attributes(renditions),
        });
        let attributes = attributes.iter().map(|(name, value)| (*name, value.as_str()));
        xml.create_element("AdaptationSet").with_attributes(attributes).write_inner_content(|xml| {
            if let Self::Audio(renditions) = self {
                describe_audio(xml, title, renditions)?;
            }
            if aligned {
                timeline::write(xml, tracks[0], prefix)?;
            }
            let own = |xml: &mut Xml, track: &Track| timeline::write(xml, track, prefix);
            self.write_representations(xml, title, (!aligned).then_some(own))
        })?;
        Ok(())
    }

    fn tracks(&self) -> Vec<&Track> {
        match self {
            Self::Video(renditions) => renditions.iter().map(|(_, track)| *track).collect(),
            Self::Audio(renditions) => renditions.iter().map(|(_, track)| *track).collect(),
        }
    }

    fn write_representations(
        &self,
        xml: &mut Xml,
        title: &Title,
        own_timeline: Option<impl Fn(&mut Xml, &Track) -> io::Result<()>>,
    ) -> io::Result<()> {
        let target_s = title.target_duration_s();
        let names: Vec<&str> = match self {
            Self::Video(renditions) => renditions.iter().map(|(rendition, _)| rendition.name.as_str()).collect(),
            Self::Audio(renditions) => renditions.iter().map(|(rendition, _)| rendition.name.as_str()).collect(),
        };
        for (name, track) in names.into_iter().zip(self.tracks()) {
            let bandwidth = peak(&track.stretches(), target_s).to_string();
            let own = match track.facts.kind {
                TrackKind::Video { width, height } => {
                    [("width", width.to_string()), ("height", height.to_string())].to_vec()
                }
                TrackKind::Audio { rate, .. } => [("audioSamplingRate", rate.to_string())].to_vec(),
            };
            let element = xml
                .create_element("Representation")
                .with_attributes([("id", name), ("codecs", &track.facts.codecs), ("bandwidth", &bandwidth)])
                .with_attributes(own.iter().map(|(name, value)| (*name, value.as_str())));
            match &own_timeline {
                Some(write) => element.write_inner_content(|xml| write(xml, track))?,
                None => element.write_empty()?,
            };
        }
        Ok(())
    }
}

fn video_attributes(rate: Ratio, renditions: &[(&VideoRendition, &Track)]) -> Vec<(&'static str, String)> {
    let (width, height) = renditions.iter().map(|(_, track)| track.size()).max_by_key(|size| size.1).unwrap_or((1, 1));
    picture_attributes(rate, (width, height))
}

/// Attributes of a set of pictures, the largest of which has this size.
pub(crate) fn picture_attributes(rate: Ratio, (width, height): (u32, u32)) -> Vec<(&'static str, String)> {
    let frame_rate = if rate.den == 1 { rate.num.to_string() } else { rate.to_string() };
    // Pixels are square in every rendition, so the largest one shows the picture's shape best.
    let shape = Ratio::new(width, height).map_or_else(|| "1:1".to_owned(), |r| format!("{}:{}", r.num, r.den));
    vec![
        ("contentType", "video".to_owned()),
        ("mimeType", "video/mp4".to_owned()),
        ("maxWidth", width.to_string()),
        ("maxHeight", height.to_string()),
        ("frameRate", frame_rate),
        ("sar", "1:1".to_owned()),
        ("par", shape),
    ]
}

fn audio_attributes(renditions: &[(&AudioRendition, &Track)]) -> Vec<(&'static str, String)> {
    let language = renditions.first().and_then(|(rendition, _)| rendition.language.as_deref());
    vec![("contentType", "audio".to_owned()), ("mimeType", "audio/mp4".to_owned()), ("lang", language::tag(language))]
}

/// Channels, label and role, in the order of the schema.
fn describe_audio(xml: &mut Xml, title: &Title, renditions: &[(&AudioRendition, &Track)]) -> io::Result<()> {
    let Some((rendition, _)) = renditions.first() else { return Ok(()) };
    write_channels(xml, rendition.channels)?;
    let label: String = label(title, rendition).chars().filter(|c| !c.is_control()).collect();
    xml.create_element("Label").write_text_content(BytesText::new(&label))?;
    xml.create_element("Role")
        .with_attributes([
            ("schemeIdUri", "urn:mpeg:dash:role:2011"),
            ("value", if rendition.default { "main" } else { "alternate" }),
        ])
        .write_empty()?;
    Ok(())
}

/// For 1, 2 and 6 (5.1) channels the ChannelConfiguration (ISO/IEC 23003-3) is the same number.
pub(crate) fn write_channels(xml: &mut Xml, channels: u8) -> io::Result<()> {
    xml.create_element("AudioChannelConfiguration")
        .with_attributes([
            ("schemeIdUri", "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"),
            ("value", channels.to_string().as_str()),
        ])
        .write_empty()?;
    Ok(())
}

/// What a player's menu shows. One track in stereo and in 5.1 is two entries there, and players
/// that tell entries apart by label would show one of them.
fn label(title: &Title, rendition: &AudioRendition) -> String {
    let twin = |other: &AudioRendition| {
        (&other.label, &other.language) == (&rendition.label, &rendition.language)
            && other.channels != rendition.channels
    };
    match rendition.channels {
        1 if title.spec.audio.iter().any(twin) => format!("{} (mono)", rendition.label),
        6 if title.spec.audio.iter().any(twin) => format!("{} (5.1)", rendition.label),
        _ => rendition.label.clone(),
    }
}
