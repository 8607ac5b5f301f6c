//! An object while it arrives: whoever waits for it gets what is there, at his own pace, and goes on as more comes.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::sync::watch;

/// A part that is smaller is put together with others: a list of them has its bound too.
const PART_BYTES_MIN: usize = 16 * 1024;

/// The rest of an object will not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the object broke off while it arrived")]
pub struct BrokenOff;

/// An object of known size, as far as it has come.
#[derive(Debug)]
pub struct Arriving {
    size: usize,
    come: Mutex<Come>,
    /// Told whenever more has come, or nothing more will.
    more: watch::Sender<()>,
}

#[derive(Debug)]
enum Come {
    /// What has come in parts, each with its offset; then what is too small for one.
    Partly(Vec<(usize, Bytes)>, BytesMut),
    /// All of it.
    Whole(Bytes),
    /// No more will come.
    Broken,
}

/// What is there from an offset on.
enum There {
    Bytes(Bytes),
    NotYet,
    Broken,
}

impl Arriving {
    /// Takes how many bytes will come. They break off for whoever reads when what is returned beside it goes away before
    /// all are there.
    pub fn new(size: usize) -> (Arc<Self>, Pouring) {
        let come = match size {
            0 => Come::Whole(Bytes::new()),
            _ => Come::Partly(Vec::new(), BytesMut::new()),
        };
        let arriving = Arc::new(Self { size, come: Mutex::new(come), more: watch::Sender::new(()) });
        let pouring = Pouring { arriving: Arc::clone(&arriving), bytes: 0 };
        (arriving, pouring)
    }

    /// Its size, bytes.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// The bytes of a range, as they come. It lies within the size.
    pub fn read(self: &Arc<Self>, range: Range<usize>) -> BoxStream<'static, Result<Bytes, BrokenOff>> {
        let reader = (Arc::clone(self), self.more.subscribe(), range);
        stream::unfold(reader, |(arriving, mut more, mut range)| async move {
            while !range.is_empty() {
                more.borrow_and_update();
                match arriving.there(range.start) {
                    There::Bytes(mut bytes) => {
                        bytes.truncate(range.len());
                        range.start += bytes.len();
                        return Some((Ok(bytes), (arriving, more, range)));
                    }
                    There::Broken => return Some((Err(BrokenOff), (arriving, more, 0..0))),
                    There::NotYet => {}
                }
                // Who tells lives as long as what is read.
                more.changed().await.ok();
            }
            None
        })
        .boxed()
    }

    fn there(&self, at: usize) -> There {
        match &*self.come() {
            Come::Whole(bytes) => There::Bytes(bytes.slice(at..)),
            Come::Broken => There::Broken,
            Come::Partly(parts, tail) => {
                let after = parts.partition_point(|(start, _)| *start <= at);
                if let Some((start, part)) = parts[..after].last()
                    && at - start < part.len()
                {
                    return There::Bytes(part.slice(at - start..));
                }
                let tail_start = parts.last().map_or(0, |(start, part)| start + part.len());
                match tail.get(at - tail_start..) {
                    Some(rest) if !rest.is_empty() => There::Bytes(Bytes::copy_from_slice(rest)),
                    _ => There::NotYet,
                }
            }
        }
    }

    fn come(&self) -> MutexGuard<'_, Come> {
        self.come.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The side from which an object comes.
#[derive(Debug)]
pub struct Pouring {
    arriving: Arc<Arriving>,
    bytes: usize,
}

impl Pouring {
    /// How many bytes will come.
    pub fn size(&self) -> usize {
        self.arriving.size
    }

    /// How many bytes have come.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether all have.
    pub fn is_whole(&self) -> bool {
        self.bytes == self.arriving.size
    }

    /// Takes the next bytes; returns `false` when they are more than there should be, and takes none then.
    pub fn push(&mut self, bytes: Bytes) -> bool {
        if bytes.len() > self.arriving.size - self.bytes {
            return false;
        }
        let tail_start = self.bytes;
        self.bytes += bytes.len();
        if let Come::Partly(parts, tail) = &mut *self.arriving.come() {
            let tail_start = tail_start - tail.len();
            if bytes.len() < PART_BYTES_MIN {
                tail.extend_from_slice(&bytes);
                if tail.len() >= PART_BYTES_MIN {
                    parts.push((tail_start, tail.split().freeze()));
                }
            } else {
                if !tail.is_empty() {
                    parts.push((tail_start, tail.split().freeze()));
                }
                parts.push((self.bytes - bytes.len(), bytes));
            }
        }
        self.arriving.more.send_replace(());
        true
    }

