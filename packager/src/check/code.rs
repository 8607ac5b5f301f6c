//! Stable codes of findings. `docs/ref` and reports use them; a code never changes its meaning.

/// An object of the index is not in the store.
pub const OBJECT_MISSING: &str = "object-missing";
/// An object's bytes are not those that were recorded.
pub const OBJECT_DIGEST: &str = "object-digest";
/// Bytes that are no initialisation or media segment.
pub const BOXES: &str = "boxes";
/// An init whose size, codec, channels or timescale is not what was asked for.
pub const INIT_FACTS: &str = "init-facts";
/// More than one init in a rendition.
pub const INIT_SHARED: &str = "init-shared";
/// A segment that its own boxes describe differently than the index.
pub const SEGMENT_INDEX: &str = "segment-index";
/// A segment at another time, or of another length, than the grid's.
pub const SEGMENT_TIME: &str = "segment-time";
/// A segment whose fragment numbers do not go on from the one before.
pub const SEQUENCE: &str = "sequence";
/// A segment that does not start with a picture that decodes alone.
pub const FIRST_SYNC: &str = "first-sync";
/// Segments that are missing, doubled or out of order.
pub const NUMBERING: &str = "numbering";
/// A segment that does not start where the one before ends.
pub const CONTINUITY: &str = "continuity";
/// More or fewer frames than the grid has.
pub const FRAME_COUNT: &str = "frame-count";
/// A stream that a strict decoder refuses.
pub const DECODE: &str = "decode";
/// More or fewer frames out of the decoder than the index says.
pub const DECODED_FRAMES: &str = "decoded-frames";
/// Keyframes of one rendition that lie elsewhere than another's.
pub const KEYFRAME_ALIGNMENT: &str = "keyframe-alignment";
/// Keyframes that are not one group of pictures apart.
pub const KEYFRAME_INTERVAL: &str = "keyframe-interval";
/// Sound that is not there.
pub const AUDIO_PRESENT: &str = "audio-present";
/// Sound that ends more than one AAC frame before or after the picture.
pub const AUDIO_LENGTH: &str = "audio-length";
/// An average bitrate above what was asked for.
pub const BITRATE: &str = "bitrate";
/// A manifest that cannot be read.
pub const MANIFEST_SYNTAX: &str = "manifest-syntax";
/// A manifest without a tag or attribute it must have, or with a wrong one.
pub const MANIFEST_RULE: &str = "manifest-rule";
/// An address in a manifest that leads to no object of the index, or one that none leads to.
pub const MANIFEST_URI: &str = "manifest-uri";
/// Lengths in a manifest that are not those of the index.
pub const MANIFEST_DURATION: &str = "manifest-duration";
/// A length above the target duration, or a target that is not the same everywhere.
pub const TARGET_DURATION: &str = "target-duration";
/// A playlist of a finished title that does not end.
pub const ENDLIST: &str = "endlist";
/// Declared codecs that are not those of the init.
pub const CODECS: &str = "codecs";
/// Declared size or frame rate that is not that of the rendition.
pub const PICTURE_FORMAT: &str = "picture-format";
/// A declared bandwidth that is not what was measured.
pub const BANDWIDTH: &str = "bandwidth";
/// A byte range outside its segment, or not of its keyframe.
pub const BYTERANGE: &str = "byterange";
/// A buffer too short for the declared bandwidth.
pub const MIN_BUFFER: &str = "min-buffer";
/// A segment of a channel that a strict decoder refuses.
pub const UNDECODABLE: &str = framemill_schemas::live::UNDECODABLE;
/// A segment of a channel whose picture is black from its first frame to its last.
pub const BLACK: &str = "black";
/// A segment of a channel whose picture stands still.
pub const FROZEN: &str = "frozen";
/// A segment of a channel in which nothing is to be heard.
pub const SILENT: &str = "silent";
/// Sound that lies elsewhere beside the picture than its grid says, by more than is noticed.
pub const AUDIO_OFFSET: &str = "audio-offset";

/// What the validation of a picture part checks.
pub const OF_VIDEO_PART: &[&str] = &[
    OBJECT_MISSING,
    OBJECT_DIGEST,
    BOXES,
    INIT_FACTS,
    SEGMENT_INDEX,
    SEGMENT_TIME,
    SEQUENCE,
    FIRST_SYNC,
    NUMBERING,
    CONTINUITY,
    FRAME_COUNT,
    DECODE,
    DECODED_FRAMES,
    KEYFRAME_ALIGNMENT,
    KEYFRAME_INTERVAL,
];

/// What the validation of a sound part checks.
pub const OF_AUDIO_PART: &[&str] = &[
    OBJECT_MISSING,
    OBJECT_DIGEST,
    BOXES,
    INIT_FACTS,
    SEGMENT_INDEX,
    SEGMENT_TIME,
    SEQUENCE,
    FIRST_SYNC,
    NUMBERING,
    CONTINUITY,
    FRAME_COUNT,
    DECODE,
    DECODED_FRAMES,
    AUDIO_PRESENT,
    AUDIO_LENGTH,
];

/// What the validation of a whole title checks, beside what its parts' validations did.
pub const OF_WHOLE: &[&str] = &[
    OBJECT_MISSING,
    OBJECT_DIGEST,
    BOXES,
    INIT_SHARED,
    NUMBERING,
    CONTINUITY,
    FRAME_COUNT,
    KEYFRAME_ALIGNMENT,
    AUDIO_PRESENT,
    AUDIO_LENGTH,
    BITRATE,
    MANIFEST_SYNTAX,
    MANIFEST_RULE,
    MANIFEST_URI,
    MANIFEST_DURATION,
    TARGET_DURATION,
    ENDLIST,
    CODECS,
    PICTURE_FORMAT,
    BANDWIDTH,
    BYTERANGE,
    MIN_BUFFER,
];

/// Codes as a report lists them.
pub fn list(codes: &[&str]) -> Vec<String> {
    codes.iter().map(|code| (*code).to_owned()).collect()
}
