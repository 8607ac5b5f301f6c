//! Ladders: named lists of encode settings, and the checks on them.

use serde::{Deserialize, Serialize};

use crate::{
    field_error::{FieldError, read_strict},
    ids::is_name,
    nvenc::NvencTuning,
};

/// Most video rungs of a ladder: one ffmpeg holds an encoder for each.
pub const VIDEO_RUNGS_MAX: usize = 12;
/// Most audio rungs of a ladder.
pub const AUDIO_RUNGS_MAX: usize = 4;
/// Largest ladder document.
pub const LADDER_BYTES_MAX: usize = 64 * 1024;
const HEIGHT_MIN: u32 = 64;
const HEIGHT_MAX: u32 = 4320;
const KBPS_MAX: u32 = 400_000;

/// A video codec of published renditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum VideoCodec {
    /// H.264 / AVC.
    H264,
    /// H.265 / HEVC, tagged `hvc1`.
    Hevc,
    /// AV1.
    Av1,
}

impl VideoCodec {
    /// All of them, in the order of lanes.
    pub const ALL: [Self; 3] = [Self::H264, Self::Hevc, Self::Av1];

    /// The name in ladders, lanes and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::Hevc => "hevc",
            Self::Av1 => "av1",
        }
    }

    /// Presets this codec's software encoder knows, fastest first.
    pub const fn presets(self) -> &'static [&'static str] {
        match self {
            Self::H264 | Self::Hevc => {
                &["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"]
            }
            Self::Av1 => &["13", "12", "11", "10", "9", "8", "7", "6", "5", "4", "3", "2", "1", "0"],
        }
    }

    /// The preset of a rung that names none.
    pub const fn default_preset(self) -> &'static str {
        match self {
            Self::H264 | Self::Hevc => "medium",
            Self::Av1 => "8",
        }
    }

    /// How much time a preset takes, from 1 (the quickest) to 7: the presets of a GPU's encoder.
    pub fn effort(self, preset: &str) -> u8 {
        /// The effort of each preset, in the order of [`VideoCodec::presets`].
        const WORDS: [u8; 9] = [1, 1, 2, 3, 4, 5, 6, 7, 7];
        const NUMBERS: [u8; 14] = [1, 1, 2, 3, 4, 5, 5, 6, 6, 7, 7, 7, 7, 7];
        let efforts: &[u8] = if self == Self::Av1 { &NUMBERS } else { &WORDS };
        let position = self.presets().iter().position(|known| *known == preset);
        position.and_then(|position| efforts.get(position).copied()).unwrap_or(5)
    }

    /// Largest constant-quality value; smaller is better.
    pub const fn quality_max(self) -> u8 {
        match self {
            Self::H264 | Self::Hevc => 51,
            Self::Av1 => 63,
        }
    }
}

/// An audio codec of published renditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AudioCodec {
    /// AAC-LC.
    Aac,
}

/// What may encode a ladder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EnginePolicy {
    /// Only a hardware encoder.
    RequireHardware,
    /// A hardware encoder where the fleet has one, else software.
    #[default]
    PreferHardware,
    /// Only software.
    Software,
}

/// One encode setting for pictures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VideoRung {
    /// Name of the rendition; a folder in the store.
    pub name: String,
    /// Codec.
    pub codec: VideoCodec,
    /// Picture lines, even; the width follows from the source's shape.
    pub height: u32,
    /// Average bitrate in kbit/s under a buffer model; exclusive with `quality`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bitrate_kbps: Option<u32>,
    /// Peak bitrate in kbit/s over one second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maxrate_kbps: Option<u32>,
    /// Constant quality (0 is best), capped by `maxrate_kbps` where given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<u8>,
    /// Encoder preset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// How an NVIDIA GPU encodes it, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nvenc: Option<NvencTuning>,
}

impl VideoRung {
    /// The preset, named or the codec's default.
    pub fn preset(&self) -> &str {
        self.preset.as_deref().unwrap_or(self.codec.default_preset())
    }
}

/// One encode setting for sound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AudioRung {
    /// Name of the rendition; a folder in the store.
    pub name: String,
    /// Codec.
    pub codec: AudioCodec,
    /// Channels: 1 or 2, or 6 for 5.1.
    pub channels: u8,
    /// Bitrate in kbit/s.
    pub bitrate_kbps: u32,
}

/// A named list of rungs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Ladder {
    /// Its name.
    pub name: String,
    /// Distance of keyframes, in milliseconds in records; written in seconds in documents and
    /// rounded to whole frames on each source's grid.
    #[serde(with = "seconds")]
    #[schema(value_type = f64)]
    pub gop_s: u32,
    /// Length of a segment, a whole number of groups of pictures; written in seconds.
    #[serde(with = "seconds")]
    #[schema(value_type = f64)]
    pub segment_s: u32,
    /// Picture settings, at least one.
    pub video: Vec<VideoRung>,
    /// Sound settings; none drops the sound.
    #[serde(default)]
    pub audio: Vec<AudioRung>,
    /// What may encode it.
    #[serde(default)]
    pub engine: EnginePolicy,
    /// Whether rungs above the source are kept.
    #[serde(default)]
    pub upscale: bool,
}

