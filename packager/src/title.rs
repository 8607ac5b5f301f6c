//! A title as manifests describe it: the renditions of a package job, each with what its init
//! says and its segments joined over all parts. Pure; loading it is `parts.rs`'s work.

use framemill_media::boxes::{InitFacts, TrackKind};
use framemill_schemas::{
    ids::JobId,
    index::{RenditionPart, SegmentIndex},
    object::StoredObject,
    spec::{AudioRendition, PackageSpec, VideoRendition},
};

use crate::bitrate::{Stretch, of_keyframes, of_segments, target_duration_s};

/// One rendition's media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Its initialisation segment.
    pub init: StoredObject,
    /// What that says.
    pub facts: InitFacts,
    /// Its segments in the order of its parts.
    pub segments: Vec<SegmentIndex>,
}

impl Track {
    /// Size and length of each segment.
    pub fn stretches(&self) -> Vec<Stretch> {
        of_segments(&self.segments, self.facts.timescale)
    }

    /// Size and length of each keyframe.
    pub fn keyframes(&self) -> Vec<Stretch> {
        of_keyframes(&self.segments, self.facts.timescale)
    }

    /// Width and height; zeros for sound.
    pub fn size(&self) -> (u32, u32) {
        match self.facts.kind {
            TrackKind::Video { width, height } => (width, height),
            TrackKind::Audio { .. } => (0, 0),
        }
    }

    /// Whether its segments lie exactly where another's do.
    pub fn is_aligned_with(&self, other: &Self) -> bool {
        let boundaries = |track: &Self| -> Vec<(u64, u64)> {
            track.segments.iter().map(|segment| (segment.start_ticks, segment.duration_ticks)).collect()
        };
        self.facts.timescale == other.facts.timescale && boundaries(self) == boundaries(other)
    }
}

/// A whole title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Title {
    /// What was asked for.
    pub spec: PackageSpec,
    /// The picture, in the order of `spec.video`.
    pub video: Vec<Track>,
    /// The sound, in the order of `spec.audio`.
    pub audio: Vec<Track>,
}

/// Why parts make no title: a bug of whoever planned or encoded it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TitleError {
    /// A job that should have made a part of a rendition did not.
    #[error("job {job} has no part of rendition {rendition}")]
    PartMissing {
        /// The job.
        job: JobId,
        /// The rendition.
        rendition: String,
    },
    /// A rendition without a segment, and so without a manifest.
    #[error("rendition {rendition} has no segment")]
    Empty {
        /// The rendition.
        rendition: String,
    },
    /// A picture rendition whose init says sound, or the reverse.
    #[error("the init of rendition {rendition} is not of {expected}")]
    Kind {
        /// The rendition.
        rendition: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl Title {
    /// Joins parts. `part` finds a rendition's part in a job's output, `facts` what an init says.
    /// That all parts share one init and that segments follow one another is not judged here:
    /// validation does, with findings that name the segment.
    pub fn join<'a, E: From<TitleError>>(
        spec: PackageSpec,
        part: impl Fn(JobId, &str) -> Option<&'a RenditionPart>,
        mut facts: impl FnMut(&StoredObject) -> Result<InitFacts, E>,
    ) -> Result<Self, E> {
        let mut join = |name: &str, jobs: &[JobId], expected: &'static str| -> Result<Track, E> {
            let rendition = || name.to_owned();
            let mut init = None;
            let mut segments = Vec::new();
            for &job in jobs {
                let part = part(job, name).ok_or_else(|| TitleError::PartMissing { job, rendition: rendition() })?;
                init.get_or_insert_with(|| part.init.clone());
                segments.extend_from_slice(&part.segments);
            }
            let Some(init) = init.filter(|_| !segments.is_empty()) else {
                return Err(TitleError::Empty { rendition: rendition() }.into());
            };
            let facts = facts(&init)?;
            let is_video = matches!(facts.kind, TrackKind::Video { .. });
            if is_video != (expected == PICTURE) {
                return Err(TitleError::Kind { rendition: rendition(), expected }.into());
            }
            Ok(Track { init, facts, segments })
        };
        let video = spec.video.iter().map(|v| join(&v.name, &v.parts, PICTURE)).collect::<Result<_, E>>()?;
        let audio = spec.audio.iter().map(|a| join(&a.name, &[a.part], SOUND)).collect::<Result<_, E>>()?;
        Ok(Self { spec, video, audio })
    }

    /// The picture renditions with their media.
    pub fn pictures(&self) -> impl Iterator<Item = (&VideoRendition, &Track)> {
        self.spec.video.iter().zip(&self.video)
    }

    /// The sound renditions with their media.
    pub fn sounds(&self) -> impl Iterator<Item = (&AudioRendition, &Track)> {
        self.spec.audio.iter().zip(&self.audio)
    }

    /// All renditions by name.
    pub fn tracks(&self) -> impl Iterator<Item = (&str, &Track)> {
        let pictures = self.pictures().map(|(rendition, track)| (rendition.name.as_str(), track));
        pictures.chain(self.sounds().map(|(rendition, track)| (rendition.name.as_str(), track)))
    }

    /// Target duration of every media playlist, picture and sound: RFC 8216, clause 6.2.4, wants
    /// the same in all of them.
    pub fn target_duration_s(&self) -> u64 {
        target_duration_s(self.tracks().flat_map(|(_, track)| track.stretches()))
    }

    /// The last part of the generation's folder with a slash: what entry manifests put before
    /// every address, because they lie one folder up.
    pub fn entry_prefix(&self) -> String {
        let name = self.spec.folder.rsplit('/').next().unwrap_or_default();
        format!("{name}/")
    }
}

const PICTURE: &str = "picture";
const SOUND: &str = "sound";
