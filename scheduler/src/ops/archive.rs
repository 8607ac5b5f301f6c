//! `POST /v1/channels/{id}/archive`: a span of a channel becomes a title.

use framemill_queue::Queue;
use framemill_schemas::{
    asset::{AssetRecord, AssetState},
    ids::{AssetId, Tenant},
    live::{ChannelRecord, CheckedArchive, channel_folder},
    source::Source,
};
use framemill_storage::Store;
use framemill_telemetry::span;
use tracing::Instrument;

use super::{
    Accepted, OpError,
    idempotency::Key,
    now_ms,
    submit::{Draft, Earlier, Submitted, accept, earlier},
};
use crate::{
    archive::{Span, is_kept, read, resolve},
    gate::Gate,
};

/// What is asked for.
#[derive(Clone, Copy)]
pub struct ArchiveParts<'a> {
    /// The channel as its record is.
    pub channel: &'a ChannelRecord,
    /// The span.
    pub asked: CheckedArchive,
    /// The body as it came: what an idempotency key stands for, with the channel.
    pub body: &'a str,
    /// The client's idempotency key.
    pub idempotency_key: Option<&'a str>,
    /// What keeps the farm's open work within its bounds.
    pub gate: &'a Gate,
}

/// Takes a channel and a span of it; returns the asset that keeps it, accepted. Which numbers it means is
/// decided here, once.
/// Guards: as for a submission; the span is over, still kept, and the same throughout.
pub async fn archive(queue: &Queue, store: &Store, parts: ArchiveParts<'_>) -> Result<Submitted, OpError> {
    let span = tracing::info_span!(
        parent: None,
        "asset",
        asset = tracing::field::Empty,
        tenant = %parts.channel.tenant,
        channel = %parts.channel.id,
    );
    archive_in(queue, store, parts).instrument(span).await
}

async fn archive_in(queue: &Queue, store: &Store, parts: ArchiveParts<'_>) -> Result<Submitted, OpError> {
    let ArchiveParts { channel, asked, .. } = parts;
    // The same key for another channel stands for something else.
    let body = format!("channel {}\n{}", channel.id, parts.body);
    let key = parts.idempotency_key.map(|key| Key::new(queue, &channel.tenant, key, &body));
    // Before the channel is looked at: its segments may have gone since, and the answer stays the same.
    let found = match earlier(queue, key.as_ref()).await? {
        Earlier::Asset(asset) => return Ok(Submitted { asset: *asset, accepted: Accepted::Before }),
        Earlier::None(found) => found,
    };
    let span = span_of(channel, asked, now_ms());
    let known = read(queue, store, &channel.tenant, &channel.id, span).await?;
    let (cut, (first, last)) = resolve(&known, &channel_folder(&channel.tenant, &channel.id), span)?;
    let (tenant, id) = (channel.tenant.clone(), channel.id.clone());
    let draft = Draft {
        tenant: tenant.clone(),
        source: Source::Channel { tenant, channel: id, first, last },
        ladder: channel.edition.ladder.clone(),
        priority: asked.priority,
        cut: Some(Box::new(cut)),
        trace: span::context(&tracing::Span::current()),
    };
    accept(queue, parts.gate, key.as_ref(), found, draft).await
}

fn span_of(channel: &ChannelRecord, asked: CheckedArchive, now_ms: i64) -> Span {
    Span { from_ms: asked.from_ms, to_ms: asked.to_ms, closed: channel.is_off_air() && asked.to_ms <= now_ms }
}

/// Refuses to make a title anew whose channel has nothing left to copy from.
pub async fn check_kept(
    queue: &Queue,
    store: &Store,
    id: AssetId,
    visible: impl Fn(&Tenant) -> bool,
) -> Result<(), OpError> {
    let found = queue.assets().get(&id.to_string()).await?;
    let (asset, _) = found.filter(|(asset, _)| visible(&asset.tenant)).ok_or(OpError::NoAsset(id))?;
    let again = matches!(asset.state, AssetState::Failed | AssetState::Cancelled);
    match &asset.cut {
        Some(cut) if again && !is_kept(store, cut, &cut.stretches).await? => Err(gone(&asset)),
        _ => Ok(()),
    }
}

fn gone(asset: &AssetRecord) -> OpError {
    OpError::SpanGone(asset.id, asset.source.to_string())
}

#[cfg(test)]
mod tests {
    use framemill_schemas::live::{ChannelState, Wanted};

    use super::*;
    use crate::ops::sample;

    #[test]
    fn the_past_of_a_channel_off_air_is_closed() {
        let asked = CheckedArchive { from_ms: 1000, to_ms: 5000, priority: Default::default() };
        for (wanted, state, now_ms, closed) in [
            (Wanted::Stopped, ChannelState::Stopped, 5000, true),
            (Wanted::Stopped, ChannelState::Stopped, 4999, false),
            // Its replicas may still finish a number.
            (Wanted::Stopped, ChannelState::Live, 5000, false),
            (Wanted::Running, ChannelState::Down, 5000, false),
            // Its span is over.
            (Wanted::Running, ChannelState::Scheduled, 5000, true),
            (Wanted::Running, ChannelState::Scheduled, 4999, false),
        ] {
            let channel = ChannelRecord { state, ..sample::channel(wanted) };
            assert_eq!(span_of(&channel, asked, now_ms).closed, closed, "{wanted:?} {state:?} {now_ms}");
        }
    }
}
