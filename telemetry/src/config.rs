//! What an operator may set.

use serde::{Deserialize, Serialize};

/// The sections `[log]` and `[otel]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Logs.
    pub log: LogConfig,
    /// Traces.
    pub otel: OtelConfig,
}

/// Logs, always to standard error: standard output belongs to a command's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// For people or for machines.
    pub format: LogFormat,
    /// A level, or a level per module: `info`, `warn,framemill_worker=debug`.
    pub level: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Pretty, level: "info".to_owned() }
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line for people; coloured on a terminal unless `NO_COLOR` is set.
    #[default]
    Pretty,
    /// One JSON document per line.
    Json,
}

/// Traces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtelConfig {
    /// OTLP over gRPC, for example `http://collector:4317`; without one nothing is traced.
    pub endpoint: Option<String>,
}
