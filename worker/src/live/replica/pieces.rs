//! What comes out of a run: segments on their way to the store, what is wrong with them, and sound that has to keep up
//! with its pictures.

use std::time::{Duration, Instant};

use framemill_media::live::{LivePiece, Wanted};
use framemill_schemas::live::{Flaw, Timeline};

use super::{
    super::{
        encoder::SOUND_AHEAD,
        log::is_superseded,
        publish::{Init, Order},
    },
    Replica,
};

/// How long sound may take that belongs to pictures which are there; then silence stands for it.
const SOUND_LATE: Duration = Duration::from_millis(700);

impl Replica {
    /// Takes a piece of a run.
    pub(super) async fn take(&mut self, at: usize, piece: LivePiece) {
        let running = &mut self.runs[at];
        running.heard = Instant::now();
        let segment = match piece.what {
            Err(init) => {
                running.inits[piece.track] = Some(Init::of(init));
                return;
            }
            Ok(segment) => segment,
        };
        let timeline = running.run.timeline.clone();
        if is_superseded(&self.log.timelines, timeline.id, segment.number) {
            running.last[piece.track] = Some(segment.number);
            return;
        }
        let before = running.complete();
        running.last[piece.track] = Some(segment.number);
        let pictures = running.last[..timeline.rungs.len()].iter().copied().min().flatten();
        if pictures == Some(segment.number) {
            running.whole.insert(segment.number, Instant::now());
        }
        let complete = running.complete();
        let init = running.inits[piece.track].clone().or_else(|| self.fillers.init(timeline.id, piece.track));
        if complete > before {
            self.barren = 0;
            self.trouble = None;
            self.pace.finish(&timeline, segment.number);
        }
        let Some(init) = init else {
            tracing::error!(track = piece.track, "a rendition came without its init");
            return;
        };
        let flaws = self.wrong(at, &timeline);
        let hold = self.hold(&timeline, &flaws);
        let order = Order {
            timeline,
            track: piece.track,
            number: segment.number,
            bytes: segment.bytes,
            init,
            filler: false,
            flaws,
            hold,
            at: segment.at,
        };
        self.publisher.put(order).await;
    }

    /// What is wrong with what a run makes now.
    pub(super) fn wrong(&self, at: usize, timeline: &Timeline) -> Vec<Flaw> {
        let peer = self.log.peer.borrow();
        let behind = peer.now().and_then(|peer| Some(self.pace.lag_ms? - peer.lag_ms?));
        let late = behind.is_some_and(|behind| behind > timeline.segment_ms() as i64 / 2);
        self.runs[at].flaws.iter().copied().chain(late.then_some(Flaw::Late)).collect()
    }

    /// How long a peer that sees nothing wrong is let go first.
    pub(super) fn hold(&self, timeline: &Timeline, flaws: &[Flaw]) -> Duration {
        let peer = self.log.peer.borrow();
        let healthy = peer.now().is_some_and(|peer| peer.encoding && peer.flaws.is_empty());
        let waits = healthy && !flaws.is_empty();
        if waits { Duration::from_millis(timeline.segment_ms() / 4) } else { Duration::ZERO }
    }

    /// Silence is wanted where sound did not come with its pictures.
    pub(super) fn want_sound(&mut self) {
        for running in &mut self.runs {
            let rungs = running.run.timeline.rungs.len();
            let sound = running.last[rungs..].iter().copied().min().flatten();
            let patience = if running.run.timeline.format.sound.is_some() { SOUND_LATE } else { Duration::ZERO };
            let late = |(number, since): (&u64, &Instant)| since.elapsed() >= patience && Some(*number) > sound;
            let silent = running.whole.iter().filter(|entry| late(*entry)).map(|(number, _)| *number).max();
            let pictures = running.last[..rungs].iter().copied().min().flatten().unwrap_or(running.run.first);
            let wanted = Wanted { now: silent.unwrap_or_default(), until: pictures + SOUND_AHEAD };
            running.run.wanted.send_if_modified(|now| {
                let risen = Wanted { now: now.now.max(wanted.now), until: now.until.max(wanted.until) };
                std::mem::replace(now, risen) != risen
            });
            let done = running.complete();
            running.whole.retain(|number, _| Some(*number) > done);
        }
    }
}
