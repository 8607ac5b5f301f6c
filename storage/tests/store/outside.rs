//! Whatever store `FRAMEMILL_TEST_S3__*` names.

use framemill_storage::{S3Config, Secret};

use crate::suite;

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stderr)]
async fn the_store_of_the_environment_passes_the_suite() {
    let setting =
        |name: &str| std::env::var(format!("FRAMEMILL_TEST_S3__{name}")).ok().filter(|value| !value.is_empty());
    let Some(endpoint) = setting("ENDPOINT") else {
        eprintln!("not run: FRAMEMILL_TEST_S3__ENDPOINT names no store");
        return;
    };
    let config = S3Config {
        endpoint: Some(endpoint),
        bucket: setting("BUCKET").unwrap_or_else(|| "framemill-test".to_owned()),
        access_key: setting("ACCESS_KEY").map(Secret::new),
        secret_key: setting("SECRET_KEY").map(Secret::new),
        region: setting("REGION").unwrap_or_else(|| "us-east-1".to_owned()),
        create_bucket: true,
        ..S3Config::default()
    };
    suite::run(&config).await;
}
