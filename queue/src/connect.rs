//! Connecting: the server is checked, and everything the farm keeps in it is made and read back,
//! so that nothing is found out in the middle of a job.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_nats::{
    ConnectOptions,
    jetstream::{
        Context,
        consumer::{self, pull},
        context::{AccountErrorKind, ContextBuilder, GetStreamErrorKind},
        stream::Stream,
    },
};
use framemill_schemas::{subject, wire::RECORD_BYTES_MAX};
use futures_util::{StreamExt, TryStreamExt, stream as futures};
use tokio::sync::watch;

use crate::{
    config::{Identity, NatsConfig},
    error::QueueError,
    layout,
    link::{CALL_MAX, Link, LinkState, observe},
    queue::Queue,
    records::Bucket,
};

/// What headers and subject may add to a record.
const ENVELOPE_BYTES_MAX: usize = 64 * 1024;
/// Requests in flight while streams and consumers are made.
const SETUP_PARALLEL: usize = 8;
/// Slowest pace of attempts to come back.
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(1);

impl Queue {
    /// Connects, refuses a server that will not do in one sentence with the mend, and makes what
    /// is missing. Any number of processes may do so at once.
    pub async fn connect(config: &NatsConfig) -> Result<Self, QueueError> {
        let link = open(config).await?;
        check_server(&link, config).await?;
        let handles = make_streams(&link.context, config.replicas).await?;
        let stream = |name: &str| handles[name].clone();
        make_consumers(&stream(subject::JOBS_STREAM)).await?;
        let bucket = |name, newest| Bucket::new(name, newest, stream(&layout::bucket_stream(name)));
        let buckets = layout::BUCKETS.iter().map(|&(name, newest)| (name, bucket(name, newest))).collect();
        Ok(Self::new(link, stream(subject::JOBS_STREAM), stream(subject::EVENTS_STREAM), buckets))
    }
}

async fn open(config: &NatsConfig) -> Result<Link, QueueError> {
    let (sender, state) = watch::channel(LinkState { connects: 0, losses: 0, up: true });
    let sender = Arc::new(sender);
    let events = sender.clone();
    let mut options = ConnectOptions::new()
        .name("framemill")
        .connection_timeout(CALL_MAX)
        .request_timeout(Some(CALL_MAX))
        .ping_interval(Duration::from_secs(10))
        .reconnect_delay_callback(|attempts| {
            RECONNECT_DELAY_MAX.min(Duration::from_millis(20) * u32::try_from(attempts.min(50)).unwrap_or(50))
        })
        .event_callback(move |event| {
            observe(&events, &event);
            std::future::ready(())
        });
    options = match config.identity() {
        Some(Identity::User(user, password)) => options.user_and_password(user, password),
        Some(Identity::Token(token)) => options.token(token),
        None => options,
    };
    if let Some(path) = &config.credentials {
        options = options
            .credentials_file(path)
            .await
            .map_err(|error| QueueError::Credentials { path: path.display().to_string(), reason: error.to_string() })?;
    }
    let addresses: Vec<&str> = config.url.split(',').map(str::trim).collect();
    let client = options
        .connect(addresses)
        .await
        .map_err(|error| QueueError::Unreachable { url: config.shown(), reason: error.to_string() })?;
    let context = ContextBuilder::new().timeout(CALL_MAX).ack_timeout(CALL_MAX).build(client.clone());
    Ok(Link { client, context, state, _events: sender })
}

async fn check_server(link: &Link, config: &NatsConfig) -> Result<(), QueueError> {
    let url = config.shown();
    let account = link.context.query_account().await.map_err(|error| match error.kind() {
        AccountErrorKind::TimedOut => QueueError::Unavailable(error.to_string()),
        _ => QueueError::NoJetStream { url: url.clone(), reason: error.to_string() },
    })?;
    let info = link.client.server_info();
    layout::check_level(&url, &info.version, account.requests.level)?;
    let needed = RECORD_BYTES_MAX + ENVELOPE_BYTES_MAX;
    if link.client.max_payload() < needed {
        return Err(QueueError::SmallPayload { url, bytes: link.client.max_payload(), needed });
    }
    Ok(())
}

async fn make_streams(context: &Context, replicas: u8) -> Result<HashMap<String, Stream<()>>, QueueError> {
    futures::iter(layout::streams(replicas))
        .map(|wanted| async move {
            let what = format!("the stream {}", wanted.name);
            let setup = |reason: String| QueueError::Setup { what: what.clone(), reason };
            let found = match context.get_stream(&wanted.name).await {
                Ok(stream) => stream.cached_info().config.clone(),
                Err(error) if is_missing(&error) => context
                    .create_stream(&wanted)
                    .await
                    .map_err(|error| setup(error.to_string()))?
                    .cached_info()
                    .config
                    .clone(),
                Err(error) => return Err(setup(error.to_string())),
            };
            layout::check_stream(&wanted, &found)?;
            let handle = context.get_stream_no_info(&wanted.name).await.map_err(|error| setup(error.to_string()))?;
            Ok((wanted.name, handle))
        })
        .buffer_unordered(SETUP_PARALLEL)
        .try_collect()
        .await
}

fn is_missing(error: &async_nats::jetstream::context::GetStreamError) -> bool {
    use async_nats::jetstream::ErrorCode;
    matches!(error.kind(), GetStreamErrorKind::JetStream(ref error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

async fn make_consumers(hints: &Stream<()>) -> Result<(), QueueError> {
    let found: HashMap<String, consumer::Config> = hints
        .consumers()
        .map_ok(|info| (info.name, info.config))
        .try_collect()
        .await
        .map_err(|error| QueueError::Setup { what: "the lanes".to_owned(), reason: error.to_string() })?;
    futures::iter(layout::consumers())
        .map(|wanted| {
            let found = found.get(wanted.durable_name.as_deref().unwrap_or_default());
            async move {
                match found {
                    Some(found) => {
                        layout::check_consumer(&wanted, found)?;
                        if found.ack_wait == wanted.ack_wait { Ok(()) } else { change_pace(hints, wanted).await }
                    }
                    None => make_consumer(hints, wanted).await,
                }
            }
        })
        .buffer_unordered(SETUP_PARALLEL)
        .try_collect()
        .await
}

/// Gives a lane that an earlier version made the pace of this one.
async fn change_pace(hints: &Stream<()>, wanted: pull::Config) -> Result<(), QueueError> {
    let what = format!("the lane {}", wanted.durable_name.as_deref().unwrap_or_default());
    tracing::info!(what, ack_wait_s = wanted.ack_wait.as_secs(), "a lane is given another pace");
    let changed = hints.create_consumer(wanted).await.map(|_| ());
    changed.map_err(|error| QueueError::Setup { what, reason: error.to_string() })
}

/// Creates strictly: `create_consumer` would silently change one that is there.
async fn make_consumer(hints: &Stream<()>, wanted: pull::Config) -> Result<(), QueueError> {
    let made = hints.create_consumer_strict(wanted.clone()).await.map_err(|error| QueueError::Setup {
        what: format!("the lane {}", wanted.durable_name.as_deref().unwrap_or_default()),
        reason: error.to_string(),
    })?;
    layout::check_consumer(&wanted, &made.cached_info().config)
}
