//! What a worker tries while its machine is quarantined: each encoder it offers, for real. When
//! and how often is the queue's business, and what comes of it too.

use framemill_media::{canary, toolchain::Toolchain};
use framemill_queue::Trial;
use framemill_schemas::ladder::VideoCodec;
use tokio_util::sync::CancellationToken;

/// One run: a few frames through every encoder and back.
pub(crate) fn trial(tools: &Toolchain) -> Trial {
    let tools = tools.clone();
    // Dropped when the node is released meanwhile; that kills what runs.
    Box::pin(async move { canary::check(&tools, &VideoCodec::ALL, &CancellationToken::new()).await })
}
