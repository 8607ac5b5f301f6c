//! Where the store is and how it is spoken to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{classes::Classes, error::StoreError, secret::Secret};

/// The section `s3` of the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Config {
    /// `http://host:port` or `https://host`. Left out: the embedded store under `framemill up`,
    /// AWS everywhere else.
    pub endpoint: Option<String>,
    /// Region that requests are signed for.
    pub region: String,
    /// Bucket of everything Framemill writes.
    pub bucket: String,
    /// Access key.
    pub access_key: Option<Secret>,
    /// Secret key.
    pub secret_key: Option<Secret>,
    /// Whether the bucket is in the path (`http://host/bucket/key`) and not in the host name.
    pub path_style: bool,
    /// Whether to create the bucket where it is missing.
    pub create_bucket: bool,
    /// When requests carry a checksum beside their signature.
    pub checksums: Checksums,
    /// What media is put as.
    pub classes: Classes,
    /// How long to wait and how often to try.
    pub limits: Limits,
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: "us-east-1".to_owned(),
            bucket: "framemill".to_owned(),
            access_key: None,
            secret_key: None,
            path_style: true,
            create_bucket: false,
            checksums: Checksums::WhenRequired,
            classes: Classes::default(),
            limits: Limits::default(),
        }
    }
}

/// When requests carry a checksum. The signature covers every body either way; some stores
/// refuse the additional headers and trailers, a few want them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checksums {
    /// Where the operation demands one.
    #[default]
    WhenRequired,
    /// On everything.
    Always,
}

/// Bounds on one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Longest time to connect.
    pub connect_ms: u64,
    /// Longest time to an answer; a put gets more by its size.
    pub answer_ms: u64,
    /// Longest silence in the middle of a body that is read.
    pub stall_ms: u64,
    /// Attempts at one request, the first included.
    pub attempts: u32,
    /// Longest outage that workers and packagers wait out with what they have begun.
    pub outage_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect_ms: 5_000, answer_ms: 30_000, stall_ms: 20_000, attempts: 4, outage_ms: 900_000 }
    }
}

/// A job that waits keeps its slot: an outage of more than a day is somebody's to look after.
const OUTAGE_MS_MAX: u64 = 86_400_000;
/// Slowest transfer that is still waited for, in either direction.
const BYTES_PER_MS_MIN: u64 = 128;

impl Limits {
    pub(crate) fn connect(&self) -> Duration {
        Duration::from_millis(self.connect_ms.max(1))
    }

    pub(crate) fn stall(&self) -> Duration {
        Duration::from_millis(self.stall_ms.max(1))
    }

    /// Longest outage that is waited out.
    pub(crate) fn outage(&self) -> Duration {
        Duration::from_millis(self.outage_ms)
    }

    /// Longest time of one attempt that carries `bytes`.
    pub(crate) fn attempt(&self, bytes: u64) -> Duration {
        Duration::from_millis(self.answer_ms.max(1) + bytes / BYTES_PER_MS_MIN)
    }

    /// Longest time of a request with all its attempts and the pauses between them.
    pub(crate) fn operation(&self, bytes: u64) -> Duration {
        (self.attempt(bytes) + crate::client::BACKOFF_MAX) * self.attempts.max(1)
    }
}

impl S3Config {
    /// The endpoint as errors show it.
    pub fn endpoint_shown(&self) -> String {
        self.endpoint.clone().unwrap_or_else(|| format!("AWS S3 in {}", self.region))
    }

    /// Finds what can be found without asking the store.
    pub fn check(&self) -> Result<(), StoreError> {
        let fault = |setting, why: String| Err(StoreError::Config { setting, why });
        if let Some(endpoint) = &self.endpoint {
            match endpoint.parse::<hyper::Uri>() {
                Err(error) => return fault("s3.endpoint", format!("is no address ({error}); write http://host:port")),
                Ok(uri) => {
                    let scheme = uri.scheme_str().unwrap_or_default();
                    if !matches!(scheme, "http" | "https") {
                        return fault("s3.endpoint", "needs http:// or https:// in front".to_owned());
                    }
                    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
                        return fault(
                            "s3.endpoint",
                            "has keys in it; put them into s3.access_key and s3.secret_key".to_owned(),
                        );
                    }
                    if uri.path() != "/" || uri.query().is_some() {
                        return fault(
                            "s3.endpoint",
                            "has a path; leave it out, the bucket belongs into s3.bucket".to_owned(),
                        );
                    }
                }
            }
        }
        if !s3s::path::check_bucket_name(&self.bucket) {
            return fault(
                "s3.bucket",
                format!("{:?} is no bucket name; use 3 to 63 of a-z, 0-9, '-' and '.'", self.bucket),
            );
        }
        if self.region.is_empty() {
            return fault("s3.region", "is empty; stores without regions take us-east-1".to_owned());
        }
        for (setting, key) in [("s3.access_key", &self.access_key), ("s3.secret_key", &self.secret_key)] {
            if key.as_ref().is_none_or(Secret::is_empty) {
                return fault(setting, "is not set; give it in framemill.toml or in the environment".to_owned());
            }
        }
        if let Some((setting, why)) = self.classes.fault() {
            return fault(setting, why);
        }
        if !(1..=10).contains(&self.limits.attempts) {
            return fault("s3.limits.attempts", "must be 1 to 10".to_owned());
        }
        if self.limits.outage_ms > OUTAGE_MS_MAX {
            return fault("s3.limits.outage_ms", format!("must be at most {OUTAGE_MS_MAX}, a day"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete() -> S3Config {
        S3Config {
            endpoint: Some("http://127.0.0.1:9000".to_owned()),
            access_key: Some("access".into()),
            secret_key: Some("hunter2".into()),
            ..S3Config::default()
        }
    }

    #[test]
    fn a_secret_is_shown_nowhere() {
        let config = complete();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(format!("{config:?}").contains("***"));
    }

    #[test]
    fn faults_name_their_setting() {
        assert_eq!(complete().check(), Ok(()));
        type Spoil = fn(&mut S3Config);
        let cases: [(Spoil, &str); 10] = [
            (|c| c.classes.title = Some("GLACIER".to_owned()), "s3.classes.title"),
            (|c| c.endpoint = Some("127.0.0.1:9000".to_owned()), "s3.endpoint"),
            (|c| c.endpoint = Some("ftp://h".to_owned()), "s3.endpoint"),
            (|c| c.endpoint = Some("http://a:b@h".to_owned()), "s3.endpoint"),
            (|c| c.endpoint = Some("http://h/bucket".to_owned()), "s3.endpoint"),
            (|c| c.bucket = "A/../b".to_owned(), "s3.bucket"),
            (|c| c.region = String::new(), "s3.region"),
            (|c| c.access_key = None, "s3.access_key"),
            (|c| c.secret_key = Some(Secret::default()), "s3.secret_key"),
            (|c| c.limits.attempts = 0, "s3.limits.attempts"),
        ];
        for (spoil, setting) in cases {
            let mut config = complete();
            spoil(&mut config);
            let error = config.check().expect_err(setting);
            assert!(error.to_string().contains(setting), "{error}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
