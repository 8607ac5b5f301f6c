//! What a child says on stderr: always drained, kept within a bound.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// The first bytes name the cause, the last ones the end; a flood lies between.
const HEAD_BYTES: usize = 4 * 1024;
const TAIL_BYTES: usize = 12 * 1024;
/// What no child that does its work ever says: a source that is damaged all over gets a line of a
/// hundred bytes for each of its pictures.
pub(super) const FLOOD_BYTES: u64 = 64 * 1_000_000;
/// How long to wait for the end of stderr after the child's.
const DRAIN: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: u64,
}

impl Kept {
    fn push(&mut self, mut bytes: &[u8]) {
        let room = HEAD_BYTES - self.head.len();
        let (head, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(head);
        bytes = rest;
        self.tail.extend(bytes);
        let excess = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..excess);
        self.dropped += excess as u64;
    }

    fn text(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.head).into_owned();
        if self.dropped > 0 {
            text.push_str(&format!("\n[{} bytes left out]\n", self.dropped));
        }
        let (first, second) = self.tail.as_slices();
        text.push_str(&String::from_utf8_lossy(&[first, second].concat()));
        text
    }
}

/// What was said so far, for whoever waits for a word.
#[derive(Clone, Debug)]
pub(crate) struct Said(Arc<Mutex<Kept>>);

impl Said {
    /// Whether it was said.
    pub fn contains(&self, words: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).text().contains(words)
    }
}

/// Follows a stream to its end.
#[derive(Debug)]
pub(crate) struct Tail {
    kept: Arc<Mutex<Kept>>,
    flood: CancellationToken,
    task: JoinHandle<()>,
}

impl Tail {
    /// Starts following.
    pub fn follow(mut stream: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let into = Arc::clone(&kept);
        let flood = CancellationToken::new();
        let flooded = flood.clone();
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 8 * 1024];
            let mut said = 0_u64;
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                said += count as u64;
                if said > FLOOD_BYTES {
                    flooded.cancel();
                }
                into.lock().unwrap_or_else(PoisonError::into_inner).push(&buffer[..count]);
            }
        });
        Self { kept, flood, task }
    }

    /// What was said so far, now and later.
    pub fn said(&self) -> Said {
        Said(Arc::clone(&self.kept))
    }

    /// Returns once more was said than any child has to say.
    pub async fn flooded(&self) {
        self.flood.cancelled().await;
    }

    /// What was said, once the stream is at its end (waited for within a bound).
    pub async fn text(&mut self) -> String {
        if !self.task.is_finished() {
            let _ = tokio::time::timeout(DRAIN, &mut self.task).await;
        }
        self.task.abort();
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).text()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_keeps_its_first_and_last_words() {
        let mut kept = Kept::default();
        kept.push(b"cause\n");
        for _ in 0..10_000 {
            kept.push(b"a line of a flood that nobody reads\n");
        }
        kept.push(b"the end");
        let text = kept.text();
        assert!(text.starts_with("cause\n") && text.ends_with("the end"));
        assert!(text.len() < HEAD_BYTES + TAIL_BYTES + 64);
    }
}
