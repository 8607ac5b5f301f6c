//! Channels: what a tenant asks for, the timelines their replicas share, and the log of what was
//! published of them.
//!
//! A channel's numbers count segments; each is committed once, as a segment, as filler or as a gap,
//! and never changes afterwards.

mod archive;
mod channel;
mod commit;
mod document;
mod folded;
mod names;
mod sampled;
mod schedule;
mod source;
mod status;
mod timeline;
mod view;

pub use archive::{
    ArchiveRequest, ArchiveView, CheckedArchive, Cut, LeftOut, LeftOutWhy, Moment, SPAN_SEGMENTS_MAX, STRETCHES_MAX,
    Stretch,
};
pub use channel::{CHANNEL_VERSION, ChannelRecord, ChannelState, Edition, Replica, Upkeep, Wanted};
pub use commit::{COMMIT_VERSION, Commit, Committed, Flaw, TrackCommit};
pub use document::{
    Access, CHANNEL_BYTES_MAX, ChannelDocument, CheckedChannel, Observability, REDUNDANCY_MAX, SourceDocument,
};
pub use folded::{FOLDED_VERSION, Folded, HOLE_MAX, folded_folder, folded_sorted};
pub use names::{
    CHANNELS, LivePlace, channel_folder, commit_key, filler_key, folder_of, init_key, live_place, record_key,
    segment_key,
};
pub use sampled::{RenditionSample, SAMPLES_TO_TELL, SeenFlaw, UNDECODABLE};
pub use schedule::{OnAir, OnAirChange, SPANS_MAX, Span, SpanDocument, rfc3339};
pub use source::{LiveSource, LiveSourceError, LiveSourceKind};
pub use status::{
    PLAYLIST_FINDINGS_MAX, PLAYLIST_STATUS_VERSION, PlaylistStatus, REPLICA_STATUS_VERSION, ReplicaStatus,
    SegmentFinding, SourceStatus, TrackStatus,
};
pub use timeline::{
    LiveClock, SourceFormat, TIMELINES_MAX, TIMELINES_VERSION, Timeline, Timelines, WRAP_TICKS, frame_at_ms, pts_ms,
};
pub use view::{
    ChannelChange, ChannelDetail, ChannelPut, ChannelView, Diagnosis, EncoderView, HeadView, RenditionStatus,
    SourceView, Station, StationState, StationView,
};