/// Seconds in documents, milliseconds in memory: the only place where a user's decimal becomes
/// an integer.
mod seconds {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    const SECONDS_MAX: f64 = 60.0;

    pub fn serialize<S: Serializer>(millis: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(*millis) / 1000.0)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        if !(0.1..=SECONDS_MAX).contains(&seconds) {
            return Err(D::Error::custom(format!("{seconds} is not between 0.1 and {SECONDS_MAX} seconds")));
        }
        // In range, so the cast cannot truncate.
        Ok((seconds * 1000.0).round() as u32)
    }
}

impl Ladder {
    /// Reads and checks a YAML (or JSON) document.
    pub fn from_yaml(text: &str) -> Result<Self, Vec<FieldError>> {
        if text.len() > LADDER_BYTES_MAX {
            return Err(vec![FieldError::new(
                "",
                format!("the ladder has {} bytes", text.len()),
                format!("keep it under {LADDER_BYTES_MAX}"),
            )]);
        }
        let value: serde_json::Value = serde_saphyr::from_str(text)
            .map_err(|error| vec![FieldError::new("", error.to_string(), "write valid YAML")])?;
        Self::from_value(value)
    }

    /// Reads and checks a document already parsed.
    pub fn from_value(value: serde_json::Value) -> Result<Self, Vec<FieldError>> {
        let ladder: Self = read_strict(value)?;
        let errors = ladder.check();
        if errors.is_empty() { Ok(ladder) } else { Err(errors) }
    }

    /// Everything that is wrong with it; pointers are relative to the ladder.
    pub fn check(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if !is_name(&self.name) {
            errors.push(FieldError::new("/name", format!("{:?} is not a name", self.name), NAME_MEND));
        }
        if self.gop_s == 0 || !self.segment_s.is_multiple_of(self.gop_s) {
            errors.push(FieldError::new(
                "/segment_s",
                format!("{} ms is not a whole number of {} ms groups of pictures", self.segment_s, self.gop_s),
                "make segment_s a multiple of gop_s",
            ));
        }
        check_count(&mut errors, "/video", self.video.len(), 1, VIDEO_RUNGS_MAX);
        check_count(&mut errors, "/audio", self.audio.len(), 0, AUDIO_RUNGS_MAX);
        self.check_names(&mut errors);
        for (index, rung) in self.video.iter().enumerate() {
            rung.check(&format!("/video/{index}"), &mut errors);
        }
        for (index, rung) in self.audio.iter().enumerate() {
            rung.check(&format!("/audio/{index}"), &mut errors);
        }
        errors
    }

    fn check_names(&self, errors: &mut Vec<FieldError>) {
        let video = self.video.iter().enumerate().map(|(i, rung)| (format!("/video/{i}/name"), &rung.name));
        let audio = self.audio.iter().enumerate().map(|(i, rung)| (format!("/audio/{i}/name"), &rung.name));
        let mut seen = std::collections::BTreeMap::new();
        for (pointer, name) in video.chain(audio) {
            if !is_name(name) {
                errors.push(FieldError::new(pointer, format!("{name:?} is not a name"), NAME_MEND));
            } else if let Some(first) = seen.insert(name.clone(), pointer.clone()) {
                errors.push(FieldError::new(
                    pointer,
                    format!("{name:?} is taken by {first}"),
                    "give each rung its own name",
                ));
            }
        }
    }
}

const NAME_MEND: &str = "use 1 to 63 of a-z, 0-9 and '-', starting with a letter or digit";

fn check_count(errors: &mut Vec<FieldError>, pointer: &str, count: usize, min: usize, max: usize) {
    if count < min || count > max {
        errors.push(FieldError::new(pointer, format!("{count} rungs"), format!("list {min} to {max}")));
    }
}

impl VideoRung {
    fn check(&self, at: &str, errors: &mut Vec<FieldError>) {
        if !(HEIGHT_MIN..=HEIGHT_MAX).contains(&self.height) || !self.height.is_multiple_of(2) {
            errors.push(FieldError::new(
                format!("{at}/height"),
                format!("{} lines", self.height),
                format!("use an even number from {HEIGHT_MIN} to {HEIGHT_MAX}: 4:2:0 pictures have even sides"),
            ));
        }
        match (self.bitrate_kbps, self.quality) {
            (None, None) => errors.push(FieldError::new(at, "neither bitrate_kbps nor quality", "give one of them")),
            (Some(_), Some(_)) => {
                errors.push(FieldError::new(at, "both bitrate_kbps and quality", "give only one of them"));
            }
            (None, Some(quality)) if quality > self.codec.quality_max() => errors.push(FieldError::new(
                format!("{at}/quality"),
                quality.to_string(),
                format!("use 0 (best) to {}", self.codec.quality_max()),
            )),
            _ => {}
        }
        for (key, kbps) in [("bitrate_kbps", self.bitrate_kbps), ("maxrate_kbps", self.maxrate_kbps)] {
            if let Some(kbps) = kbps {
                check_kbps(errors, format!("{at}/{key}"), kbps, KBPS_MAX);
            }
        }
        if let (Some(bitrate), Some(maxrate)) = (self.bitrate_kbps, self.maxrate_kbps)
            && bitrate > maxrate
        {
            errors.push(FieldError::new(
                format!("{at}/bitrate_kbps"),
                format!("the average of {bitrate} kbit/s is above maxrate_kbps, {maxrate}"),
                "lower it, or raise maxrate_kbps",
            ));
        }
        if let Some(tuning) = &self.nvenc {
            tuning.check(&format!("{at}/nvenc"), errors);
        }
        if !self.codec.presets().contains(&self.preset()) {
            errors.push(FieldError::new(
                format!("{at}/preset"),
                format!("{:?} is no preset of {}", self.preset(), self.codec.as_str()),
                format!("use one of {}", self.codec.presets().join(", ")),
            ));
        }
    }
}

