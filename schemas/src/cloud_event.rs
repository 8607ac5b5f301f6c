//! Events in CloudEvents' structured JSON form, as webhooks and event streams carry them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    event::{Event, EventData},
    ids::{AssetId, Tenant},
};

/// Version of the CloudEvents format.
pub const SPEC_VERSION: &str = "1.0";
/// `source` of every event.
pub const SOURCE: &str = "/framemill";

/// An event as CloudEvents 1.0 writes it. Attributes are lower-case letters and digits only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CloudEvent {
    /// Always [`SPEC_VERSION`].
    pub specversion: String,
    /// Identity; it repeats when the event does.
    #[schema(value_type = String)]
    pub id: Uuid,
    /// Always [`SOURCE`].
    pub source: String,
    /// `<thing>.<what happened>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When (RFC 3339).
    pub time: String,
    /// The asset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<AssetId>,
    /// Media type of `data`.
    pub datacontenttype: String,
    /// Format of `data`.
    pub dataversion: u32,
    /// Whose it is.
    pub tenant: Tenant,
    /// What about.
    pub data: EventData,
}

impl From<Event> for CloudEvent {
    fn from(event: Event) -> Self {
        let time = jiff::Timestamp::from_millisecond(event.time_ms).unwrap_or_default();
        Self {
            specversion: SPEC_VERSION.to_owned(),
            id: event.id,
            source: SOURCE.to_owned(),
            kind: event.kind,
            time: time.to_string(),
            subject: event.data.asset_id,
            datacontenttype: "application/json".to_owned(),
            dataversion: event.v,
            tenant: event.tenant,
            data: event.data,
        }
    }
}

impl CloudEvent {
    /// When, in Unix milliseconds; 0 where `time` is no time.
    pub fn time_ms(&self) -> i64 {
        self.time.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_millisecond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_those_of_the_standard() {
        let data = EventData { asset_id: Some(AssetId::new(Uuid::from_u128(5))), ..EventData::default() };
        let kind = "asset.accepted".to_owned();
        let event = Event::derive("r", "t", kind, &Tenant::default_tenant(), 1_700_000_000_123, data);
        let json = serde_json::to_value(CloudEvent::from(event)).expect("plain data");
        for (name, value) in [
            ("specversion", "1.0"),
            ("type", "asset.accepted"),
            ("time", "2023-11-14T22:13:20.123Z"),
            ("subject", "00000000-0000-0000-0000-000000000005"),
            ("tenant", "default"),
        ] {
            assert_eq!(json[name], value, "{name}");
        }
        let names = json.as_object().expect("an object").keys();
        assert!(names.clone().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())));
        let read: CloudEvent = serde_json::from_value(json).expect("the same");
        assert_eq!(read.time_ms(), 1_700_000_000_123);
    }
}
