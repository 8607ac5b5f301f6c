//! What was committed of the numbers that a title keeps: from the log, or from what was folded out of it.

use std::collections::BTreeMap;

use framemill_queue::{Queue, RecordError};
use framemill_schemas::{
    failure::{Class, Failure},
    ids::{ChannelId, Tenant},
    live::{Commit, Committed, Stretch, Timelines, TrackCommit, channel_folder, commit_key, record_key},
    subject,
};
use framemill_storage::Store;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::live::{FoldError, list_indexes, read_index};

/// Records or indexes that are read at once.
const AT_ONCE: usize = 8;
/// How often the log is read again because it was folded meanwhile.
const TRIES_MAX: usize = 5;

/// A failure of a job whose segments are gone: no retry brings them back.
pub fn not_kept(what: impl std::fmt::Display) -> Failure {
    Failure::input("span-not-kept", format!("the channel does not keep {what} any more"))
        .mend("keep a programme while its channel still has it: for its time shift and two windows")
}

/// A channel's log.
pub struct Log<'a> {
    /// Where it is.
    pub queue: &'a Queue,
    /// Where it is folded into.
    pub store: &'a Store,
    /// Whose channel.
    pub tenant: &'a Tenant,
    /// Its name.
    pub channel: &'a ChannelId,
}

impl Log<'_> {
    /// The tracks of every number of these stretches.
    ///
    /// # Errors
    /// `span-not-kept` where one is not there any more; NATS or the store in trouble.
    pub async fn tracks(&self, stretches: &[Stretch]) -> Result<BTreeMap<u64, Vec<TrackCommit>>, Failure> {
        let mut found = BTreeMap::new();
        let mut missing = None;
        // A number is removed from the log after it was folded away, so a second look finds it there.
        for _ in 0..TRIES_MAX {
            let floor = self.floor().await?;
            self.read(stretches, floor, &mut found).await?;
            let numbers = stretches.iter().flat_map(Stretch::numbers);
            missing = numbers.into_iter().find(|number| !found.contains_key(number));
            if missing.is_none() {
                return Ok(found);
            }
            if missing.is_some_and(|number| number < floor) {
                break;
            }
        }
        Err(not_kept(format_args!("number {} of {}", missing.unwrap_or_default(), self.channel)))
    }

    async fn floor(&self) -> Result<u64, Failure> {
        let records = self.queue.records::<Timelines>(subject::TIMELINES_BUCKET);
        let found = records.get(&record_key(self.tenant, self.channel)).await.map_err(|error| queue_failure(&error))?;
        let (timelines, _) = found.ok_or_else(|| not_kept(format_args!("anything: there is no {}", self.channel)))?;
        Ok(timelines.floor)
    }

    async fn read(
        &self,
        stretches: &[Stretch],
        floor: u64,
        found: &mut BTreeMap<u64, Vec<TrackCommit>>,
    ) -> Result<(), Failure> {
        let numbers = stretches.iter().flat_map(Stretch::numbers);
        let wanted: Vec<u64> = numbers.filter(|number| !found.contains_key(number)).collect();
        let records = &self.queue.records::<Commit>(subject::COMMITS_BUCKET);
        let mut reads = Vec::new();
        for &number in wanted.iter().filter(|number| **number >= floor) {
            let key = commit_key(self.tenant, self.channel, number);
            reads.push(async move { records.get(&key).await.map_err(|error| queue_failure(&error)) });
        }
        let logged: Vec<_> = stream::iter(reads).buffered(AT_ONCE).try_collect().await?;
        let mut commits: Vec<Commit> = logged.into_iter().flatten().map(|(commit, _)| commit).collect();
        let below: Vec<u64> = wanted.into_iter().filter(|number| *number < floor).collect();
        if let (Some(first), Some(last)) = (below.first(), below.last()) {
            commits.extend(self.folded(*first, *last).await?);
        }
        for commit in commits {
            let number = commit.number;
            // Another channel of the same name has timelines of its own.
            let is_kept =
                |stretch: &Stretch| stretch.numbers().contains(&number) && stretch.timeline == commit.timeline;
            if let Committed::Segment { tracks, .. } = commit.what
                && stretches.iter().any(is_kept)
            {
                found.entry(number).or_insert(tracks);
            }
        }
        Ok(())
    }

    /// Commits of these numbers that were folded away, and those beside them.
    async fn folded(&self, wanted_first: u64, wanted_last: u64) -> Result<Vec<Commit>, Failure> {
        let folder = channel_folder(self.tenant, self.channel);
        let keys = list_indexes(self.store, &folder).await.map_err(fold_failure)?;
        // An index reaches to the beginning of the next one.
        let begin = keys.partition_point(|(first, _)| *first <= wanted_first).saturating_sub(1);
        let end = keys.partition_point(|(first, _)| *first <= wanted_last);
        let mut reads = Vec::new();
        for (_, key) in keys.into_iter().take(end).skip(begin) {
            reads.push(self.index(key));
        }
        let read: Vec<_> = stream::iter(reads).buffered(AT_ONCE).try_collect().await?;
        Ok(read.into_iter().flatten().collect())
    }

    async fn index(&self, key: String) -> Result<Vec<Commit>, Failure> {
        let index = read_index(self.store, &key).await.map_err(fold_failure)?;
        Ok(index.map(|index| index.commits).unwrap_or_default())
    }
}

fn fold_failure(error: FoldError) -> Failure {
    match error {
        FoldError::Store(error) => error.to_failure(),
        FoldError::Record(error) => queue_failure(&error),
        FoldError::Index { key, reason } => Failure::new(Class::Bug, "index-unreadable", format!("{key}: {reason}")),
    }
}

fn queue_failure(error: &RecordError) -> Failure {
    match error {
        RecordError::Wire(error) => Failure::new(Class::Bug, "record-unreadable", format!("a commit: {error}")),
        other => Failure::new(Class::Transient, "queue-unavailable", format!("cannot read the log: {other}")),
    }
}
