//! The SDK's client, built for one store: no file, no environment and no network is asked for
//! settings that were not given.

use std::time::Duration;

use aws_sdk_s3::{
    Client,
    config::{
        BehaviorVersion, Builder, Config, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
        StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
    },
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use crate::{
    config::{Checksums, Limits, S3Config},
    error::StoreError,
    retry::RetryConflicts,
    secret::Secret,
};

/// Longest pause between two attempts.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(3);
/// First pause between two attempts (the SDK takes a random part of it, and doubles it).
const BACKOFF_FIRST: Duration = Duration::from_millis(250);

/// Builds the client of a checked configuration.
///
/// # Errors
/// A store that is spoken to over TLS from a machine without root certificates.
pub(crate) fn build(config: &S3Config) -> Result<Client, StoreError> {
    let exposed = |secret: &Option<Secret>| secret.as_ref().map_or("", Secret::expose).to_owned();
    let credentials =
        Credentials::new(exposed(&config.access_key), exposed(&config.secret_key), None, None, "framemill");
    let http = aws_smithy_http_client::Builder::new();
    let http = match &config.endpoint {
        Some(endpoint) if endpoint.starts_with("http://") => http.build_http(),
        _ => {
            require_root_certificates()?;
            http.tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
        }
    };
    let mut builder = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(config.region.clone()))
        .credentials_provider(credentials)
        .force_path_style(config.path_style)
        .http_client(http)
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(config.limits.attempts)
                .with_initial_backoff(BACKOFF_FIRST)
                .with_max_backoff(BACKOFF_MAX),
        )
        .retry_classifier(RetryConflicts)
        .timeout_config(timeouts(&config.limits, 0))
        // It would end slow uploads that still move; silence in a body is bounded where it is read.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    builder = match config.checksums {
        Checksums::WhenRequired => builder
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired),
        Checksums::Always => builder
            .request_checksum_calculation(RequestChecksumCalculation::WhenSupported)
            .response_checksum_validation(ResponseChecksumValidation::WhenSupported),
    };
    if let Some(endpoint) = &config.endpoint {
        builder = builder.endpoint_url(endpoint);
    }
    Ok(Client::from_conf(builder.build()))
}

/// Without any the SDK's client panics, or blames the store's certificate.
fn require_root_certificates() -> Result<(), StoreError> {
    if rustls_native_certs::load_native_certs().certs.is_empty() {
        return Err(StoreError::Config {
            setting: "s3.endpoint",
            why: "needs TLS, and this machine has no root certificates; install the package ca-certificates, or name \
                  a PEM file in SSL_CERT_FILE"
                .to_owned(),
        });
    }
    Ok(())
}

/// Bounds of a request that carries `bytes`.
fn timeouts(limits: &Limits, bytes: u64) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(limits.connect())
        .operation_attempt_timeout(limits.attempt(bytes))
        .operation_timeout(limits.operation(bytes))
        .build()
}

/// Settings of one request that carries `bytes`.
pub(crate) fn sized(limits: &Limits, bytes: u64) -> Builder {
    Config::builder().timeout_config(timeouts(limits, bytes))
}
