//! What a collector receives of viewers' requests.

use std::sync::{Arc, Mutex};

use framemill_edge::EdgeConfig;
use framemill_schemas::delivery::viewing;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};

use crate::support::{Farm, claims, now_ms};

#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

impl Kept {
    /// Spans of a name about an object, or below a span that is.
    fn of(&self, name: &str, object: &str) -> Vec<SpanData> {
        let all = self.0.lock().unwrap().clone();
        let is_of = |span: &&SpanData| fact(span, "object").as_deref() == Some(object);
        let above: Vec<_> = all.iter().filter(is_of).map(|span| span.span_context.span_id()).collect();
        all.into_iter()
            .filter(|span| span.name == name && (is_of(&span) || above.contains(&span.parent_span_id)))
            .collect()
    }
}

fn fact(span: &SpanData, name: &str) -> Option<String> {
    span.attributes.iter().find(|fact| fact.key.as_str() == name).map(|fact| fact.value.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_traced_where_the_channel_is_looked_for() {
    let kept = Kept::default();
    // Of this process: no other test asks for spans.
    let provider = SdkTracerProvider::builder().with_simple_exporter(kept.clone()).build();
    opentelemetry::global::set_tracer_provider(provider);
    let farm = Farm::start().await;
    let key = "live/acme/traced/t1-00c0ffee/720p/7.m4s";
    farm.put(key, "0123456789").await;
    let config = EdgeConfig { trace_ratio: 1.0, ..EdgeConfig::default() };
    let edge = farm.edge_with("edge-1", config, farm.nats.port).await;
    let token = farm.token(&claims(&["/live/acme/traced/"]));
    let before_ms = now_ms();
    assert_eq!(edge.get(&format!("/t/{token}/{key}")).await.0, 200);
    edge.keeps(&format!("/t/{token}/{key}")).await;
    assert_eq!(edge.get(&format!("/{key}?token=x")).await.0, 403);

    let requests = kept.of("edge.request", key);
    let outcomes: Vec<_> = requests.iter().map(|span| fact(span, "outcome").unwrap()).collect();
    assert_eq!([&outcomes[0], &outcomes[outcomes.len() - 1]], ["miss", "hit"]);
    assert!(outcomes.iter().all(|outcome| outcome != "denied"), "none of whoever is not let in");
    let days = [before_ms, now_ms()].map(|at_ms| viewing("channel:acme/traced", at_ms).id().unwrap().to_owned());
    for span in &requests {
        assert!(days.contains(&span.span_context.trace_id().to_string()), "{span:?}");
        assert_eq!(fact(span, "tenant").as_deref(), Some("acme"));
        assert_eq!(fact(span, "bytes").as_deref(), Some("10"));
    }
    let fetches = kept.of("edge.fetch", key);
    assert!(!fetches.is_empty() && fetches.len() < requests.len(), "only who waited for an origin says so");
    assert_eq!(fetches[0].parent_span_id, requests[0].span_context.span_id());
    assert_eq!((fact(&fetches[0], "answered").as_deref(), fact(&fetches[0], "origin").is_some()), (Some("true"), true));
    let all = format!("{:?}", kept.0.lock().unwrap());
    assert!(!all.contains(&token) && !all.contains("s-1") && !all.contains("127.0.0.1\""), "nobody is told of");
}
