//! One trace an asset, across every process: what an OTLP collector receives of a whole run.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::mpsc,
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::Span,
};
use support::{Place, SMALL_LADDER, clip};
use tonic::{Request, Response, Status, transport::Server};

/// A collector that hands on every span.
struct Collector(mpsc::Sender<Span>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                self.0.send(span).map_err(|_| Status::unavailable("the test has ended"))?;
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Serves a collector on a free port until the runtime is dropped.
fn collector(runtime: &tokio::runtime::Runtime) -> (String, mpsc::Receiver<Span>) {
    let (sender, receiver) = mpsc::channel();
    // Taken and given back: the server binds it again at once.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    runtime.spawn(Server::builder().add_service(TraceServiceServer::new(Collector(sender))).serve(address));
    support::wait("the collector", 10, || std::net::TcpStream::connect(address).ok());
    (format!("http://{address}"), receiver)
}

#[test]
fn a_whole_run_is_one_tree() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (endpoint, received) = collector(&runtime);
    let place = Place::new();
    clip(&place.path().join("clip.mp4"), 5, "320x180");
    place.write("ladder.yaml", SMALL_LADDER);
    let args = ["run", "clip.mp4", "--ladder", "./ladder.yaml", "--json"];
    let ran = place.run_with(&args, &[("FRAMEMILL_OTEL__ENDPOINT", &endpoint)]).ends(0);
    let line: serde_json::Value = serde_json::from_str(ran.stdout.trim()).unwrap();
    let asset = line["asset"].as_str().unwrap();

    // The process has ended and flushed: what is received now is all there is.
    let mut spans = Vec::new();
    while let Ok(span) = received.recv_timeout(Duration::from_secs(1)) {
        spans.push(span);
    }
    let mut traces: BTreeMap<Vec<u8>, Vec<Span>> = BTreeMap::new();
    for span in spans {
        traces.entry(span.trace_id.clone()).or_default().push(span);
    }
    let is_root = |span: &&Span| span.parent_span_id.is_empty();
    let of_asset = |spans: &&Vec<Span>| {
        spans.iter().filter(is_root).any(|span| attribute(span, "asset").as_deref() == Some(asset))
    };
    let tree = traces.values().find(of_asset).expect("the asset has a trace");

    assert_eq!(tree.iter().filter(is_root).count(), 1, "one root");
    let ids: HashSet<_> = tree.iter().map(|span| &span.span_id).collect();
    let orphans: Vec<_> = tree
        .iter()
        .filter(|span| !is_root(span) && !ids.contains(&span.parent_span_id))
        .map(|span| &span.name)
        .collect();
    assert!(orphans.is_empty(), "orphans: {orphans:?}");

    let names: BTreeSet<_> = tree.iter().map(|span| span.name.as_str()).collect();
    for name in ["asset", "plan", "queue wait", "claim", "attempt", "ffmpeg", "upload", "publish"] {
        assert!(names.contains(name), "no span {name:?} among {names:?}");
    }
    let kinds: BTreeSet<_> = tree.iter().filter_map(|span| attribute(span, "kind")).collect();
    assert_eq!(kinds, ["audio", "package", "probe", "transcode", "validate"].map(String::from).into());
    let encode = tree.iter().find(|span| attribute(span, "purpose").as_deref() == Some("transcode")).unwrap();
    assert!(encode.end_time_unix_nano > encode.start_time_unix_nano, "encode time is visible");
    // Nothing of the farm's own upkeep is mixed into another asset's trace.
    let elsewhere = traces.values().filter(|spans| !of_asset(spans));
    let elsewhere: Vec<_> = elsewhere.flatten().filter(|span| span.name == "attempt").collect();
    assert!(elsewhere.is_empty(), "attempts outside their asset's trace: {elsewhere:?}");
}

fn attribute(span: &Span, name: &str) -> Option<String> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let attribute = span.attributes.iter().find(|attribute| attribute.key == name)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}
