//! `loadtest live load`: one channel after the other is put on air, each with its pair, until as many run as
//! were asked for or this machine cannot take another. Whether they hold real time, and what the farm itself
//! takes beside its encoders.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use framemill_schemas::live::{ChannelDetail, ChannelState};
use serde::Serialize;
use serde_json::json;

use super::{
    channel::Asked,
    report::{Bar, Outcome},
    shares::Taken,
    source::Signal,
    stage::{Common, Scene, Stage},
};
use crate::rig::LOOK;

/// Height of the one rung, as asked for.
const HEIGHT: u32 = 240;
/// How long one more channel may take until its pair works.
const TAKES: Duration = Duration::from_secs(60);
/// How long one question may take.
const ANSWER: Duration = Duration::from_secs(10);
/// The promise: what the farm itself takes for a channel, thousandths of a core.
const OWN_MILLI: i64 = 50;
/// How much further behind a channel may be at the end than at the beginning, milliseconds.
const LAG_MS: i64 = 500;
/// Looks at a replica's lag, one a second, of which the smallest counts: a pause of a moment is no trend.
const LOOKS: u32 = 5;

/// What to run.
#[derive(Clone, Debug)]
pub struct Load {
    /// What all trials take.
    pub common: Common,
    /// Channels that are asked for.
    pub channels: usize,
    /// How long they are measured.
    pub span: Duration,
}

/// What a number of channels came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Held {
    /// Channels on air with their pairs.
    pub channels: usize,
    /// Whether all of them held real time.
    pub holds: bool,
    /// What the roles took for a channel, thousandths of a core.
    pub own_milli: i64,
    /// Of that, the workers.
    pub workers_milli: i64,
    /// Of that, the scheduler.
    pub schedulers_milli: i64,
    /// Of that, the packagers.
    pub packagers_milli: i64,
    /// What NATS took beside them, for a channel, thousandths of a core.
    pub nats_milli: i64,
    /// What the encoders took for a channel, both of its pair, thousandths of a core.
    pub ffmpeg_milli: i64,
    /// What the trial itself took, with the store that it serves, thousandths of a core; for all channels.
    pub trial_milli: i64,
    /// What everything else on this machine took, thousandths of a core: what the trial shares it with.
    pub others_milli: i64,
    /// The slowest replica over the whole time, thousandths of real time.
    pub slowest_milli: i64,
    /// How much further behind a replica was at the end, milliseconds.
    pub lag_grew_ms: i64,
    /// Why they did not hold, for people.
    pub why: Vec<String>,
}

/// Runs everything. `say` is told one line now and then.
pub async fn run(load: &Load, mut say: impl FnMut(String)) -> Result<Outcome> {
    let signal = Signal { size: (416, HEIGHT), ..Signal::PLAIN };
    let scene = Scene { workers: 2, slots: load.channels as u64 + 2, signal, ..Scene::default() };
    let stage = Stage::set(&load.common, &scene, &mut say).await?;
    let uri = stage.source.uri.clone();
    let mut names: Vec<String> = Vec::new();
    while names.len() < load.channels {
        let name = format!("load-{}", names.len() + 1);
        stage.start(&Asked { name: &name, uri: &uri, redundancy: 2, heights: &[HEIGHT], kbps_percent: 100 }).await?;
        if !is_live(&stage, &name).await {
            say(format!("{name} does not get on air with its pair; it is taken off again"));
            stage.off(&name).await?;
            break;
        }
        names.push(name);
    }
    ensure!(!names.is_empty(), "not even one channel gets on air with its pair");
    say(format!("{} channels on air; measuring for {} s", names.len(), load.span.as_secs()));
    let mut tried = Vec::new();
    let held = loop {
        let held = measure(&stage, &names, load.span).await?;
        say(format!("{} channels: {}", held.channels, held.said()));
        tried.push(held.clone());
        if held.holds || names.len() == 1 {
            break held;
        }
        // A fifth fewer at a time finds the limit near enough.
        for _ in 0..names.len().div_ceil(5) {
            if let Some(name) = names.pop() {
                stage.off(&name).await?;
            }
        }
    };
    let asked = i64::try_from(load.channels).unwrap_or(i64::MAX);
    let bars = vec![
        Bar::told("channels asked for", asked),
        Bar::told("channels that hold real time", if held.holds { held.channels } else { 0 }),
        Bar::told("slowest replica", format!("{} thousandths of real time", held.slowest_milli)),
        Bar::told("further behind at the end", format!("{} ms", held.lag_grew_ms)),
        Bar::at_most("the farm's own processes, a channel", held.own_milli, OWN_MILLI, "thousandths of a core"),
        Bar::told(
            "  workers, scheduler, packagers",
            format!("{}, {}, {}", held.workers_milli, held.schedulers_milli, held.packagers_milli),
        ),
        Bar::told("  NATS beside them", format!("{} thousandths of a core", held.nats_milli)),
        Bar::told("the two ffmpegs, a channel", format!("{} thousandths of a core", held.ffmpeg_milli)),
        Bar::told("the trial itself, with its store", format!("{} thousandths of a core", held.trial_milli)),
        Bar::told("source, and others on this machine", format!("{} thousandths of a core", held.others_milli)),
    ];
    let detail = json!({"tried": tried});
    let trial = format!("load, {} channels asked for", load.channels);
    for name in &names {
        stage.off(name).await?;
    }
    Ok(stage.conclude(Outcome::of(trial, bars, detail, Vec::new()), &mut say).await)
}