    /// Ends it; returns all of it when all has come.
    pub fn end(self) -> Option<Bytes> {
        if !self.is_whole() {
            return None;
        }
        let parts = match &*self.arriving.come() {
            Come::Whole(bytes) => return Some(bytes.clone()),
            Come::Broken => return None,
            // Put together outside of the lock: others read meanwhile.
            Come::Partly(parts, tail) => {
                let tail = Bytes::copy_from_slice(tail);
                parts.iter().map(|(_, part)| part.clone()).chain([tail]).collect::<Vec<_>>()
            }
        };
        let whole: Bytes = match parts.as_slice() {
            [only, tail] if tail.is_empty() => only.clone(),
            parts => parts.concat().into(),
        };
        *self.arriving.come() = Come::Whole(whole.clone());
        self.arriving.more.send_replace(());
        Some(whole)
    }
}

impl Drop for Pouring {
    fn drop(&mut self) {
        let mut come = self.arriving.come();
        if matches!(*come, Come::Partly(..)) {
            *come = Come::Broken;
            drop(come);
            self.arriving.more.send_replace(());
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, TryStreamExt};

    use super::*;

    /// What can be read at once.
    fn now(stream: &mut BoxStream<'static, Result<Bytes, BrokenOff>>) -> Vec<Option<Result<Bytes, BrokenOff>>> {
        let mut found = Vec::new();
        while let Some(next) = stream.next().now_or_never() {
            let last = !matches!(next, Some(Ok(_)));
            found.push(next);
            if last {
                break;
            }
        }
        found
    }

    fn bytes(from: usize, to: usize) -> Bytes {
        (from..to).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect()
    }

    #[tokio::test]
    async fn everybody_gets_every_byte_whenever_he_comes() {
        let cuts = [0, 1, 10, 20_000, 20_001, 60_000, 60_500, 80_000, 99_999, 100_000];
        let (arriving, mut pouring) = Arriving::new(100_000);
        let mut readers = vec![(0..100_000, arriving.read(0..100_000))];
        for cut in cuts.windows(2) {
            for range in [0..100_000, 5..6, 19_999..60_001, 99_999..100_000, 7..7] {
                readers.push((range.clone(), arriving.read(range)));
            }
            assert!(pouring.push(bytes(cut[0], cut[1])));
            // One reads along; the others have not begun.
            now(&mut readers[0].1).iter().flatten().for_each(|part| assert!(part.is_ok()));
        }
        assert_eq!((pouring.bytes(), pouring.end()), (100_000, Some(bytes(0, 100_000))));
        readers.push((0..100_000, arriving.read(0..100_000)));
        for (range, reader) in readers.into_iter().skip(1) {
            let read: Vec<Bytes> = reader.try_collect().await.unwrap();
            assert_eq!(read.concat(), bytes(range.start, range.end), "{range:?}");
        }
    }

    #[test]
    fn what_is_there_is_read_before_the_rest_has_come() {
        let (arriving, mut pouring) = Arriving::new(10);
        let mut reader = arriving.read(0..10);
        assert!(now(&mut reader).is_empty());
        assert!(pouring.push(bytes(0, 4)));
        assert_eq!(now(&mut reader), [Some(Ok(bytes(0, 4)))]);
        assert!(!pouring.push(bytes(4, 11)), "more than was said");
        assert!(pouring.push(bytes(4, 10)));
        assert_eq!(now(&mut reader), [Some(Ok(bytes(4, 10))), None]);
    }

    #[test]
    fn what_breaks_off_is_no_whole_for_anybody() {
        let (arriving, mut pouring) = Arriving::new(10);
        let mut reader = arriving.read(0..10);
        assert!(pouring.push(bytes(0, 9)));
        assert_eq!(pouring.end(), None);
        assert_eq!(now(&mut reader), [Some(Err(BrokenOff))]);
        assert_eq!(now(&mut reader), [None]);
        assert_eq!(now(&mut arriving.read(0..1)), [Some(Err(BrokenOff))]);
    }

    #[test]
    fn nothing_is_whole_at_once() {
        let (arriving, pouring) = Arriving::new(0);
        assert_eq!(now(&mut arriving.read(0..0)), [None]);
        assert_eq!(pouring.end(), Some(Bytes::new()));
    }
}
