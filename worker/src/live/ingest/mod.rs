//! How each kind of source is opened. What comes out is a transport stream, in chunks of any size.
//!
//! UDP and RTP are read from a socket of our own. Everything else is copied by one ffmpeg, which may
//! use the protocols and demuxers of that kind and no other. Where an address is a name, it is looked
//! up and judged here, and what is opened is the number.

mod address;
mod ffmpeg;
mod file;
mod gate;
mod hls;
mod playlist;
mod udp;

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use framemill_media::toolchain::Toolchain;
use framemill_schemas::{
    failure::Failure,
    live::{LiveSource, LiveSourceKind},
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::source::{SourceReader, SourcesConfig};

/// The section `[worker.live]`: what channels may read on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LiveConfig {
    /// Folder of secrets, one a file, named as channels name them: SRT passphrases and RTMP stream keys.
    pub secrets: Option<PathBuf>,
}

/// What sources are opened with.
#[derive(Clone)]
pub(crate) struct Ingest {
    pub(super) tools: Toolchain,
    reader: SourceReader,
    sources: Arc<SourcesConfig>,
    config: Arc<LiveConfig>,
}

impl Ingest {
    /// With the rules of all sources, and those of channels.
    pub fn new(tools: &Toolchain, reader: &SourceReader, sources: SourcesConfig, config: LiveConfig) -> Self {
        Self { tools: tools.clone(), reader: reader.clone(), sources: sources.into(), config: config.into() }
    }
}

/// Reads a source until it ends or breaks, or nobody takes what comes.
///
/// No text of a failure holds a secret.
pub(super) async fn open(ingest: &Ingest, source: &LiveSource, chunks: mpsc::Sender<Bytes>) -> Result<(), Failure> {
    match source.kind {
        LiveSourceKind::File => file::open(ingest, source, chunks).await,
        LiveSourceKind::Udp | LiveSourceKind::Rtp => udp::open(ingest, source, chunks).await,
        LiveSourceKind::Srt | LiveSourceKind::Rtmp | LiveSourceKind::Rtsp => ffmpeg::open(ingest, source, chunks).await,
        LiveSourceKind::Hls => hls::open(ingest, source, chunks).await,
    }
}
