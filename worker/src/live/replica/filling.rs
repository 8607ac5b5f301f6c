//! Filler for numbers that nobody can make, because no source comes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use framemill_schemas::live::{ChannelRecord, Timelines};

use super::{
    super::publish::{Init, Order, now_ms},
    Replica,
};

/// How long a replica that has just begun gives its source to come.
const COMES: Duration = Duration::from_secs(5);

impl Replica {
    /// Filler for a number that nobody can make: no replica reads a source, and its time is over.
    pub(super) async fn fill(&mut self, channel: &ChannelRecord, timelines: &Timelines) {
        let Some(last) = timelines.last() else { return };
        let comes = self.seen_of(last).is_some_and(|seen| seen.flowing);
        let lost = !comes && !self.peer_reads() && self.began.elapsed() > COMES;
        if !lost || self.log.head.borrow().last.is_none() {
            return;
        }
        // What lies before this replica and before its span is nobody's to fill.
        let began_ms = now_ms() - self.began.elapsed().as_millis() as i64;
        let since_ms = began_ms.max(channel.on_air.begins_ms(now_ms()).unwrap_or_default());
        let free = self.log.head.borrow().free().max(last.number_at_ms(since_ms));
        let segment_ms = last.segment_ms() as i64;
        let lag_ms = self.pace.lag_ms.unwrap_or(1000).clamp(0, 2 * segment_ms);
        let due = last.time_ms(free).end + lag_ms + segment_ms / 4;
        if now_ms() < due || self.filled.is_some_and(|filled| filled >= free) {
            return;
        }
        let Some(filler) = self.fillers.made(last).await.cloned() else { return };
        let timeline = Arc::new(last.clone());
        for track in 0..timeline.rungs.len() + timeline.audio.len() {
            let bytes = match filler.segment(&timeline, track, free) {
                Ok(bytes) => bytes,
                Err(failure) => {
                    self.trouble = Some(failure);
                    return;
                }
            };
            let order = Order {
                timeline: timeline.clone(),
                track,
                number: free,
                bytes,
                init: Init::of(filler.inits[track].clone()),
                filler: true,
                flaws: Vec::new(),
                hold: Duration::ZERO,
                at: Instant::now(),
            };
            self.publisher.put(order).await;
        }
        self.filled = Some(free);
    }
}
