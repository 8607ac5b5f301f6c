//! Purges: what asks for one, whose what it names is, when it is completed, and how it is said to caches of others.
//!
//! Never here: what an edge does with one, and when any of this is looked at: the loops decide that.

mod cache;
mod causes;
mod cloudflare;
mod cloudfront;
mod config;
mod fastly;
mod nginx;
mod owner;
mod pace;
mod progress;
mod report;
mod round;
mod send;
mod varnish;
mod webhook;

use framemill_queue::{Queue, RecordError, Records};
use framemill_schemas::{
    delivery::{EdgeRecord, Purge, PurgeStatus},
    subject::{EDGES_BUCKET, PURGE_STATES_BUCKET, PURGES_BUCKET},
};

pub use config::{
    Caches, CloudFrontConfig, CloudflareConfig, FastlyConfig, NginxConfig, PurgeConfig, VarnishConfig, WebhookConfig,
};

pub(crate) use causes::{of_asset, of_channel, of_collected, of_mended};
pub(crate) use owner::{Owner, owner_of, prefix_of};
pub(crate) use progress::{Facts, next, waiting};
pub(crate) use report::{report, shown};
pub(crate) use round::{Outcome, again, give_up, is_due, plan, settle};
pub(crate) use send::Sender;

use crate::view::View;

/// Purge records, by id.
pub(crate) fn purges(queue: &Queue) -> Records<Purge> {
    queue.records(PURGES_BUCKET)
}

/// How far purges are, by id.
pub(crate) fn states(queue: &Queue) -> Records<PurgeStatus> {
    queue.records(PURGE_STATES_BUCKET)
}

/// Edge records, by name.
pub(crate) fn edges(queue: &Queue) -> Records<EdgeRecord> {
    queue.records(EDGES_BUCKET)
}

/// Takes a purge that a record asks for; makes sure that it is written. Its id follows from what asked for it, so it
/// is written once, whoever else does the same.
pub(crate) async fn ensure(queue: &Queue, view: &View, purge: &Purge) -> Result<(), RecordError> {
    if view.purge(purge.id).is_some() {
        return Ok(());
    }
    match purges(queue).create(&purge.id.to_string(), purge).await {
        Ok(sequence) => {
            tracing::info!(purge = %purge.id, sequence, cause = ?purge.cause, tags = ?purge.tags, "purge asked for");
            Ok(())
        }
        Err(RecordError::Exists) => Ok(()),
        Err(error) => Err(error),
    }
}
