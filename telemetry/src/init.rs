//! Sets the process's logs and traces up, once, and takes them down within a bound.
//!
//! The exporter lives on a small runtime of its own: it works whether or not the caller is inside
//! a runtime, a busy farm cannot starve it, and the last flush cannot wait for the very runtime
//! that is being stopped.

use std::{io::IsTerminal, sync::mpsc, thread, time::Duration};

use opentelemetry::{KeyValue, global, trace::TracerProvider};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider},
};
use tokio::runtime::Runtime;
use tracing::{Level, Metadata, level_filters::LevelFilter};
use tracing_subscriber::{EnvFilter, Layer, Registry, filter::FilterFn, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    config::{LogConfig, LogFormat, TelemetryConfig},
    metrics,
};

/// Longest wait for the last spans to leave.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(5);
/// Longest wait for one batch to be taken by the collector.
const EXPORT_TIME_MAX: Duration = Duration::from_secs(3);
/// How long a finished span waits for company.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// Most finished spans kept for export; over it they are dropped, never the work they describe.
const SPANS_QUEUED_MAX: usize = 16 * 1024;

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A filter that cannot be read.
    #[error(
        "log.level {level:?} is no filter: {detail}; write for example \"info\" or \"warn,framemill_worker=debug\""
    )]
    Level {
        /// What was given.
        level: String,
        /// What is wrong with it.
        detail: String,
    },
    /// An endpoint that cannot be used.
    #[error("otel.endpoint {endpoint:?} cannot be used: {detail}; write for example \"http://collector:4317\"")]
    Endpoint {
        /// What was given.
        endpoint: String,
        /// What is wrong with it.
        detail: String,
    },
    /// No thread for the exporter.
    #[error("no thread for the trace exporter: {0}; raise the process's thread limit")]
    Thread(#[from] std::io::Error),
    /// Called twice in one process.
    #[error("logs and traces of this process are set up already")]
    Again,
}

/// The process's telemetry. Keep it until the end, then call [`Telemetry::shutdown`].
#[must_use = "without shutdown() the last spans are lost"]
#[derive(Debug)]
pub struct Telemetry {
    traces: Option<Traces>,
}

#[derive(Debug)]
struct Traces {
    provider: SdkTracerProvider,
    runtime: Runtime,
}

/// Sets up logs, traces and metrics of a process that plays `role` (`scheduler`, `worker`, `up`).
pub fn init(config: &TelemetryConfig, role: &str) -> Result<Telemetry, TelemetryError> {
    let traces = config.otel.endpoint.as_deref().map(|endpoint| Traces::new(endpoint, role)).transpose()?;
    let spans = traces.as_ref().map(|traces| {
        tracing_opentelemetry::layer()
            .with_tracer(traces.provider.tracer("framemill"))
            .with_location(false)
            .with_threads(false)
            .with_filter(traced())
    });
    tracing_subscriber::registry()
        .with(log_layer(&config.log)?)
        .with(spans)
        .try_init()
        .map_err(|_| TelemetryError::Again)?;
    if let Some(traces) = &traces {
        global::set_tracer_provider(traces.provider.clone());
    }
    metrics::install();
    Ok(Telemetry { traces })
}

impl Telemetry {
    /// Sends what is left, for at most five seconds. May be called inside a runtime.
    pub fn shutdown(self) {
        let Some(Traces { provider, runtime }) = self.traces else { return };
        let (done, wait) = mpsc::channel();
        let flush = thread::Builder::new().name("otel-flush".to_owned()).spawn(move || {
            if let Err(error) = provider.shutdown_with_timeout(FLUSH_TIME_MAX) {
                tracing::warn!(%error, "the last spans were not exported");
            }
            // The receiver is gone once the bound has passed; nobody is left to tell.
            let _ = done.send(());
        });
        if flush.is_ok() {
            let _ = wait.recv_timeout(FLUSH_TIME_MAX);
        }
        runtime.shutdown_background();
    }
}

impl Traces {
    fn new(endpoint: &str, role: &str) -> Result<Self, TelemetryError> {
        let bad = |detail: String| TelemetryError::Endpoint { endpoint: endpoint.to_owned(), detail };
        if !endpoint.starts_with("http://") {
            return Err(bad("only plain http:// is spoken".to_owned()));
        }
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("otel").enable_all().build()?;
        let exporter = {
            let _inside = runtime.enter();
            SpanExporter::builder()
                .with_tonic()
                .with_endpoint(endpoint)
                .with_timeout(EXPORT_TIME_MAX)
                .build()
                .map_err(|error| bad(error.to_string()))?
        };
        let batch = BatchConfigBuilder::default()
            .with_max_queue_size(SPANS_QUEUED_MAX)
            .with_scheduled_delay(BATCH_DELAY)
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batch).build())
            .with_resource(resource(role))
            .build();
        Ok(Self { provider, runtime })
    }
}

fn resource(role: &str) -> Resource {
    Resource::builder_empty()
        .with_service_name("framemill")
        .with_attributes([
            KeyValue::new("service.role", role.to_owned()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("process.pid", i64::from(std::process::id())),
        ])
        .build()
}

/// Our own spans, whatever the log level is; of events only what a person would read. Spans of
/// libraries would include the exporter's own.
fn traced() -> FilterFn {
    fn ours(meta: &Metadata<'_>) -> bool {
        meta.target().starts_with("framemill") && (meta.is_span() || *meta.level() <= Level::INFO)
    }
    FilterFn::new(ours as fn(&Metadata<'_>) -> bool).with_max_level_hint(LevelFilter::DEBUG)
}

fn log_layer(config: &LogConfig) -> Result<Box<dyn Layer<Registry> + Send + Sync>, TelemetryError> {
    let filter = EnvFilter::builder()
        .parse(&config.level)
        .map_err(|error| TelemetryError::Level { level: config.level.clone(), detail: error.to_string() })?
        // What the exporter says of its own doings at info is no news to an operator.
        .add_directive("opentelemetry=warn".parse().expect("a directive written here"));
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    Ok(match config.format {
        LogFormat::Pretty => layer.with_ansi(colour()).with_target(false).with_filter(filter).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).with_filter(filter).boxed(),
    })
}

/// Colour only where a person looks, and did not ask for none (no-color.org).
fn colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_level_and_a_bad_endpoint_are_said_with_the_mend() {
        let config = LogConfig { level: "framemill=loud".to_owned(), ..LogConfig::default() };
        let Err(error) = log_layer(&config) else { panic!("loud is no level") };
        assert!(error.to_string().contains("framemill=loud"), "{error}");
        for bad in ["collector:4317", "https://collector:4317", "http://", ""] {
            assert!(matches!(Traces::new(bad, "worker"), Err(TelemetryError::Endpoint { .. })), "{bad}");
        }
    }

    #[test]
    fn a_dead_collector_does_not_hold_the_shutdown_up() {
        let traces = Traces::new("http://127.0.0.1:9", "worker").unwrap();
        let begun = std::time::Instant::now();
        {
            use opentelemetry::trace::Tracer;
            drop(traces.provider.tracer("test").start("left over"));
        }
        Telemetry { traces: Some(traces) }.shutdown();
        assert!(begun.elapsed() < FLUSH_TIME_MAX + Duration::from_secs(1));
    }
}
