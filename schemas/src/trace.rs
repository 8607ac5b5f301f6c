//! W3C trace context, carried in records and NATS headers.

use serde::{Deserialize, Serialize};

/// The two headers of W3C Trace Context. Names are lower case on the wire: NATS header look-ups
/// are case-sensitive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceContext {
    /// `00-<trace>-<span>-<flags>`; empty where nothing is traced.
    #[serde(default)]
    pub traceparent: String,
    /// Vendor state; usually empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tracestate: String,
}
