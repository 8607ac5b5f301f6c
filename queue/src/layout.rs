//! What the farm keeps in JetStream: streams, buckets and one durable consumer per lane, and what
//! of each must be exactly as asked for. Pure; `connect` makes them.

use std::time::Duration;

use async_nats::jetstream::{
    consumer::{AckPolicy, pull},
    stream,
};
use framemill_schemas::{
    asset::ASSET_VERSION,
    delivery::{
        ACCOUNT_VERSION, AUDIT_VERSION, EDGE_LOAD_VERSION, EDGE_VERSION, PURGE_AGE_MAX, PURGE_VERSION,
        REVOCATION_AGE_MAX, REVOCATION_VERSION, SESSIONS_VERSION, SIGNING_KEY_VERSION, TENANT_VERSION,
        TOKEN_KEY_VERSION,
    },
    job::{JOB_VERSION, JobKind},
    lane::Lane,
    live::{CHANNEL_VERSION, COMMIT_VERSION, TIMELINES_VERSION},
    node::NODE_VERSION,
    subject,
};

use crate::error::QueueError;

/// Lowest JetStream API level that will do: nats-server 2.12. Older servers accept settings that
/// records rely on, and drop them.
pub(crate) const LEVEL_MIN: usize = 3;

/// How long a delivered hint may go without a sign of life. Holders are judged by their
/// heartbeats; this is for a worker that dies between taking a hint and claiming its job.
pub const ACK_WAIT: Duration = Duration::from_secs(10);

/// Pulls that may wait on one lane: the number of idle runners a farm may have.
const WAITING_MAX: i64 = 16_384;
/// How long events are kept.
const EVENTS_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Sent twice within this time, an event is stored once.
const EVENTS_DUPLICATES: Duration = Duration::from_secs(120);
/// How long an idempotency key is honoured.
const IDEMPOTENCY_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// How long what an edge says of its load is: it is taken for gone much sooner.
const EDGE_LOADS_AGE_MAX: Duration = Duration::from_secs(3600);
/// How long an account's sessions are: each that watches says so again and again.
const SESSIONS_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long the audit trail goes back. Addresses in it have a shorter time, each its own.
const AUDIT_AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// Most entries of the audit trail, and most addresses of it. Beyond it the oldest go: a trail that refuses new entries
/// says nothing of what happens now.
const AUDIT_ENTRIES_MAX: i64 = 1_000_000;

/// All buckets, each with the newest format of its records that this version reads. A record of
/// a newer one is left alone.
pub(crate) const BUCKETS: [(&str, u32); 21] = [
    (subject::ASSETS_BUCKET, ASSET_VERSION),
    (subject::JOBS_BUCKET, JOB_VERSION),
    (subject::LEASES_BUCKET, 1),
    (subject::KEYS_BUCKET, 1),
    (subject::NODES_BUCKET, NODE_VERSION),
    (subject::IDEMPOTENCY_BUCKET, 1),
    (subject::CHANNELS_BUCKET, CHANNEL_VERSION),
    (subject::TIMELINES_BUCKET, TIMELINES_VERSION),
    (subject::COMMITS_BUCKET, COMMIT_VERSION),
    (subject::TOKEN_KEYS_BUCKET, TOKEN_KEY_VERSION),
    (subject::SIGNING_KEYS_BUCKET, SIGNING_KEY_VERSION),
    (subject::REVOCATIONS_BUCKET, REVOCATION_VERSION),
    (subject::SESSIONS_BUCKET, SESSIONS_VERSION),
    (subject::PURGES_BUCKET, PURGE_VERSION),
    (subject::PURGE_STATES_BUCKET, PURGE_VERSION),
    (subject::EDGES_BUCKET, EDGE_VERSION),
    (subject::EDGE_LOADS_BUCKET, EDGE_LOAD_VERSION),
    (subject::TENANTS_BUCKET, TENANT_VERSION),
    (subject::ACCOUNTS_BUCKET, ACCOUNT_VERSION),
    (subject::AUDIT_BUCKET, AUDIT_VERSION),
    (subject::AUDIT_ADDRESSES_BUCKET, AUDIT_VERSION),
];

