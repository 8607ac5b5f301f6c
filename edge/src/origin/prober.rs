//! The loop that looks at every origin, for channels that viewers watch: whether what it has is fresh, and can be played.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    board::Change,
    health::{First, Health, Look, Standing},
    origins::{Origin, Origins},
    playlist::{self, Text},
};
use crate::{clock::now_ms, folder::folder};

/// Pause between two rounds: between three quarters and five quarters of it, so that edges do not look in step.
const PAUSE_MS: u64 = 2000;
/// Longest look at one origin.
const LOOK_MAX: Duration = Duration::from_secs(3);
/// Channels of one round; others have their turn in the next.
const CHANNELS_MAX: usize = 4;
/// How much of a newest segment is read.
const FIRST_BYTES: usize = 4096;

/// Looks at the origins until it is stopped. Where there is one, there is nothing to choose.
pub async fn run(origins: Arc<Origins>, stop: CancellationToken) {
    if origins.all.len() < 2 {
        return;
    }
    let forever = async {
        loop {
            sleep(pause()).await;
            tick(&origins).await;
        }
    };
    stop.run_until_cancelled(forever).await;
}

/// One round: nothing, while no viewer watches anything.
async fn tick(origins: &Origins) {
    let keys = origins.lately().pick(CHANNELS_MAX, now_ms());
    let looks = keys.iter().map(|key| join_all(origins.all.iter().map(|origin| look(origin, key))));
    let looks = join_all(looks).await;
    for (index, origin) in origins.all.iter().enumerate() {
        hear(origin, keys.iter().zip(&looks).filter_map(|(key, looks)| Some((key.as_str(), looks[index].as_ref()?))));
    }
    for (key, looks) in keys.iter().zip(looks).filter(|(key, _)| key.starts_with("live/")) {
        let Some(channel) = folder(key) else { continue };
        let said: Vec<_> = looks.into_iter().map(|look| look.and_then(Result::ok).unwrap_or(Look::Silent)).collect();
        let changes = origins.board().take(channel, key, &said, now_ms());
        for change in changes {
            tell(origins, channel, &change);
        }
    }
    let lately = origins.lately();
    origins.board().retain(|channel| lately.has(channel));
}

/// Looks at one origin, past the cache; `None` while it is left alone. An error says why there is no answer.
async fn look(origin: &Origin, key: &str) -> Option<Result<Look, String>> {
    if !origin.breaker().admits(now_ms()) {
        return None;
    }
    let look = async {
        let begun = Instant::now();
        // As of any place: an edge that is asked need not wait for purges.
        let Some(found) = origin.source.fetch(key, 0).await? else { return Ok(Look::Missing) };
        origin.distance().add(i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX));
        let newest = match playlist::read(key, &found.body) {
            Text::Media(newest) => newest,
            Text::Multivariant => return Ok(Look::Multivariant),
            Text::Unreadable => return Ok(Look::NoPlaylist),
        };
        let first = match newest.key.as_ref().filter(|_| key.starts_with("live/")) {
            None => First::Unasked,
            Some(segment) => origin.source.first(segment, FIRST_BYTES).await?.map_or(First::Missing, First::Bytes),
        };
        Ok(Look::Playlist(newest, first))
    };
    let late = |_| Err(format!("no answer to a look within {} s", LOOK_MAX.as_secs()));
    Some(timeout(LOOK_MAX, look).await.unwrap_or_else(late))
}

/// Takes what an origin answered in one round: it fails when it answers nothing.
fn hear<'a>(origin: &Origin, looks: impl Iterator<Item = (&'a str, &'a Result<Look, String>)>) {
    let mut failure = None;
    for (key, look) in looks {
        match look {
            Ok(_) => return origin.breaker().lives(now_ms()),
            Err(error) => failure = Some((key, error)),
        }
    }
    if let Some((key, error)) = failure {
        origin.failed(key, error);
    }
}

/// Says aloud when an origin becomes sick for the first channel, and when it is well for all.
fn tell(origins: &Origins, channel: &str, change: &Change) {
    let why = match change.health {
        Health::Stale { age_ms, .. } => format!("its newest segment is {} s old", age_ms / 1000),
        Health::Lacking => "it does not have the playlist".to_owned(),
        Health::Broken(why) => why.to_owned(),
        Health::Good { .. } | Health::Unknown => String::new(),
    };
    let (origin, sick) = (&origins.all[change.origin].name, origins.board().sick(change.origin));
    let (healthy, all) = origins.healthy();
    match (change.standing, sick) {
        (Standing::Well, 0) => tracing::info!(origin, channel, healthy, all, "an origin is well again"),
        (Standing::Behind | Standing::Broken, 1) => {
            tracing::warn!(origin, channel, why, healthy, all, "an origin is sick: others are asked first");
        }
        _ => tracing::debug!(origin, channel, why, sick, "an origin stands otherwise for a channel"),
    }
}

fn pause() -> Duration {
    let random = u64::try_from(Uuid::new_v4().as_u128() % u128::from(PAUSE_MS / 2)).unwrap_or(0);
    Duration::from_millis(PAUSE_MS * 3 / 4 + random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_two_seconds_apart_or_so() {
        for _ in 0..100 {
            assert!((1500..2500).contains(&pause().as_millis()));
        }
    }
}
