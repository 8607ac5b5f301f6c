//! One thing that was fetched, how old it is, and how it lies on disk.

use std::{
    io::{Read, Write},
    sync::Arc,
};

use bytes::Bytes;
use foyer::Code;
use serde::{Deserialize, Serialize};

/// Format of what lies on disk.
const FORMAT: u32 = 1;
/// Longest head of an entry on disk.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// What an entry takes beside its bytes, roughly.
const OVERHEAD_BYTES: usize = 512;
/// How long it is believed that something is not there: at the live edge a segment comes any moment.
const MISSING_MS: i64 = 1000;
/// Nothing is used for longer, since purges are not kept for longer.
const AGE_MS_MAX: i64 = 6 * 24 * 3600 * 1000;

/// An object as viewers get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its bytes.
    pub body: Bytes,
    /// The same, compressed; playlists and manifests alone.
    pub gzip: Option<Bytes>,
    /// Media type.
    pub content_type: String,
    /// Entity tag, without quotes.
    pub etag: String,
    /// How long it is fresh, seconds.
    pub max_age_s: u32,
    /// How long it is shown after that when no origin answers, seconds.
    pub stale_s: u32,
    /// Whether its bytes never change.
    pub immutable: bool,
    /// How old it was when it came, seconds: another cache may have kept it.
    pub age_s: u32,
}

/// What an origin said of a key, and when.
#[derive(Clone, Debug)]
pub struct Entry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// `None`: it is not there.
    object: Option<Object>,
    /// The place in the order of purges that was reached when the fetch began.
    place: u64,
    /// When the fetch began, Unix milliseconds.
    fetched_ms: i64,
}

/// How usable an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// As good as the origin's.
    Fresh,
    /// Better than nothing.
    Stale,
    /// Not to be shown.
    Dead,
}

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    place: u64,
    fetched_ms: i64,
    object: Option<ObjectHead>,
}

#[derive(Serialize, Deserialize)]
struct ObjectHead {
    body: usize,
    gzip: Option<usize>,
    content_type: String,
    etag: String,
    max_age_s: u32,
    stale_s: u32,
    immutable: bool,
}

impl Entry {
    /// What a fetch brought that began then and there.
    pub fn new(object: Option<Object>, place: u64, fetched_ms: i64) -> Self {
        Self(Arc::new(Inner { object, place, fetched_ms }))
    }

    /// The object, if there is one.
    pub fn object(&self) -> Option<&Object> {
        self.0.object.as_ref()
    }

    /// The place in the order of purges that it is as old as.
    pub fn place(&self) -> u64 {
        self.0.place
    }

    /// When its fetch began, Unix milliseconds.
    pub fn fetched_ms(&self) -> i64 {
        self.0.fetched_ms
    }

    /// How long ago its fetch began, seconds.
    pub fn age_s(&self, now_ms: i64) -> i64 {
        now_ms.saturating_sub(self.0.fetched_ms).max(0) / 1000
    }

    /// How usable it is now, as far as time goes.
    pub fn age(&self, now_ms: i64) -> Age {
        let age_ms = now_ms.saturating_sub(self.0.fetched_ms);
        let (fresh_ms, stale_ms) = match &self.0.object {
            None => (MISSING_MS, 0),
            Some(object) if object.immutable => (AGE_MS_MAX, 0),
            Some(object) => (i64::from(object.max_age_s) * 1000, i64::from(object.stale_s) * 1000),
        };
        match age_ms {
            // A clock that was turned back says nothing of an age.
            ..0 => Age::Dead,
            _ if age_ms < fresh_ms => Age::Fresh,
            _ if age_ms < (fresh_ms + stale_ms).min(AGE_MS_MAX) => Age::Stale,
            _ => Age::Dead,
        }
    }

    /// Bytes that it takes.
    pub fn weight(&self) -> usize {
        let bytes = self.object().map_or(0, |object| object.body.len() + object.gzip.as_ref().map_or(0, Bytes::len));
        bytes + OVERHEAD_BYTES
    }
}