/// Name of a bucket's stream, as every NATS tool knows it.
pub(crate) fn bucket_stream(bucket: &str) -> String {
    format!("KV_{bucket}")
}

/// Subject of a record.
pub(crate) fn record_subject(bucket: &str, key: &str) -> String {
    format!("$KV.{bucket}.{key}")
}

/// Every stream of a farm.
pub(crate) fn streams(replicas: u8) -> Vec<stream::Config> {
    let replicas = usize::from(replicas.max(1));
    let mut all = vec![hints(replicas), events(replicas)];
    all.extend(BUCKETS.iter().map(|(bucket, _)| bucket_config(bucket, replicas)));
    all
}

fn unlimited(name: &str, subjects: Vec<String>, replicas: usize) -> stream::Config {
    stream::Config {
        name: name.to_owned(),
        subjects,
        max_bytes: -1,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_message_size: -1,
        max_consumers: -1,
        storage: stream::StorageType::File,
        num_replicas: replicas,
        ..Default::default()
    }
}

fn hints(replicas: usize) -> stream::Config {
    stream::Config {
        retention: stream::RetentionPolicy::WorkQueue,
        ..unlimited(subject::JOBS_STREAM, vec![subject::JOBS_SUBJECTS.to_owned()], replicas)
    }
}

fn events(replicas: usize) -> stream::Config {
    stream::Config {
        max_age: EVENTS_AGE_MAX,
        duplicate_window: EVENTS_DUPLICATES,
        ..unlimited(subject::EVENTS_STREAM, vec![subject::EVENTS_SUBJECTS.to_owned()], replicas)
    }
}

/// A bucket is a stream of the shape every NATS tool takes for one, with two differences: it is
/// never read from a follower (a claim on an old copy would be refused only after the work of
/// making it), and the jobs bucket gives notice of every change once it is stored.
fn bucket_config(bucket: &str, replicas: usize) -> stream::Config {
    let subjects = vec![record_subject(bucket, ">")];
    let republish = (bucket == subject::JOBS_BUCKET).then(|| stream::Republish {
        source: record_subject(bucket, ">"),
        destination: subject::changed(bucket, ">"),
        headers_only: true,
    });
    let max_age = match bucket {
        subject::IDEMPOTENCY_BUCKET => IDEMPOTENCY_AGE_MAX,
        subject::REVOCATIONS_BUCKET => REVOCATION_AGE_MAX,
        subject::SESSIONS_BUCKET => SESSIONS_AGE_MAX,
        subject::EDGE_LOADS_BUCKET => EDGE_LOADS_AGE_MAX,
        subject::PURGES_BUCKET | subject::PURGE_STATES_BUCKET => PURGE_AGE_MAX,
        subject::AUDIT_BUCKET | subject::AUDIT_ADDRESSES_BUCKET => AUDIT_AGE_MAX,
        _ => Duration::ZERO,
    };
    let is_trail = matches!(bucket, subject::AUDIT_BUCKET | subject::AUDIT_ADDRESSES_BUCKET);
    stream::Config {
        max_messages: if is_trail { AUDIT_ENTRIES_MAX } else { -1 },
        max_messages_per_subject: 1,
        discard: if is_trail { stream::DiscardPolicy::Old } else { stream::DiscardPolicy::New },
        allow_rollup: true,
        deny_delete: true,
        allow_direct: false,
        allow_message_ttl: true,
        max_age,
        republish,
        ..unlimited(&bucket_stream(bucket), subjects, replicas)
    }
}

/// Every lane's consumer.
pub(crate) fn consumers() -> Vec<pull::Config> {
    Lane::all(&JobKind::ALL).into_iter().map(consumer).collect()
}

/// A lane's consumer: shared by every runner that serves it. Redelivery has no limit, because
/// attempts are counted in the record; neither has the number of hints in work, because a limit
/// would cap the farm.
pub(crate) fn consumer(lane: Lane) -> pull::Config {
    pull::Config {
        durable_name: Some(lane.consumer()),
        filter_subject: lane.filter(),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_deliver: -1,
        max_ack_pending: -1,
        max_waiting: WAITING_MAX,
        ..Default::default()
    }
}

