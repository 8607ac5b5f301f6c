//! Follows one title to its end: the event stream says when to look, the title itself says what
//! is. A stream that breaks is opened again; while it is gone, the title is looked at in turns.

use std::time::{Duration, Instant};

use framemill_schemas::{api::AssetView, asset::AssetState, presence::Progress};

use crate::{
    client::{Client, Events, segment, sse},
    exit::{CliError, Exit},
};

/// Longest time between two looks, stream or not.
const LOOK: Duration = Duration::from_secs(2);
/// Shortest time between two looks: a title of a thousand chunks sends thousands of events.
const LOOK_MIN: Duration = Duration::from_millis(100);
/// Longest time without an answer before the API counts as gone: it may be restarted meanwhile.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Who is told what happens.
pub trait Watcher {
    /// The title as it is now.
    fn asset(&mut self, asset: &AssetView);
    /// How far one attempt is.
    fn progress(&mut self, progress: &Progress);
}

/// Follows a title until its jobs are at an end, or until `timeout`.
pub async fn follow(
    client: &Client,
    id: &str,
    timeout: Option<Duration>,
    watcher: &mut impl Watcher,
) -> Result<AssetView, CliError> {
    let path = format!("/v1/assets/{}", segment(id));
    let start = Instant::now();
    let mut stream = Stream::new(client, format!("{path}/events"));
    let mut heard = Instant::now();
    loop {
        let looked = Instant::now();
        match client.get::<AssetView>(&path).await {
            Ok(asset) => {
                heard = Instant::now();
                watcher.asset(&asset);
                if asset.state.is_terminal() {
                    return Ok(asset);
                }
            }
            // An outage passes, or it does not.
            Err(error) if matches!(error.exit, Exit::Failed | Exit::GaveUp) && heard.elapsed() < SILENCE_MAX => {
                tracing::debug!(error = %error.what, "the API does not answer; looking again");
            }
            Err(error) => return Err(error),
        }
        let left = timeout.map(|timeout| timeout.saturating_sub(start.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(CliError::new(Exit::GaveUp, format!("not done after {} s", start.elapsed().as_secs()))
                .at(format!("asset {id}"))
                .mend("it is still being made; watch again with `framemill asset watch`"));
        }
        let until = looked + left.map_or(LOOK, |left| left.min(LOOK));
        stream.listen(looked + LOOK_MIN, until, watcher).await;
    }
}

/// The exit of a title that is at its end.
pub fn verdict(asset: &AssetView) -> Result<(), CliError> {
    let place = format!("asset {}", asset.id);
    match (asset.state, &asset.failure) {
        (AssetState::Published, _) => Ok(()),
        (_, Some(failure)) => Err(CliError::of_failure(failure, place)),
        (AssetState::Cancelled, None) => Err(CliError::failed("the title was cancelled").at(place)),
        (AssetState::Doomed, None) => Err(CliError::new(Exit::NotFound, "the title was removed").at(place)),
        (AssetState::Accepted | AssetState::Failed, None) => {
            Err(CliError::failed("the title failed without a reason").at(place))
        }
    }
}

/// An event stream that comes back.
struct Stream<'a> {
    client: &'a Client,
    path: String,
    open: Option<Events>,
    last_id: String,
}

impl<'a> Stream<'a> {
    fn new(client: &'a Client, path: String) -> Self {
        Self { client, path, open: None, last_id: String::new() }
    }

    /// Passes progress on until something happened (but not before `earliest`) or until `latest`.
    async fn listen(&mut self, earliest: Instant, latest: Instant, watcher: &mut impl Watcher) {
        let mut until = latest;
        loop {
            let next = tokio::time::timeout_at(until.into(), self.next()).await;
            match next {
                Ok(Some(message)) => match to_progress(&message) {
                    Some(progress) => watcher.progress(&progress),
                    None => until = earliest.min(latest),
                },
                // The stream is gone: nothing to hear until the next look.
                Ok(None) => return tokio::time::sleep_until(until.into()).await,
                Err(_) => return,
            }
        }
    }

    async fn next(&mut self) -> Option<sse::Message> {
        if self.open.is_none() {
            self.open = self.client.stream(&self.path, Some(&self.last_id)).await.ok();
        }
        let message = self.open.as_mut()?.next().await;
        match &message {
            Some(message) if !message.id.is_empty() => self.last_id.clone_from(&message.id),
            Some(_) => {}
            None => self.open = None,
        }
        message
    }
}

/// Progress has no place in the log of events, and so is told apart by its type.
fn to_progress(message: &sse::Message) -> Option<Progress> {
    (message.event == "progress").then(|| serde_json::from_str(&message.data).ok()).flatten()
}