async fn detail(stage: &Stage, name: &str) -> Result<ChannelDetail> {
    stage.farm.api.get(&format!("/v1/channels/{name}"), ANSWER).await
}

async fn is_live(stage: &Stage, name: &str) -> bool {
    let deadline = Instant::now() + TAKES;
    while Instant::now() < deadline {
        if detail(stage, name).await.is_ok_and(|detail| detail.channel.state == ChannelState::Live) {
            return true;
        }
        tokio::time::sleep(LOOK).await;
    }
    false
}

/// Lets the channels run for a while, and looks at them at its beginning and its end.
async fn measure(stage: &Stage, names: &[String], span: Duration) -> Result<Held> {
    let from = Taken::by(&stage.farm);
    let before = looked_at(stage, names).await?;
    let looked = Instant::now();
    tokio::time::sleep(span).await;
    let between = looked.elapsed();
    let after = looked_at(stage, names).await?;
    let shares = Taken::by(&stage.farm).since(&from);
    let milli = |role: &str| shares.of(role) / i64::try_from(names.len()).unwrap_or(i64::MAX);
    let (workers_milli, schedulers_milli, packagers_milli) = (milli("worker"), milli("scheduler"), milli("packager"));
    let mut held = Held {
        channels: names.len(),
        own_milli: workers_milli + schedulers_milli + packagers_milli,
        workers_milli,
        schedulers_milli,
        packagers_milli,
        nats_milli: milli("nats"),
        ffmpeg_milli: milli("ffmpeg"),
        trial_milli: shares.of("trial"),
        others_milli: shares.others(),
        ..Held::default()
    };
    for (before, after) in before.iter().zip(&after) {
        held.channel(before, after);
    }
    let lost = held.lag_grew_ms.max(0) * 1000 / i64::try_from(between.as_millis()).unwrap_or(i64::MAX).max(1);
    held.slowest_milli = 1000 - lost;
    held.holds = held.why.is_empty();
    Ok(held)
}

async fn looked_at(stage: &Stage, names: &[String]) -> Result<Vec<ChannelDetail>> {
    let mut details = Vec::new();
    for name in names {
        details.push(detail(stage, name).await?);
    }
    for _ in 1..LOOKS {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for known in &mut details {
            let now = detail(stage, known.channel.channel_id.as_str()).await?;
            for replica in &mut known.replicas {
                let lag =
                    now.replicas.iter().find(|other| other.job_id == replica.job_id).and_then(|other| other.lag_ms);
                replica.lag_ms = [replica.lag_ms, lag].into_iter().flatten().min();
            }
        }
    }
    Ok(details)
}

impl Held {
    /// Whether they hold, and why not, for people.
    fn said(&self) -> String {
        match self.why.first() {
            None => "they hold real time".to_owned(),
            Some(first) => format!("{} faults, the first: {first}", self.why.len()),
        }
    }

    /// What a channel came to between two looks.
    fn channel(&mut self, before: &ChannelDetail, after: &ChannelDetail) {
        let name = &after.channel.channel_id;
        let mut fault = |what: String| self.why.push(format!("{name}: {what}"));
        if after.channel.state != ChannelState::Live {
            fault(format!("it is {}", after.channel.state.as_str()));
        }
        let gaps = |detail: &ChannelDetail| detail.renditions.iter().map(|rendition| rendition.gaps).max();
        if gaps(after) > gaps(before) {
            fault("it has more gaps".to_owned());
        }
        for replica in &after.replicas {
            let Some(known) = before.replicas.iter().find(|known| known.job_id == replica.job_id) else {
                fault("a replica was replaced".to_owned());
                continue;
            };
            let grew = replica.lag_ms.unwrap_or(i64::MAX).saturating_sub(known.lag_ms.unwrap_or(0));
            self.lag_grew_ms = self.lag_grew_ms.max(grew);
            if grew > LAG_MS {
                fault(format!("a replica is {grew} ms further behind"));
            }
        }
    }
}
