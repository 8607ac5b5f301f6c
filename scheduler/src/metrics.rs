//! Every metric of a scheduler: what waits, who could take it, and how channels are, told from the view whenever it is
//! asked for, by every scheduler the same; and what came of tokens that were asked of this one.

use framemill_schemas::{
    api::{Scaling, Work},
    live::ChannelState,
};
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram},
};

use crate::{clock::now_ms, view::View};

/// A gauge: its name, what it says, and where in the answer it stands.
type Gauge = (&'static str, &'static str, fn(&Scaling) -> u64);

const GAUGES: [Gauge; 5] = [
    ("waiting_jobs", "Jobs that wait to be claimed", |scaling| scaling.waiting),
    ("oldest_wait_seconds", "How long the oldest job waits", |scaling| scaling.oldest_wait_s),
    ("running_jobs", "Jobs that run", |scaling| scaling.running),
    ("nodes", "Processes that could run such jobs, and take some", |scaling| scaling.nodes),
    ("free_nodes", "Processes that would take such a job now", |scaling| scaling.free_nodes),
];

/// Tokens that were asked for, by what came of it.
pub fn tokens() -> Counter<u64> {
    framemill_telemetry::meter("scheduler")
        .u64_counter("framemill_scheduler_tokens")
        .with_description("Tokens asked for, by what came of it")
        .build()
}

/// Registers what is told from the view.
pub fn register(view: &View) {
    let meter = framemill_telemetry::meter("scheduler");
    for (name, says, of) in GAUGES {
        let view = view.clone();
        meter
            .u64_observable_gauge(format!("framemill_scheduler_{name}"))
            .with_description(says)
            .with_callback(move |observer| {
                // Half of the records says nothing.
                if !view.is_current() {
                    return;
                }
                for (work, scaling) in Work::ALL.into_iter().zip(&view.scaling(now_ms())) {
                    observer.observe(of(scaling), &[KeyValue::new("work", work.as_str())]);
                }
            })
            .build();
    }
    let purged = view.clone();
    meter
        .u64_observable_gauge("framemill_scheduler_open_purges")
        .with_description("Purges that some edge or some cache of others has not confirmed")
        .with_callback(move |observer| {
            if purged.purges_are_current() {
                observer.observe(purged.open_purges().len() as u64, &[]);
            }
        })
        .build();
    let view = view.clone();
    meter
        .u64_observable_gauge("framemill_scheduler_channels")
        .with_description("Channels, by how they are")
        .with_callback(move |observer| {
            if !view.is_current() {
                return;
            }
            let channels = view.channels();
            for state in ChannelState::ALL {
                let count = channels.iter().filter(|entry| entry.record.state == state).count();
                observer.observe(count as u64, &[KeyValue::new("state", state.as_str())]);
            }
        })
        .build();
}

/// How long purges take; told by the scheduler that follows them.
pub fn purge_seconds() -> Histogram<f64> {
    framemill_telemetry::meter("scheduler")
        .f64_histogram("framemill_scheduler_purge_seconds")
        .with_description("Time from the request of a purge to the last edge's acknowledgement")
        .with_boundaries(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0])
        .build()
}
