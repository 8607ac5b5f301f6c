//! Heartbeats and progress: plain messages that are never stored. Lost ones do no harm.

use async_nats::Subscriber;
use bytes::Bytes;
use framemill_schemas::{
    ids::AssetId,
    live::{PlaylistStatus, ReplicaStatus},
    presence::{Heartbeat, Progress},
    subject, wire,
};
use futures_util::{Stream, StreamExt};
use serde::{Serialize, de::DeserializeOwned};

use crate::{error::QueueError, queue::Queue};

impl Queue {
    /// Says that a process lives, and which claims it holds. Dropped while there is no
    /// connection.
    pub async fn beat(&self, heartbeat: &Heartbeat) -> Result<(), QueueError> {
        self.say(subject::heartbeat(&heartbeat.node), heartbeat).await
    }

    /// Everybody's heartbeats.
    pub async fn heartbeats(&self) -> Result<impl Stream<Item = Heartbeat> + Send + use<>, QueueError> {
        self.hear(subject::HEARTBEATS.to_owned()).await
    }

    /// Says how far an attempt is. Dropped while there is no connection.
    pub async fn publish_progress(&self, progress: &Progress) -> Result<(), QueueError> {
        self.say(subject::progress(progress.asset_id), progress).await
    }

    /// Progress of an asset's jobs.
    pub async fn progress(&self, asset: AssetId) -> Result<impl Stream<Item = Progress> + Send + use<>, QueueError> {
        self.hear(subject::progress(asset)).await
    }

    /// Says how a replica of a channel is doing. Dropped while there is no connection.
    pub async fn publish_replica(&self, status: &ReplicaStatus) -> Result<(), QueueError> {
        self.say(subject::replica_status(&status.tenant, &status.channel_id), status).await
    }

    /// How every channel's replicas are doing.
    pub async fn replicas(&self) -> Result<impl Stream<Item = ReplicaStatus> + Send + use<>, QueueError> {
        self.hear(subject::REPLICA_STATUSES.to_owned()).await
    }

    /// Says how a channel's playlists are. Dropped while there is no connection.
    pub async fn publish_playlist(&self, status: &PlaylistStatus) -> Result<(), QueueError> {
        self.say(subject::playlist_status(&status.tenant, &status.channel_id), status).await
    }

    /// How every channel's playlists are.
    pub async fn playlists(&self) -> Result<impl Stream<Item = PlaylistStatus> + Send + use<>, QueueError> {
        self.hear(subject::PLAYLIST_STATUSES.to_owned()).await
    }

    async fn say<T: Serialize>(&self, subject: String, value: &T) -> Result<(), QueueError> {
        let payload = Bytes::from(wire::encode(value)?);
        self.link.tell(self.link.client.publish(subject, payload)).await;
        Ok(())
    }

    async fn hear<T: DeserializeOwned + Send + 'static>(
        &self,
        subject: String,
    ) -> Result<impl Stream<Item = T> + Send + use<T>, QueueError> {
        let heard = |error: String| QueueError::Unavailable(error);
        let messages: Subscriber =
            self.link.client.subscribe(subject).await.map_err(|error| heard(error.to_string()))?;
        // Whoever listens may count on hearing what is said from now on.
        self.link.settle().await.map_err(|error| heard(error.to_string()))?;
        Ok(messages.filter_map(|message| std::future::ready(wire::decode::<T>(&message.payload).ok())))
    }
}
