//! One registry for the whole process. Each role lists its metrics in a `metrics.rs` of its own.

use std::sync::OnceLock;

use opentelemetry::{
    global,
    metrics::{Meter, MeterProvider},
};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};

struct Metrics {
    registry: Registry,
    provider: SdkMeterProvider,
}

static METRICS: OnceLock<Metrics> = OnceLock::new();

fn metrics() -> &'static Metrics {
    METRICS.get_or_init(|| {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_target_info()
            .build()
            .expect("a new registry holds no collector of the same name");
        let provider = SdkMeterProvider::builder().with_reader(exporter).build();
        global::set_meter_provider(provider.clone());
        Metrics { registry, provider }
    })
}

/// Makes the registry before anything is counted.
pub(crate) fn install() {
    metrics();
}

/// The meter of a service; its series are called `framemill_<service>_<thing>_<unit|total>`.
pub fn meter(service: &'static str) -> Meter {
    metrics().provider.meter(service)
}

/// Every series in the Prometheus text format, version 0.0.4.
pub(crate) fn text() -> Result<String, prometheus::Error> {
    TextEncoder::new().encode_to_string(&metrics().registry.gather())
}
