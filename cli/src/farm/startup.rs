//! What is checked before a role starts, and what is said when it cannot: nothing is found out in
//! the middle of a job.

use std::net::SocketAddr;

use framemill_media::toolchain::{FfmpegConfig, Toolchain};
use framemill_queue::{NatsConfig, Queue, QueueError};
use framemill_storage::{S3Config, Store, StoreError};
use framemill_telemetry::{Telemetry, TelemetryConfig};
use tokio::net::TcpListener;

use crate::exit::{CliError, Exit};

/// Sets logs and traces up.
pub fn telemetry(config: &TelemetryConfig, role: &str) -> Result<Telemetry, CliError> {
    framemill_telemetry::init(config, role).map_err(|error| CliError::usage(error.to_string()).at("log and otel"))
}

/// Connects to the queue, and makes what is missing in it.
pub async fn queue(config: &NatsConfig) -> Result<Queue, CliError> {
    Queue::connect(config).await.map_err(|error| {
        let exit = match &error {
            QueueError::Unreachable { .. } | QueueError::Unavailable(_) | QueueError::Setup { .. } => Exit::Failed,
            _ => Exit::Usage,
        };
        sentence(exit, &error.to_string()).at(format!("nats.url = {}", config.shown()))
    })
}

/// Connects to the store, and proves that it is one.
pub async fn store(config: &S3Config) -> Result<Store, CliError> {
    Store::connect(config).await.map_err(|error| {
        let exit = match &error {
            StoreError::Config { .. }
            | StoreError::NotAStore { .. }
            | StoreError::WrongKeys { .. }
            | StoreError::NotAllowed { .. }
            | StoreError::NoBucket { .. }
            | StoreError::NoConditionalPut { .. } => Exit::Usage,
            _ => Exit::Failed,
        };
        sentence(exit, &error.to_string()).at(format!("s3.endpoint = {}", config.endpoint_shown()))
    })
}

/// Finds ffmpeg and what it can do.
pub async fn tools(config: &FfmpegConfig) -> Result<Toolchain, CliError> {
    Toolchain::find(config).await.map_err(|error| {
        let place = match &config.ffmpeg {
            Some(path) => format!("ffmpeg.ffmpeg = {}", path.display()),
            None => "PATH".to_owned(),
        };
        sentence(Exit::Usage, &error.to_string()).at(place)
    })
}

/// Their errors are one sentence, with the mend behind the last semicolon.
fn sentence(exit: Exit, text: &str) -> CliError {
    match text.rsplit_once("; ") {
        Some((what, mend)) => CliError::new(exit, what).mend(mend),
        None => CliError::new(exit, text),
    }
}

/// Takes an address.
pub async fn listen(address: SocketAddr, what: &str, mend: &str) -> Result<TcpListener, CliError> {
    TcpListener::bind(address).await.map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::AddrInUse => "the address is in use".to_owned(),
            std::io::ErrorKind::PermissionDenied => "the address needs rights this user does not have".to_owned(),
            std::io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
            _ => error.to_string(),
        };
        CliError::usage(format!("cannot listen for {what}: {why}")).at(address.to_string()).mend(mend)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_taken_apart() {
        let error = sentence(Exit::Failed, "NATS is gone (a; b); start it");
        assert_eq!((error.what.as_str(), error.mend.as_deref()), ("NATS is gone (a; b)", Some("start it")));
        assert_eq!(sentence(Exit::Failed, "gone").mend, None);
    }

    #[tokio::test]
    async fn an_address_in_use_is_said_with_its_mend() {
        let held = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = held.local_addr().unwrap();
        let error = listen(address, "the API", "choose another with --listen").await.expect_err("in use");
        assert_eq!(error.exit, Exit::Usage);
        assert_eq!(error.place, Some(address.to_string()));
        assert!(error.what.contains("in use"));
    }
}
