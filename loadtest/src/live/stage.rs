//! A farm with a channel on air, a viewer before it, and somebody who asks the farm how it is.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use framemill_schemas::{finding::Finding, live::channel_folder};
use nix::sys::signal::Signal as Kill;
use serde_json::Value;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    channel::Asked,
    report::{Bar, Outcome},
    serve::{Origin, serve},
    source::{Signal, Source, Way, has_multicast},
    viewer::{Look, Viewer},
    watch::{Blow, Watch, is_whole},
};
use crate::{
    chaos::audit::remains,
    rig::{Build, Farm, Folder, LOOK, Member, Programs, proc},
};

/// How long the API may take for anything.
const ANSWER: Duration = Duration::from_secs(20);
/// How long a channel may take to get on air with all its replicas.
const WHOLE: Duration = Duration::from_secs(90);
/// How long children may take to end once nobody wants them.
const ENDS: Duration = Duration::from_secs(30);
/// How long an encoder may show no progress, seconds.
const STALL_S: u64 = 15;

/// What all trials take.
#[derive(Clone, Debug)]
pub struct Common {
    /// What the farm is made of.
    pub programs: Programs,
    /// How a channel gets its source; without it, as this machine can.
    pub way: Option<Way>,
    /// Where logs and data are kept; without it, a temporary folder that is kept only when something is
    /// found.
    pub folder: Option<PathBuf>,
}

/// What a trial needs.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Workers.
    pub workers: u8,
    /// Jobs that each of them runs at once.
    pub slots: u64,
    /// What is sent.
    pub signal: Signal,
    /// Pause between two looks of the viewer.
    pub look: Duration,
}

impl Default for Scene {
    fn default() -> Self {
        Self { workers: 3, slots: 4, signal: Signal::PLAIN, look: Duration::from_millis(100) }
    }
}

/// A trial in progress.
#[derive(Debug)]
pub struct Stage {
    /// The farm.
    pub farm: Arc<Farm>,
    /// How the channel gets its source.
    pub way: Way,
    /// The source.
    pub source: Source,
    /// The viewer.
    pub viewer: Arc<Viewer>,
    /// What the farm says.
    pub watch: Arc<Watch>,
    /// Where the viewer looks.
    pub look: Look,
    /// When it began.
    pub began: Instant,
    channel: String,
    folder: Folder,
    stop: CancellationToken,
    looking: TaskTracker,
}

impl Stage {
    /// Starts a farm and a source. No channel is on air yet.
    pub async fn set(common: &Common, scene: &Scene, say: &mut impl FnMut(String)) -> Result<Self> {
        let folder = Folder::make("framemill-live-", common.folder.as_deref())?;
        let sources = folder.path.join("sources");
        ensure!(!sources.exists(), "{} holds another run; name a new folder", folder.path.display());
        std::fs::create_dir_all(&sources).context("cannot make a folder for sources")?;
        let way = match common.way {
            Some(way) => way,
            None if has_multicast().await => Way::Udp,
            None => Way::File,
        };
        say(format!("the source is sent by {}; logs in {}", way.as_str(), folder.path.display()));
        let members = [Member::Scheduler(1)]
            .into_iter()
            .chain((1..=scene.workers).map(Member::Worker))
            .chain([Member::Packager(1), Member::Packager(2)]);
        let build = Build {
            programs: common.programs.clone(),
            members: members.collect(),
            slots: scene.slots,
            stall_s: STALL_S,
            // Several nodes stand on this one machine: what it does is not what one of them does.
            busy_percent: Some(100),
            pace: None,
        };
        let farm = Arc::new(Farm::start(&build, &folder.path, &sources).await?);
        let source = Source::start(&common.programs, way, scene.signal, &farm.mark, &sources).await?;
        let look = Look {
            store: farm.store.clone(),
            folder: String::new(),
            archive: folder.path.join("archive"),
            every: scene.look,
        };
        Ok(Self {
            farm,
            way,
            source,
            viewer: Arc::default(),
            watch: Arc::default(),
            look,
            began: Instant::now(),
            channel: String::new(),
            folder,
            stop: CancellationToken::new(),
            looking: TaskTracker::new(),
        })
    }

    /// Puts a channel on air.
    pub async fn start(&self, asked: &Asked<'_>) -> Result<()> {
        let path = format!("/v1/channels/{}", asked.name);
        self.farm.api.put(&path, &asked.document(), ANSWER).await?;
        self.farm.api.post(&format!("{path}/start"), ANSWER).await
    }

    /// Hands out what viewers read, on loopback.
    pub async fn serve(&self) -> Result<Origin> {
        serve(self.farm.store.clone(), self.stop.clone()).await
    }