impl AudioRung {
    fn check(&self, at: &str, errors: &mut Vec<FieldError>) {
        if !matches!(self.channels, 1 | 2 | 6) {
            errors.push(FieldError::new(format!("{at}/channels"), self.channels.to_string(), "use 1, 2 or 6"));
        }
        check_kbps(errors, format!("{at}/bitrate_kbps"), self.bitrate_kbps, 128 * u32::from(self.channels.max(1)) * 2);
    }
}

fn check_kbps(errors: &mut Vec<FieldError>, pointer: String, kbps: u32, max: u32) {
    if !(16..=max).contains(&kbps) {
        errors.push(FieldError::new(pointer, format!("{kbps} kbit/s"), format!("use 16 to {max}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
name: web-h264
gop_s: 2
segment_s: 4
video:
  - { name: 720p, codec: h264, height: 720, bitrate_kbps: 3000, maxrate_kbps: 3600, preset: medium }
  - { name: best, codec: av1, height: 360, quality: 30 }
audio:
  - { name: stereo, codec: aac, channels: 2, bitrate_kbps: 128 }
";

    #[test]
    fn a_good_ladder_is_read_and_survives_json() {
        let ladder = Ladder::from_yaml(GOOD).expect("good");
        assert_eq!((ladder.gop_s, ladder.segment_s), (2000, 4000));
        let json = serde_json::to_value(&ladder).expect("json");
        assert_eq!(Ladder::from_value(json).expect("again"), ladder);
    }

    #[test]
    fn each_fault_is_named_with_its_place() {
        for (from, to, pointer) in [
            ("gop_s: 2", "gop_s: 2\ngpo: 3", "/gpo"),
            ("codec: h264,", "codec: h264, tune: film,", "/video/0/tune"),
            ("name: best", "name: 720p", "/video/1/name"),
            ("name: stereo", "name: 720p", "/audio/0/name"),
            ("height: 720", "height: 0", "/video/0/height"),
            ("height: 720", "height: 100000", "/video/0/height"),
            ("height: 720", "height: 721", "/video/0/height"),
            ("maxrate_kbps: 3600", "maxrate_kbps: 2000", "/video/0/bitrate_kbps"),
            ("codec: av1", "codec: vp9", "/video/1/codec"),
            ("quality: 30", "quality: 64", "/video/1/quality"),
            ("quality: 30", "preset: \"8\"", "/video/1"),
            ("quality: 30", "quality: 30, nvenc: { preset: 8 }", "/video/1/nvenc/preset"),
            ("quality: 30", "quality: 30, nvenc: { tune: ll }", "/video/1/nvenc"),
            ("quality: 30", "quality: 30, nvenc: { b_frames: 9 }", "/video/1/nvenc/b_frames"),
            ("quality: 30", "quality: 30, nvenc: { aq: 9 }", "/video/1/nvenc/aq"),
            ("preset: medium", "preset: swift", "/video/0/preset"),
            ("segment_s: 4", "segment_s: 5", "/segment_s"),
            ("segment_s: 4", "segment_s: -4", "/segment_s"),
            ("channels: 2", "channels: 3", "/audio/0/channels"),
            ("name: web-h264", "name: ../x", "/name"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let errors = Ladder::from_yaml(&GOOD.replacen(from, to, 1)).expect_err(to);
            assert!(errors.iter().any(|error| error.pointer == pointer), "{to}: {errors:?}");
        }
    }

    #[test]
    fn every_preset_has_an_effort_and_the_usual_one_is_that_of_channels() {
        for codec in VideoCodec::ALL {
            let efforts: Vec<_> = codec.presets().iter().map(|preset| codec.effort(preset)).collect();
            assert!(efforts.is_sorted() && (efforts[0], efforts.last()) == (1, Some(&7)), "{codec:?} {efforts:?}");
            assert_eq!(codec.effort(codec.default_preset()), 5);
        }
    }

    #[test]
    fn all_faults_come_in_one_answer() {
        let bad = GOOD.replace("height: 720", "height: 3").replace("quality: 30", "quality: 99");
        assert_eq!(Ladder::from_yaml(&bad).expect_err("bad").len(), 2);
    }
}
