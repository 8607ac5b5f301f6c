//! Events as NATS messages: CloudEvents 1.0 in binary mode, attributes as `ce-` headers and the
//! facts as a JSON body, so that any consumer can read them. Pure.

use async_nats::HeaderMap;
use bytes::Bytes;
use framemill_schemas::event::Event;
use jiff::Timestamp;

/// What `ce-source` says.
const SOURCE: &str = "/framemill";

/// Why a message is no event.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EventError {
    #[error("the header {0} is missing or cannot be read")]
    Header(&'static str),
    #[error("the body is not an event's data: {0}")]
    Body(#[from] serde_json::Error),
}

/// Writes an event.
pub(crate) fn write(event: &Event) -> Result<(HeaderMap, Bytes), EventError> {
    let time = Timestamp::from_millisecond(event.time_ms).map_err(|_| EventError::Header("ce-time"))?;
    let mut headers = HeaderMap::new();
    headers.insert("ce-specversion", "1.0");
    headers.insert("ce-id", event.id.to_string());
    headers.insert("ce-source", SOURCE);
    headers.insert("ce-type", event.kind.as_str());
    headers.insert("ce-time", time.to_string());
    headers.insert("ce-tenant", event.tenant.as_str());
    headers.insert("ce-dataversion", event.v.to_string());
    if let Some(asset) = event.data.asset_id {
        headers.insert("ce-subject", asset.to_string());
    }
    headers.insert("content-type", "application/json");
    Ok((headers, serde_json::to_vec(&event.data)?.into()))
}

/// Reads an event.
pub(crate) fn read(headers: Option<&HeaderMap>, body: &[u8]) -> Result<Event, EventError> {
    let field = |name: &'static str| {
        headers.and_then(|headers| headers.get(name)).map(|value| value.as_str()).ok_or(EventError::Header(name))
    };
    let time: Timestamp = field("ce-time")?.parse().map_err(|_| EventError::Header("ce-time"))?;
    Ok(Event {
        v: field("ce-dataversion")?.parse().map_err(|_| EventError::Header("ce-dataversion"))?,
        id: field("ce-id")?.parse().map_err(|_| EventError::Header("ce-id"))?,
        kind: field("ce-type")?.to_owned(),
        tenant: field("ce-tenant")?.parse().map_err(|_| EventError::Header("ce-tenant"))?,
        time_ms: time.as_millisecond(),
        data: serde_json::from_slice(body)?,
    })
}

#[cfg(test)]
mod tests {
    use framemill_schemas::{
        event::EventData,
        ids::{AssetId, Tenant},
    };
    use uuid::Uuid;

    use super::*;

    fn event() -> Event {
        let data = EventData {
            channel_id: None,
            asset_id: Some(AssetId::new(Uuid::from_u128(5))),
            attempt: Some(2),
            reason: Some("ø\n\"".to_owned()),
            ..EventData::default()
        };
        Event::derive("r", "t", "probe.failed".to_owned(), &Tenant::default_tenant(), 1_700_000_000_123, data)
    }

    #[test]
    fn what_is_written_is_read() {
        let event = event();
        let (headers, body) = write(&event).unwrap();
        assert_eq!(headers.get("ce-time").unwrap().as_str(), "2023-11-14T22:13:20.123Z");
        assert_eq!(read(Some(&headers), &body).unwrap(), event);
    }

    #[test]
    fn a_missing_attribute_is_named() {
        let (headers, body) = write(&event()).unwrap();
        assert!(read(None, &body).unwrap_err().to_string().contains("ce-"));
        assert!(matches!(read(Some(&headers), b"{").unwrap_err(), EventError::Body(_)));
    }
}