/// Whether the server's API level will do.
pub(crate) fn check_level(url: &str, version: &str, level: usize) -> Result<(), QueueError> {
    if level >= LEVEL_MIN {
        return Ok(());
    }
    Err(QueueError::TooOld { url: url.to_owned(), version: version.to_owned(), level, needed: LEVEL_MIN })
}

/// Compares what the server has with what was asked for. Copies are the operator's business: they
/// are changed on the server, and a runner started with another number must not undo that.
pub(crate) fn check_stream(wanted: &stream::Config, found: &stream::Config) -> Result<(), QueueError> {
    let differs = |field, found: String, wanted_value: String| QueueError::Differs {
        what: format!("the stream {}", wanted.name),
        field,
        found,
        wanted: wanted_value,
        mend: format!("stream rm {}", wanted.name),
    };
    macro_rules! same {
        ($($field:ident),*) => {$(
            if wanted.$field != found.$field {
                return Err(differs(
                    stringify!($field),
                    format!("{:?}", found.$field),
                    format!("{:?}", wanted.$field),
                ));
            }
        )*};
    }
    same!(subjects, retention, storage, max_messages_per_subject, max_age, discard, allow_direct);
    same!(allow_rollup, allow_message_ttl, republish);
    Ok(())
}

/// Compares a consumer with what was asked for, but for its [`ACK_WAIT`]: a pace that is changed in
/// place, and not a shape.
pub(crate) fn check_consumer(
    wanted: &pull::Config,
    found: &async_nats::jetstream::consumer::Config,
) -> Result<(), QueueError> {
    let name = wanted.durable_name.clone().unwrap_or_default();
    let differs = |field, found: String, wanted: String| {
        Err(QueueError::Differs {
            what: format!("the consumer {name} of {}", subject::JOBS_STREAM),
            field,
            found,
            wanted,
            mend: format!("consumer rm {} {name}", subject::JOBS_STREAM),
        })
    };
    macro_rules! same {
        ($($field:ident),*) => {$(
            if wanted.$field != found.$field {
                return differs(
                    stringify!($field),
                    format!("{:?}", found.$field),
                    format!("{:?}", wanted.$field),
                );
            }
        )*};
    }
    same!(filter_subject, ack_policy, max_deliver, max_ack_pending, max_waiting);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_before_2_12_are_refused() {
        for level in 0..LEVEL_MIN {
            let error = check_level("nats://h", "2.10.27", level).unwrap_err().to_string();
            assert!(error.contains("2.10.27") && error.contains("2.12"), "{error}");
        }
        for level in LEVEL_MIN..8 {
            assert!(check_level("nats://h", "2.12.0", level).is_ok());
        }
    }

    #[test]
    fn a_dropped_setting_is_noticed() {
        let wanted = bucket_config(subject::JOBS_BUCKET, 1);
        assert!(check_stream(&wanted, &wanted).is_ok());
        assert!(check_stream(&wanted, &stream::Config { num_replicas: 3, ..wanted.clone() }).is_ok());
        for found in [
            stream::Config { republish: None, ..wanted.clone() },
            stream::Config { allow_message_ttl: false, ..wanted.clone() },
            stream::Config { allow_direct: true, ..wanted.clone() },
            stream::Config { max_messages_per_subject: 64, ..wanted.clone() },
        ] {
            assert!(check_stream(&wanted, &found).is_err());
        }
    }

    #[test]
    fn only_what_is_of_its_time_is_forgotten() {
        let of_their_time = [
            "EVENTS",
            "KV_idempotency",
            "KV_revocations",
            "KV_sessions",
            "KV_edge-loads",
            "KV_purges",
            "KV_purge-states",
            "KV_audit",
            "KV_audit-addresses",
        ];
        for config in streams(3) {
            assert_eq!(config.num_replicas, 3);
            assert!(!config.allow_direct, "{}", config.name);
            let forgets = config.max_age > Duration::ZERO;
            assert_eq!(forgets, of_their_time.contains(&config.name.as_str()), "{}", config.name);
        }
    }
}
