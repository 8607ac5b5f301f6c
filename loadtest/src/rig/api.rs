//! The farm's API as a user of two schedulers meets it: whichever answers.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use framemill_schemas::{
    api::{AssetView, Garbage},
    finding::Report,
    ids::AssetId,
    submission::Submission,
};
use reqwest::{Client, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Longest wait for an answer that takes a look at the whole store.
const LOOK: Duration = Duration::from_secs(120);
/// Pause before an address is asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// The schedulers' addresses.
#[derive(Clone, Debug)]
pub struct Api {
    client: Client,
    addresses: Vec<String>,
}

impl Api {
    /// An API at `addresses` (`http://host:port`).
    pub fn new(addresses: Vec<String>) -> Result<Self> {
        let client = Client::builder().timeout(ANSWER).no_proxy().build().context("cannot make an HTTP client")?;
        Ok(Self { client, addresses })
    }

    /// Submits under an idempotency key, beginning with the `first`-th scheduler, until one
    /// accepts it. What was sent and not answered is sent again: the key makes it one asset.
    pub async fn submit(&self, body: &Submission, key: &str, first: usize, limit: Duration) -> Result<AssetId> {
        let body = serde_json::to_vec(body)?;
        let answer = self
            .ask(first, limit, |address| {
                self.client
                    .post(format!("{address}/v1/assets"))
                    .header("Idempotency-Key", key)
                    .header("Content-Type", "application/json")
                    .body(body.clone())
            })
            .await?;
        let view: AssetView = answer.json().await.context("the answer to a submission is no asset")?;
        Ok(view.id)
    }

    /// Puts a document where it belongs.
    pub async fn put(&self, path: &str, body: &Value, limit: Duration) -> Result<()> {
        let body = serde_json::to_vec(body)?;
        let json = ("Content-Type", "application/json");
        self.ask(0, limit, |address| {
            self.client.put(format!("{address}{path}")).header(json.0, json.1).body(body.clone())
        })
        .await?;
        Ok(())
    }

    /// Asks for something to be done; doing it twice does nothing more.
    pub async fn post(&self, path: &str, limit: Duration) -> Result<()> {
        self.ask(0, limit, |address| self.client.post(format!("{address}{path}"))).await?;
        Ok(())
    }

    /// What is there.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, limit: Duration) -> Result<T> {
        let answer = self.ask(0, limit, |address| self.client.get(format!("{address}{path}"))).await?;
        answer.json().await.with_context(|| format!("the answer of {path} is not what it should be"))
    }

    /// What a role's health listener tells of its metrics, in the text format.
    pub async fn metrics(&self, health: u16) -> Result<String> {
        let asked = self.client.get(format!("http://127.0.0.1:{health}/metrics")).timeout(Duration::from_secs(2));
        Ok(asked.send().await?.error_for_status()?.text().await?)
    }

    /// Asks the farm to check a published asset.
    pub async fn check(&self, asset: AssetId, limit: Duration) -> Result<Report> {
        let answer = self
            .ask(0, limit, |address| self.client.post(format!("{address}/v1/assets/{asset}/check")).timeout(LOOK))
            .await?;
        answer.json().await.context("the answer to a check is no report")
    }

    /// Asks the farm to collect what has outlived its use.
    pub async fn collect(&self, limit: Duration) -> Result<Garbage> {
        let answer = self.ask(0, limit, |address| self.client.post(format!("{address}/v1/gc")).timeout(LOOK)).await?;
        answer.json().await.context("the answer to a collection is none")
    }

    /// Whether a role's health listener says that it is ready.
    pub async fn is_ready(&self, health: u16) -> bool {
        let asked = self.client.get(format!("http://127.0.0.1:{health}/readyz")).timeout(Duration::from_secs(2));
        asked.send().await.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// Asks one scheduler after the other. Whoever is down, busy or cut off is passed over; a
    /// refusal is an error.
    async fn ask(
        &self,
        first: usize,
        limit: Duration,
        request: impl Fn(&str) -> reqwest::RequestBuilder,
    ) -> Result<Response> {
        let deadline = Instant::now() + limit;
        let mut said = "nobody answered".to_owned();
        let mut turn = first;
        while Instant::now() < deadline {
            let address = &self.addresses[turn % self.addresses.len()];
            turn += 1;
            match request(address).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(answer),
                Ok(answer) if answer.status().is_server_error() || answer.status() == StatusCode::TOO_MANY_REQUESTS => {
                    said = format!("{address} answered {}", answer.status());
                }
                Ok(answer) => {
                    let status = answer.status();
                    bail!("{address} answered {status}: {}", answer.text().await.unwrap_or_default());
                }
                Err(error) => said = format!("{address}: {error}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("no scheduler took it within {} s; {said}", limit.as_secs())
    }
}
