//! Progress for people: one bar per stage on a terminal, plain lines elsewhere.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use framemill_schemas::{
    api::{AssetView, StageView},
    asset::AssetState,
    ids::JobId,
    job::JobKind,
    presence::Progress,
};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    follow::Watcher,
    output::{is_interactive, note, printable, span},
};

/// Steps of a bar per job: chunks are few and long, so that a bar of jobs would stand still.
const STEPS: u64 = 1000;

/// A watcher for the place stderr leads to.
pub fn watcher(quiet: bool) -> Box<dyn Watcher> {
    if quiet {
        Box::new(Quiet)
    } else if is_interactive() {
        Box::new(Bars::new())
    } else {
        Box::new(Lines::default())
    }
}

impl Watcher for Box<dyn Watcher> {
    fn asset(&mut self, asset: &AssetView) {
        (**self).asset(asset);
    }

    fn progress(&mut self, progress: &Progress) {
        (**self).progress(progress);
    }
}

/// Says nothing.
struct Quiet;

impl Watcher for Quiet {
    fn asset(&mut self, _: &AssetView) {}

    fn progress(&mut self, _: &Progress) {}
}

/// What the attempts of a title last said.
#[derive(Default)]
struct Attempts(HashMap<JobId, Progress>);

/// Most attempts remembered.
const ATTEMPTS_MAX: usize = 10_000;

impl Attempts {
    fn note(&mut self, progress: &Progress) {
        if progress.done >= progress.total {
            self.0.remove(&progress.job_id);
        } else if self.0.len() < ATTEMPTS_MAX || self.0.contains_key(&progress.job_id) {
            self.0.insert(progress.job_id, progress.clone());
        }
    }

    /// Steps done by jobs that run. Never more than the running jobs could have done: an attempt
    /// whose end was missed does not count on.
    fn steps(&self, stage: &StageView) -> u64 {
        let done: u64 = self.of(stage.kind).map(|progress| progress.done * STEPS / progress.total.max(1)).sum();
        done.min(u64::from(stage.running) * STEPS)
    }

    /// Thousandths of real time of all running attempts together.
    fn speed_milli(&self, stage: &StageView) -> u64 {
        if stage.running == 0 { 0 } else { self.of(stage.kind).map(|progress| progress.speed_milli).sum() }
    }

    fn of(&self, kind: JobKind) -> impl Iterator<Item = &Progress> {
        self.0.values().filter(move |progress| progress.kind == kind)
    }

    /// A stage at its end leaves nothing behind.
    fn settle(&mut self, stage: &StageView) {
        if stage.running == 0 {
            self.0.retain(|_, progress| progress.kind != stage.kind);
        }
    }
}

/// What was last said of why a title waits.
#[derive(Default)]
struct Waits(Option<String>);

impl Waits {
    /// What is to be said now: where a title begins to wait, waits for something else, or goes on.
    fn news(&mut self, waiting: Option<&str>) -> Option<String> {
        if self.0.as_deref() == waiting {
            return None;
        }
        self.0 = waiting.map(str::to_owned);
        Some(waiting.map_or_else(|| "it goes on".to_owned(), |why| format!("waiting: {why}")))
    }
}

/// Bars on a terminal.
struct Bars {
    all: MultiProgress,
    stages: Vec<(JobKind, ProgressBar, Instant)>,
    attempts: Attempts,
    last: Vec<StageView>,
    waits: Waits,
}

impl Bars {
    fn new() -> Self {
        Self {
            all: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
            stages: Vec::new(),
            attempts: Attempts::default(),
            last: Vec::new(),
            waits: Waits::default(),
        }
    }

    fn bar(&mut self, kind: JobKind) -> (ProgressBar, Instant) {
        if let Some((_, bar, since)) = self.stages.iter().find(|(stage, ..)| *stage == kind) {
            return (bar.clone(), *since);
        }
        let style = ProgressStyle::with_template("{prefix:>10} [{bar:32}] {percent:>3} %  {msg}")
            .expect("the template is constant and good")
            .progress_chars("=> ");
        let bar = self.all.add(ProgressBar::new(STEPS).with_style(style).with_prefix(kind.as_str()));
        let since = Instant::now();
        self.stages.push((kind, bar.clone(), since));
        (bar, since)
    }

    fn draw(&mut self) {
        for stage in self.last.clone() {
            if stage.total == 0 {
                continue;
            }
            let (bar, since) = self.bar(stage.kind);
            let total = u64::from(stage.total) * STEPS;
            let done = u64::from(stage.done) * STEPS + self.attempts.steps(&stage);
            bar.set_length(total);
            bar.set_position(done.min(total));
            bar.set_message(message(&stage, done, total, self.attempts.speed_milli(&stage), since.elapsed()));
        }
    }
}

