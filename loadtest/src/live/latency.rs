//! `loadtest live latency`: how long a segment takes from the encoder to the store, and from there into the
//! playlists; by the farm's own metrics, and as it looks from outside.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use framemill_queue::{Change, NatsConfig, Queue};
use framemill_schemas::{live::Commit, subject};
use futures_util::StreamExt;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    channel::Asked,
    judge::{Leave, judge},
    metrics::Histogram,
    report::{Bar, Outcome},
    stage::{Common, Scene, Stage},
};
use crate::{figures::Spread, machine::now_ms, rig::Member};

const STORED: &str = "framemill_worker_live_stored_seconds";
const COMMITTED: &str = "framemill_worker_live_committed_seconds";
const PLAYLIST: &str = "framemill_packager_live_playlist_seconds";
/// The promises, microseconds: bounds of the histograms.
const STORED_US: u64 = 250_000;
const PLAYLIST_US: u64 = 150_000;
/// How often the viewer looks: what is seen from outside is no finer.
const LOOK: Duration = Duration::from_millis(20);

/// What to run.
#[derive(Clone, Debug)]
pub struct Latency {
    /// What all trials take.
    pub common: Common,
    /// How long it is measured.
    pub span: Duration,
}

/// Runs everything. `say` is told one line now and then.
pub async fn run(latency: &Latency, mut say: impl FnMut(String)) -> Result<Outcome> {
    let scene = Scene { workers: 2, look: LOOK, ..Scene::default() };
    let mut stage = Stage::set(&latency.common, &scene, &mut say).await?;
    let uri = stage.source.uri.clone();
    stage.air(&Asked::pair(&uri)).await?;
    let heard = Heard::begin(&stage.nats()).await?;
    let before = read(&stage).await?;
    say(format!("on air; measuring for {} s", latency.span.as_secs()));
    tokio::time::sleep(latency.span).await;
    let after = read(&stage).await?;
    let outside = heard.end(&stage);
    let mut findings = stage.leave().await?;
    let seen = stage.viewer.seen().clone();
    let verdict = judge(&latency.common.programs.ffmpeg, &seen, stage.source.numbers, Leave::default()).await?;
    findings.extend(seen.findings.iter().chain(&verdict.findings).cloned());
    let of = |name: &str| after[name].since(&before[name]);
    let (stored, committed, playlist) = (of(STORED), of(COMMITTED), of(PLAYLIST));
    let mut bars = figures("encoder to store", &stored, Some(STORED_US));
    bars.extend(figures("encoder to commit", &committed, None));
    bars.extend(figures("commit to playlist", &playlist, Some(PLAYLIST_US)));
    let Spread { count, p50_ms, p99_ms, max_ms } = outside;
    let text = format!("{count} numbers: p50 {p50_ms} ms, p99 {p99_ms} ms, longest {max_ms} ms");
    bars.push(Bar::told("commit heard to playlist seen, from outside", text));
    let behind =
        Spread::of(seen.tracks.values().flat_map(|track| &track.changes).map(|change| change.behind_ms).collect());
    bars.push(Bar::told("end of a segment to its playlist, p50", format!("{} ms", behind.p50_ms)));
    bars.push(Bar::told("end of a segment to its playlist, p99", format!("{} ms", behind.p99_ms)));
    let trial = format!("latency over {} s", latency.span.as_secs());
    let detail = json!({"outside": outside, "behind": behind, "verdict": verdict});
    Ok(stage.conclude(Outcome::of(trial, bars, detail, findings), &mut say).await)
}

/// What the histograms of all roles say, added up.
async fn read(stage: &Stage) -> Result<BTreeMap<&'static str, Histogram>> {
    let mut read: BTreeMap<_, Histogram> =
        [STORED, COMMITTED, PLAYLIST].map(|name| (name, Histogram::default())).into();
    for (member, seat) in &stage.farm.seats {
        if matches!(member, Member::Scheduler(_)) {
            continue;
        }
        let text = stage.farm.api.metrics(seat.health).await.with_context(|| format!("no metrics of {member}"))?;
        read.iter_mut().for_each(|(name, histogram)| histogram.add(name, &text));
    }
    Ok(read)
}

fn figures(what: &str, of: &Histogram, bar_us: Option<u64>) -> Vec<Bar> {
    let shown =
        |share| of.within(share).map_or_else(|| "beyond the last bound".to_owned(), |us| format!("{} ms", us / 1000));
    let mut bars = vec![Bar::told(format!("{what}: p50 of {}, within", of.count()), shown(500))];
    let p99 = shown(990);
    bars.push(match bar_us {
        None => Bar::told(format!("{what}: p99, within"), p99),
        Some(bar) => Bar {
            what: format!("{what}: p99, within"),
            measured: p99,
            bar: format!("at most {} ms", bar / 1000),
            kept: of.within(990).is_some_and(|us| us <= bar),
            of_speed: true,
        },
    });
    bars
}

/// When each commit was heard of, by a connection of its own.
struct Heard {
    numbers: Arc<Mutex<BTreeMap<u64, i64>>>,
    stop: CancellationToken,
}

impl Heard {
    async fn begin(url: &str) -> Result<Self> {
        let config = NatsConfig { url: url.to_owned(), ..NatsConfig::default() };
        let queue = Queue::connect(&config).await.context("cannot connect to NATS")?;
        let mut watch = queue.records::<Commit>(subject::COMMITS_BUCKET).watch(">").await?;
        let heard = Self { numbers: Arc::default(), stop: CancellationToken::new() };
        let (numbers, stop) = (heard.numbers.clone(), heard.stop.clone());
        tokio::spawn(async move {
            // The connection goes with the queue.
            let _queue = queue;
            let mut current = false;
            while let Some(Some(change)) = stop.run_until_cancelled(watch.next()).await {
                match change {
                    Ok(Change::Put { value, .. }) if current => {
                        let mut numbers = numbers.lock().unwrap_or_else(PoisonError::into_inner);
                        numbers.entry(value.number).or_insert_with(now_ms);
                    }
                    Ok(Change::Current) => current = true,
                    _ => {}
                }
            }
        });
        Ok(heard)
    }

    /// How long after each of them every picture's playlist was seen to name it.
    fn end(self, stage: &Stage) -> Spread {
        self.stop.cancel();
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = stage.viewer.seen();
        let named = |number: u64| {
            let of = seen.tracks.values().map(|track| {
                let change = track.changes.iter().find(|change| change.number >= number);
                change.map(|change| change.at_ms)
            });
            of.collect::<Option<Vec<i64>>>()?.into_iter().max()
        };
        Spread::of(numbers.iter().filter_map(|(number, at_ms)| Some(named(*number)? - at_ms)).collect())
    }
}
