//! Spans across processes: a record carries the trace context of its parent, and whoever works on
//! it adopts that parent.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use framemill_schemas::{job::JobRecord, trace::TraceContext};
use opentelemetry::{
    Context, KeyValue, global,
    propagation::TextMapPropagator,
    trace::{Span as _, SpanBuilder, TraceContextExt, Tracer},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// What a child elsewhere needs to know of `span`; empty where nothing is traced.
pub fn context(span: &Span) -> TraceContext {
    carried(&span.context())
}

/// A context as records and headers carry it.
fn carried(context: &Context) -> TraceContext {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(context, &mut headers);
    TraceContext {
        traceparent: headers.remove(TRACEPARENT).unwrap_or_default(),
        tracestate: headers.remove(TRACESTATE).unwrap_or_default(),
    }
}

/// Makes `span` a child of `parent`. To be called before the span is entered or has children:
/// afterwards its ids are given out and nothing changes.
pub fn adopt(span: &Span, parent: &TraceContext) {
    let Some(parent) = remote(parent) else { return };
    // An error says that nothing is traced, or that the span has begun: neither concerns the work.
    let _ = span.set_parent(parent);
}

/// Records a span that is over: a wait is only known when it has ended. Returns what is needed to record others below it;
/// empty where nothing is traced.
pub fn past(
    name: &'static str,
    parent: &TraceContext,
    start_ms: i64,
    end_ms: i64,
    attributes: &[(&'static str, String)],
) -> TraceContext {
    // Without a parent it would be a trace of its own, of which nobody knows.
    let Some(parent) = remote(parent) else { return TraceContext::default() };
    let tracer = global::tracer("framemill");
    let attributes = attributes.iter().map(|(key, value)| KeyValue::new(*key, value.clone()));
    let builder =
        SpanBuilder::from_name(name).with_start_time(instant(start_ms)).with_attributes(attributes.collect::<Vec<_>>());
    // Clocks of two machines differ: a wait never ends before it began.
    let mut span = tracer.build_with_context(builder, &parent);
    span.end_with_timestamp(instant(end_ms.max(start_ms)));
    carried(&Context::new().with_remote_span_context(span.span_context().clone()))
}

/// The span of one try at a job, under the job's parent. The wait in the queue and the claim are
/// recorded beside it as spans that are over. To be called once the job is claimed.
pub fn attempt(job: &JobRecord, fetched_ms: i64) -> Span {
    let kind = job.kind().as_str();
    let span = tracing::info_span!(
        parent: None,
        "attempt",
        job = %job.id,
        asset = %job.asset,
        kind,
        unit = %job.unit,
        attempt = job.attempt,
        node = job.holder.as_ref().map(|holder| holder.node.as_str()),
        otel.status_code = tracing::field::Empty,
    );
    adopt(&span, &job.trace);
    let facts = [("job", job.id.to_string()), ("kind", kind.to_owned()), ("attempt", job.attempt.to_string())];
    past("queue wait", &job.trace, job.ready_ms, fetched_ms, &facts);
    past("claim", &job.trace, fetched_ms, job.claimed_ms, &facts);
    span
}

/// The parent as a context, unless there is none.
fn remote(parent: &TraceContext) -> Option<Context> {
    if parent.traceparent.is_empty() {
        return None;
    }
    let headers = HashMap::from([
        (TRACEPARENT.to_owned(), parent.traceparent.clone()),
        (TRACESTATE.to_owned(), parent.tracestate.clone()),
    ]);
    // From an empty context: what this thread happens to be in is not the parent.
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    context.span().span_context().is_valid().then_some(context)
}

fn instant(ms: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(ms.max(0).unsigned_abs())
}
