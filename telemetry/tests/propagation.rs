//! A trace crosses processes in records: what one side hands out, the other side adopts.
#![allow(clippy::unwrap_used)]

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use framemill_schemas::trace::TraceContext;
use framemill_telemetry::span;
use opentelemetry::trace::{SpanId, TracerProvider};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};
use tracing_subscriber::layer::SubscriberExt;

#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

impl Kept {
    fn named(&self, name: &str) -> SpanData {
        self.0.lock().unwrap().iter().find(|span| span.name == name).cloned().unwrap()
    }
}

#[test]
fn a_trace_goes_on_elsewhere() {
    let kept = Kept::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(kept.clone()).build();
    opentelemetry::global::set_tracer_provider(provider.clone());
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let _default = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));

    let root = tracing::info_span!("request");
    let carried = span::context(&root);
    assert!(carried.traceparent.starts_with("00-"), "{carried:?}");
    drop(root);

    // Elsewhere: inside a span of its own, which is not the parent.
    let unrelated = tracing::info_span!("loop").entered();
    let child = tracing::info_span!(parent: None, "attempt");
    span::adopt(&child, &carried);
    child.in_scope(|| drop(tracing::info_span!("upload")));
    drop(child);
    let over = span::past("queue wait", &carried, 1_000, 2_500, &[("job", "7".to_owned())]);
    span::past("look", &over, 1_100, 1_200, &[]);
    span::past("claim", &carried, 9_000, 8_000, &[]);
    drop(unrelated.exit());

    let request = kept.named("request");
    assert_eq!(request.parent_span_id, SpanId::INVALID);
    for (name, parent) in
        [("attempt", &request), ("upload", &kept.named("attempt")), ("queue wait", &request), ("claim", &request)]
            .into_iter()
            .chain([("look", &kept.named("queue wait"))])
    {
        let span = kept.named(name);
        assert_eq!(span.parent_span_id, parent.span_context.span_id(), "{name}");
        assert_eq!(span.span_context.trace_id(), request.span_context.trace_id(), "{name}");
    }
    let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
    let wait = kept.named("queue wait");
    assert_eq!((wait.start_time, wait.end_time), (at(1_000), at(2_500)));
    let claim = kept.named("claim");
    assert_eq!((claim.start_time, claim.end_time), (at(9_000), at(9_000)), "two clocks never make a wait negative");

    // Nothing traced, or nonsense: no parent, and no span out of nowhere.
    for parent in ["", "x", "00-00000000000000000000000000000000-0000000000000000-01"] {
        let parent = TraceContext { traceparent: parent.to_owned(), tracestate: String::new() };
        let alone = tracing::info_span!(parent: None, "alone");
        span::adopt(&alone, &parent);
        drop(alone);
        assert_eq!(span::past("lost", &parent, 1, 2, &[]), TraceContext::default());
        assert_eq!(kept.named("alone").parent_span_id, SpanId::INVALID);
    }
    assert!(!kept.0.lock().unwrap().iter().any(|span| span.name == "lost"));
}

#[test]
fn without_a_subscriber_nothing_is_handed_out() {
    let context = span::context(&tracing::Span::none());
    assert_eq!(context, TraceContext::default());
}
