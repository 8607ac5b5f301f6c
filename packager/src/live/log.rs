//! A channel's log as it grows.

use framemill_queue::{Change, Queue, RecordError, Watch};
use framemill_schemas::{
    live::{Commit, commit_key},
    subject,
};
use futures_util::{FutureExt, StreamExt};

use super::{chain::Logged, shards::Channel};

/// Most commits that are taken together.
const TOGETHER_MAX: usize = 1024;

/// The commits of one channel, as they are stored.
pub struct Log {
    commits: Watch<Commit>,
}

impl Log {
    /// Begins to follow; also tells what is there already.
    ///
    /// # Errors
    /// [`RecordError::Unavailable`] when NATS does not answer.
    pub async fn open(queue: &Queue, channel: &Channel) -> Result<(Self, Vec<Logged>), RecordError> {
        let records = queue.records::<Commit>(subject::COMMITS_BUCKET);
        let mut commits = records.watch(&commit_key(&channel.tenant, &channel.id, "*")).await?;
        let mut logged = Vec::new();
        while let Some(change) = commits.next().await {
            match change {
                Ok(Change::Current) => break,
                Err(error @ RecordError::Unavailable(_)) => return Err(error),
                change => logged.extend(read(change)),
            }
        }
        Ok((Self { commits }, logged))
    }

    /// The next commits: what came together is taken together. To be dropped at any time.
    pub async fn next(&mut self) -> Vec<Logged> {
        let mut logged = Vec::new();
        let Some(change) = self.commits.next().await else { return std::future::pending().await };
        logged.extend(read(change));
        while logged.len() < TOGETHER_MAX
            && let Some(Some(change)) = self.commits.next().now_or_never()
        {
            logged.extend(read(change));
        }
        logged
    }
}

/// A commit. A record leaves the log only below the floor, which the timelines tell.
fn read(change: Result<Change<Commit>, RecordError>) -> Option<Logged> {
    match change {
        Ok(Change::Put { value, revision, .. }) => Some(Logged { commit: *value, revision }),
        Ok(Change::Deleted { .. } | Change::Current) => None,
        Err(error) => {
            tracing::warn!(%error, "a commit cannot be read");
            None
        }
    }
}
