//! The stream of titles: a few at a time, some submitted twice, until told to end.

use std::time::Duration;

use framemill_schemas::{finding::Finding, ids::AssetId};
use tokio_util::sync::CancellationToken;

use super::{
    clips::{self, Clip},
    witness::Witness,
};
use crate::rig::{Farm, LOOK, Seed};

/// Titles being made at once.
const OPEN_MAX: usize = 3;
/// How long a submission may find no scheduler.
const TAKEN: Duration = Duration::from_secs(60);

/// What came of the stream.
#[derive(Debug, Default)]
pub struct Stream {
    /// Titles that were accepted, in order, with what they are of.
    pub accepted: Vec<(AssetId, Clip)>,
    /// How many were submitted a second time.
    pub twice: u64,
    /// What should not have been answered.
    pub findings: Vec<Finding>,
}

/// Submits until `stop`.
pub async fn run(farm: &Farm, witness: &Witness, clips: &[Clip], mut seed: Seed, stop: &CancellationToken) -> Stream {
    let mut stream = Stream::default();
    for number in 1_u64.. {
        // Choices are drawn in the same order whatever happens to the answers.
        let clip = &clips[usize::try_from(seed.below(clips.len() as u64)).expect("it is below a length")];
        let (first, twice) = (usize::from(seed.below(2) == 1), seed.below(4) == 0);
        while witness.seen().open() >= OPEN_MAX || unseen(&stream, witness) {
            if stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
                return stream;
            }
        }
        if stop.is_cancelled() {
            return stream;
        }
        submit(farm, &mut stream, clip, &format!("chaos-{number}"), first, twice).await;
    }
    stream
}

/// Whether an accepted title has not been seen in the records yet: it counts as open.
fn unseen(stream: &Stream, witness: &Witness) -> bool {
    let seen = witness.seen();
    stream.accepted.iter().rev().take(OPEN_MAX).any(|(id, _)| !seen.assets.contains_key(id))
}

async fn submit(farm: &Farm, stream: &mut Stream, clip: &Clip, key: &str, first: usize, twice: bool) {
    let body = clips::submission(clip);
    let id = match farm.api.submit(&body, key, first, TAKEN).await {
        Ok(id) => id,
        Err(error) => {
            let said = format!("{error:#}");
            stream.findings.push(Finding::error("not-accepted", key, said, "accepted by a scheduler"));
            return;
        }
    };
    stream.accepted.push((id, clip.clone()));
    if twice {
        stream.twice += 1;
        match farm.api.submit(&body, key, first + 1, TAKEN).await {
            Ok(again) if again == id => {}
            Ok(again) => stream.findings.push(Finding::error("accepted-twice", key, again, id)),
            Err(error) => stream.findings.push(Finding::error("not-accepted", key, format!("{error:#}"), id)),
        }
    }
}
