//! Identifiers. Each is its own type, so that a job's id is never taken for an asset's.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
        #[schema(value_type = String, example = "0198c0de-0000-7000-8000-000000000000")]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID made elsewhere: this crate has neither clock nor randomness.
            pub const fn new(id: Uuid) -> Self {
                Self(id)
            }

            /// The UUID itself.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }
    };
}

uuid_id!(
    /// A title a tenant submitted (UUID v7: lists sort by age).
    AssetId
);
uuid_id!(
    /// A job (UUID v5 of what it does: two planners derive the same id).
    JobId
);

uuid_id!(
    /// A purge (UUID v7, or v5 of the event that asked for it: asked twice, it is one).
    PurgeId
);

/// Namespace of job ids (RFC 9562, clause 5.5).
const JOB_NAMESPACE: Uuid = Uuid::from_u128(0x8f1d_2c5e_6a0b_5e0e_9b1d_f3a4_2c77_10b6);

impl JobId {
    /// Derives the id of `unit` (for example `transcode/h264/0003`) in a generation's `round`.
    pub fn derive(asset: AssetId, generation: u32, unit: &str, round: u32) -> Self {
        let name = format!("{asset}/{generation}/{unit}/{round}");
        Self(Uuid::new_v5(&JOB_NAMESPACE, name.as_bytes()))
    }
}

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {what} is 1 to {max} of a-z, 0-9 and '-', starting with a letter or digit")]
pub struct NameError {
    what: &'static str,
    max: usize,
}

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9-]{0,62}$")]
        pub struct $name(String);

        impl $name {
            /// The name as text. It is safe in subjects, object keys and URLs.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                if is_name(&text) { Ok(Self(text)) } else { Err(NameError { what: $what, max: NAME_CHARS_MAX }) }
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                text.to_owned().try_into()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

/// Longest name: one DNS label, which also keeps object keys far below S3's 1024 bytes.
pub const NAME_CHARS_MAX: usize = 63;

/// Whether `text` may stand alone in a subject token, an object key and a URL path.
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= NAME_CHARS_MAX
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

name_id!(
    /// A reseller or customer.
    Tenant,
    "tenant"
);
name_id!(
    /// A machine of the fleet.
    NodeId,
    "node name"
);

name_id!(
    /// A live stream definition of a tenant.
    ChannelId,
    "channel name"
);

name_id!(
    /// What nodes share that may fail together: a rack, a room, a power feed.
    Zone,
    "zone"
);

impl Tenant {
    /// The tenant of a farm that has only one.
    pub fn default_tenant() -> Self {
        Self("default".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_ids_are_derived_and_distinct() {
        let asset = AssetId::new(Uuid::from_u128(7));
        let id = JobId::derive(asset, 1, "probe", 0);
        assert_eq!(id, JobId::derive(asset, 1, "probe", 0));
        assert_ne!(id, JobId::derive(asset, 2, "probe", 0));
        assert_ne!(id, JobId::derive(asset, 1, "probe", 1));
        assert_ne!(id, JobId::derive(AssetId::new(Uuid::from_u128(8)), 1, "probe", 0));
    }

    #[test]
    fn names_cannot_break_out_of_a_subject_or_a_key() {
        for good in ["a", "default", "gpu-7", "0"] {
            assert!(good.parse::<Tenant>().is_ok(), "{good}");
        }
        let long = "a".repeat(NAME_CHARS_MAX + 1);
        for bad in ["", "-a", "A", "a.b", "a/b", "..", "a b", "*", ">", "ø", long.as_str()] {
            assert!(bad.parse::<Tenant>().is_err(), "{bad}");
        }
    }
}