impl Code for Entry {
    fn encode(&self, writer: &mut impl Write) -> foyer::Result<()> {
        let head = Head {
            format: FORMAT,
            place: self.0.place,
            fetched_ms: self.0.fetched_ms,
            object: self.object().map(|object| ObjectHead {
                body: object.body.len(),
                gzip: object.gzip.as_ref().map(Bytes::len),
                content_type: object.content_type.clone(),
                etag: object.etag.clone(),
                max_age_s: object.max_age_s,
                stale_s: object.stale_s,
                immutable: object.immutable,
            }),
        };
        let head = serde_json::to_vec(&head).map_err(|error| foyer::Error::io_error(error.into()))?;
        let length = u32::try_from(head.len()).unwrap_or(u32::MAX);
        let mut write = |bytes: &[u8]| writer.write_all(bytes).map_err(foyer::Error::io_error);
        write(&length.to_le_bytes())?;
        write(&head)?;
        if let Some(object) = self.object() {
            write(&object.body)?;
            write(object.gzip.as_deref().unwrap_or_default())?;
        }
        Ok(())
    }

    fn decode(reader: &mut impl Read) -> foyer::Result<Self> {
        let broken = |why: &'static str| foyer::Error::io_error(std::io::Error::other(why));
        let mut length = [0; 4];
        reader.read_exact(&mut length).map_err(foyer::Error::io_error)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > HEAD_BYTES_MAX {
            return Err(broken("the head of an entry is too long"));
        }
        let head: Head = serde_json::from_slice(&read(reader, length)?).map_err(|_| broken("no head of an entry"))?;
        if head.format != FORMAT {
            return Err(broken("an entry of another format"));
        }
        let object = match head.object {
            None => None,
            Some(object) => Some(Object {
                body: read(reader, object.body)?.into(),
                gzip: object.gzip.map(|length| read(reader, length)).transpose()?.map(Bytes::from),
                content_type: object.content_type,
                etag: object.etag,
                max_age_s: object.max_age_s,
                stale_s: object.stale_s,
                immutable: object.immutable,
                // Its fetch is told from then on.
                age_s: 0,
            }),
        };
        Ok(Self::new(object, head.place, head.fetched_ms))
    }

    fn estimated_size(&self) -> usize {
        self.weight()
    }
}

/// Reads this many bytes: as many as there are, whatever a head that was spoilt says.
fn read(reader: &mut impl Read, length: usize) -> foyer::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(length as u64).read_to_end(&mut bytes).map_err(foyer::Error::io_error)?;
    if bytes.len() == length {
        Ok(bytes)
    } else {
        Err(foyer::Error::io_error(std::io::ErrorKind::UnexpectedEof.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(immutable: bool) -> Object {
        Object {
            body: Bytes::from_static(b"body"),
            gzip: Some(Bytes::from_static(b"zip")),
            content_type: "video/mp4".to_owned(),
            etag: "e".to_owned(),
            max_age_s: 1,
            stale_s: 8,
            immutable,
            age_s: 0,
        }
    }

    #[test]
    fn age_tells_what_may_be_shown() {
        let playlist = Entry::new(Some(object(false)), 3, 10_000);
        for (now_ms, age) in
            [(9_999, Age::Dead), (10_000, Age::Fresh), (10_999, Age::Fresh), (11_000, Age::Stale), (19_000, Age::Dead)]
        {
            assert_eq!(playlist.age(now_ms), age, "{now_ms}");
        }
        let segment = Entry::new(Some(object(true)), 3, 0);
        assert_eq!((segment.age(AGE_MS_MAX - 1), segment.age(AGE_MS_MAX)), (Age::Fresh, Age::Dead));
        let missing = Entry::new(None, 3, 0);
        assert_eq!((missing.age(999), missing.age(1000)), (Age::Fresh, Age::Dead));
    }

    #[test]
    fn what_lies_on_disk_is_read_back_and_nothing_else() {
        for entry in [Entry::new(Some(object(true)), 3, 7), Entry::new(None, 4, 8)] {
            let mut bytes = Vec::new();
            entry.encode(&mut bytes).unwrap();
            let back = Entry::decode(&mut bytes.as_slice()).unwrap();
            assert_eq!(
                (back.object(), back.place(), back.0.fetched_ms),
                (entry.object(), entry.place(), entry.0.fetched_ms)
            );
            for length in 0..bytes.len() {
                assert!(Entry::decode(&mut &bytes[..length]).is_err(), "{length}");
            }
        }
        assert!(Entry::decode(&mut [0xff; 64].as_slice()).is_err());
    }
}
