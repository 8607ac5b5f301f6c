//! What a worker tries while its machine is quarantined: each encoder it offers, for real. When
//! and how often is the queue's business, and what comes of it too.

use framemill_media::{canary, toolchain::Toolchain};
use framemill_queue::Trial;
use framemill_schemas::ladder::VideoCodec;
use tokio_util::sync::CancellationToken;

/// One run: a few frames through the encoder of each of `codecs` and back.
pub(crate) fn trial(tools: &Toolchain, codecs: &[VideoCodec]) -> Trial {
    let (tools, codecs) = (tools.clone(), codecs.to_vec());
    // Dropped when the node is released meanwhile; that kills what runs.
    Box::pin(async move { canary::check(&tools, &codecs, &CancellationToken::new()).await })
}