    /// Puts a channel on air and waits until all its replicas work; begins to look.
    pub async fn air(&mut self, asked: &Asked<'_>) -> Result<()> {
        self.start(asked).await?;
        self.channel = asked.name.to_owned();
        let tenant = self.tenant().await?;
        self.look.folder = channel_folder(&tenant.parse()?, &asked.name.parse()?);
        let (watch, farm, stop) = (self.watch.clone(), self.farm.clone(), self.stop.clone());
        let path = format!("/v1/channels/{}", asked.name);
        self.looking.spawn(async move { watch.run(&farm.api, &path, &stop).await });
        self.viewer.find(&self.look).await?;
        let (viewer, look, stop) = (self.viewer.clone(), self.look.clone(), self.stop.clone());
        self.looking.spawn(async move { viewer.run(&look, &stop).await });
        let whole = self.whole(None, WHOLE).await;
        ensure!(whole.is_some(), "the channel is not whole after {} s: {}", WHOLE.as_secs(), self.said());
        Ok(())
    }

    async fn tenant(&self) -> Result<String> {
        let view: Value = self.farm.api.get(&format!("/v1/channels/{}", self.channel), ANSWER).await?;
        Ok(view["tenant"].as_str().context("a channel without a tenant")?.to_owned())
    }

    /// Waits until the channel has all its replicas again; tells when that was, Unix milliseconds, or nothing
    /// where it takes too long.
    pub async fn whole(&self, blow: Option<&Blow>, limit: Duration) -> Option<i64> {
        let deadline = Instant::now() + limit;
        loop {
            let last = self.watch.said().last.clone();
            if let Some((at_ms, detail)) = last
                && is_whole(&detail, blow, at_ms)
            {
                return Some(at_ms);
            }
            if Instant::now() > deadline {
                return None;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until viewers got so many more numbers.
    pub async fn numbers(&self, more: u64, limit: Duration) -> Result<()> {
        let until = self.viewer.seen().head().unwrap_or_default() + more;
        let deadline = Instant::now() + limit;
        while self.viewer.seen().head().unwrap_or_default() < until {
            ensure!(Instant::now() < deadline, "number {until} is not there after {} s", limit.as_secs());
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Takes a channel off air.
    pub async fn off(&self, name: &str) -> Result<()> {
        self.farm.api.post(&format!("/v1/channels/{name}/stop"), ANSWER).await
    }

    /// What the farm said last, for people.
    pub fn said(&self) -> String {
        let Some(detail) = self.watch.detail() else { return "nothing was said of it".to_owned() };
        let replicas: Vec<_> = detail
            .replicas
            .iter()
            .map(|replica| {
                let node = replica.node.as_ref().map_or_else(|| "nowhere".to_owned(), ToString::to_string);
                format!("{node} {:?} proven {} number {:?}", replica.state, replica.proven, replica.number)
            })
            .collect();
        let why = detail.channel.why.map(|why| why.reason);
        format!("{}, {why:?}, head {:?}, {replicas:?}", detail.channel.state.as_str(), detail.head)
    }

    /// Takes the channel off air and looks whether anything still works for it.
    pub async fn leave(&self) -> Result<Vec<Finding>> {
        self.off(&self.channel).await?;
        let deadline = Instant::now() + ENDS;
        let mut left = self.farm.others();
        while !left.is_empty() && Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
            left = self.farm.others();
        }
        self.stop.cancel();
        self.looking.close();
        self.looking.wait().await;
        let mut findings = remains::processes(&left, "but roles after the channel's end");
        findings.extend(self.viewer.compare(&self.look).await?);
        Ok(findings)
    }

    /// Where the server of the farm is.
    pub fn nats(&self) -> String {
        format!("nats://127.0.0.1:{}", self.farm.nats.port)
    }

    /// Ends everything, and completes what it came to: nothing may be left.
    pub async fn conclude(self, mut outcome: Outcome, say: &mut impl FnMut(String)) -> Outcome {
        self.way.as_str().clone_into(&mut outcome.source);
        outcome.wall_s = self.began.elapsed().as_secs_f64();
        let (left, folder) = self.end().await;
        outcome.bars.push(Bar::none("processes left", left.len() as u64));
        outcome.findings.extend(left);
        if let Some(kept) = folder.end(outcome.is_kept()) {
            say(format!("logs and what viewers got are kept in {}", kept.display()));
        }
        outcome
    }

    /// Ends everything; tells what is left.
    async fn end(self) -> (Vec<Finding>, Folder) {
        self.stop.cancel();
        self.looking.close();
        self.looking.wait().await;
        self.source.end().await;
        self.farm.heal();
        self.farm.end_roles().await;
        self.farm.end_base().await;
        let left = proc::marked(&self.farm.mark);
        let findings = remains::processes(&left, "after the end");
        for found in &left {
            proc::signal(found.pid, Kill::SIGKILL);
        }
        (findings, self.folder)
    }
}
