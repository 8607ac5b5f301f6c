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

impl TraceContext {
    /// The trace's id as collectors show it; `None` where nothing is traced.
    pub fn id(&self) -> Option<&str> {
        let mut parts = self.traceparent.split('-');
        let (_version, id) = (parts.next()?, parts.next()?);
        (id.len() == 32 && id.bytes().any(|digit| digit != b'0')).then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_read_where_there_is_one() {
        for (traceparent, id) in [
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Some("0af7651916cd43dd8448eb211c80319c")),
            ("00-00000000000000000000000000000000-b7ad6b7169203331-01", None),
            ("", None),
            ("00-x-y-z", None),
        ] {
            let trace = TraceContext { traceparent: traceparent.to_owned(), ..TraceContext::default() };
            assert_eq!(trace.id(), id, "{traceparent}");
        }
    }
}