/// What stands beside a bar.
fn message(stage: &StageView, done: u64, total: u64, speed_milli: u64, elapsed: Duration) -> String {
    let mut parts = vec![format!("{}/{}", stage.done, stage.total)];
    if speed_milli > 0 {
        parts.push(format!("{}.{} x real time", speed_milli / 1000, speed_milli % 1000 / 100));
    }
    if done > 0 && done < total {
        let left_ms = elapsed.as_millis() * u128::from(total - done) / u128::from(done);
        parts.push(format!("{} left", span(i64::try_from(left_ms).unwrap_or(i64::MAX))));
    }
    parts.join(", ")
}

impl Watcher for Bars {
    fn asset(&mut self, asset: &AssetView) {
        if let Some(news) = self.waits.news(asset.waiting.as_deref()) {
            // A terminal that is gone has nobody to tell.
            let _ = self.all.println(printable(&news));
        }
        asset.stages.iter().for_each(|stage| self.attempts.settle(stage));
        self.last.clone_from(&asset.stages);
        self.draw();
        if asset.state.is_terminal() {
            for (_, bar, _) in &self.stages {
                bar.abandon();
            }
        }
    }

    fn progress(&mut self, progress: &Progress) {
        self.attempts.note(progress);
        self.draw();
    }
}

/// A line for each thing that changed.
#[derive(Default)]
struct Lines {
    last: Vec<StageView>,
    state: Option<AssetState>,
    waits: Waits,
}

impl Watcher for Lines {
    fn asset(&mut self, asset: &AssetView) {
        if self.state != Some(asset.state) {
            note(format!("{} {}", asset.id, asset.state.as_str()));
            self.state = Some(asset.state);
        }
        if let Some(news) = self.waits.news(asset.waiting.as_deref()) {
            note(printable(&news));
        }
        for stage in &asset.stages {
            let before = self.last.iter().find(|before| before.kind == stage.kind);
            let changed = before.is_none_or(|before| (before.done, before.total) != (stage.done, stage.total));
            if stage.total > 0 && changed {
                note(format!("{:>10} {}/{}", stage.kind.as_str(), stage.done, stage.total));
            }
        }
        self.last.clone_from(&asset.stages);
    }

    fn progress(&mut self, _: &Progress) {}
}

#[cfg(test)]
mod tests {
    use framemill_schemas::ids::AssetId;
    use uuid::Uuid;

    use super::*;

    fn progress(job: u128, done: u64, total: u64) -> Progress {
        Progress {
            asset_id: AssetId::new(Uuid::from_u128(1)),
            job_id: JobId::new(Uuid::from_u128(job)),
            kind: JobKind::Transcode,
            node: "n".parse().unwrap(),
            done,
            total,
            speed_milli: 1500,
        }
    }

    #[test]
    fn running_jobs_move_the_bar_and_never_beyond_what_they_are() {
        let mut attempts = Attempts::default();
        let stage = |running| StageView { kind: JobKind::Transcode, total: 4, done: 1, running };
        attempts.note(&progress(1, 50, 100));
        attempts.note(&progress(2, 25, 100));
        assert_eq!(attempts.steps(&stage(2)), 750);
        assert_eq!(attempts.speed_milli(&stage(2)), 3000);
        attempts.note(&progress(3, 90, 100));
        assert_eq!(attempts.steps(&stage(1)), 1000, "ends were missed");
        attempts.note(&progress(1, 100, 100));
        assert_eq!(attempts.0.len(), 2);
        attempts.settle(&stage(0));
        assert_eq!(attempts.0.len(), 0);
        attempts.note(&progress(1, 0, 0));
        assert_eq!(attempts.steps(&stage(1)), 0);
    }

    #[test]
    fn waiting_is_said_once_and_taken_back() {
        let mut waits = Waits::default();
        let said: Vec<_> = [None, Some("a"), Some("a"), Some("b"), None, None].map(|why| waits.news(why)).into();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(said, [None, text("waiting: a"), None, text("waiting: b"), text("it goes on"), None]);
    }

    #[test]
    fn time_left_follows_from_what_is_done() {
        let stage = StageView { kind: JobKind::Audio, total: 2, done: 1, running: 1 };
        assert_eq!(message(&stage, 1000, 2000, 2500, Duration::from_secs(3)), "1/2, 2.5 x real time, 3.0 s left");
        assert_eq!(message(&stage, 0, 2000, 0, Duration::from_secs(3)), "1/2");
    }
}
