//! Splits a byte stream into its initialisation segment and its fragments.

use bytes::{Bytes, BytesMut};

use super::CutError;
use crate::boxes::{BoxError, Header, INIT_BYTES_MAX, fourcc, header};

/// Largest fragment: one group of pictures at the highest bitrate a ladder may ask for.
const FRAGMENT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Largest `moof`, or box that is passed over.
const SMALL_BOX_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A whole part of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// `ftyp` and `moov`.
    Init(Bytes),
    /// A `moof` and its `mdat`.
    Fragment(BytesMut),
}

/// Bytes that are not yet a whole part.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    buffer: BytesMut,
    init: BytesMut,
    moof: Option<BytesMut>,
    has_init: bool,
}

impl Stream {
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole part, `None` until more bytes come.
    pub fn next(&mut self) -> Result<Option<Part>, CutError> {
        loop {
            let found = match header(&self.buffer) {
                Header::Short => return Ok(None),
                Header::Invalid => return Err(BoxError::Size { offset: 0 }.into()),
                Header::Box(found) => found,
            };
            let limit = match &found.kind {
                b"ftyp" | b"moov" => INIT_BYTES_MAX as u64,
                b"mdat" => FRAGMENT_BYTES_MAX,
                _ => SMALL_BOX_BYTES_MAX,
            };
            if found.total_bytes > limit {
                return Err(CutError::OffPlan(format!(
                    "a {} box of {} bytes, over the limit of {limit}",
                    fourcc(found.kind),
                    found.total_bytes
                )));
            }
            let total = usize::try_from(found.total_bytes).expect("it is under the limit");
            if self.buffer.len() < total {
                self.buffer.reserve(total - self.buffer.len());
                return Ok(None);
            }
            let whole = self.buffer.split_to(total);
            if let Some(part) = self.take(found.kind, whole)? {
                return Ok(Some(part));
            }
        }
    }

    fn take(&mut self, kind: [u8; 4], whole: BytesMut) -> Result<Option<Part>, CutError> {
        match &kind {
            b"ftyp" if !self.has_init => self.init = whole,
            b"moov" if !self.has_init => {
                self.has_init = true;
                let mut init = std::mem::take(&mut self.init);
                init.unsplit(whole);
                return Ok(Some(Part::Init(init.freeze())));
            }
            b"ftyp" | b"moov" => return Err(CutError::OffPlan("a second initialisation segment".to_owned())),
            b"moof" if !self.has_init => return Err(BoxError::Missing("moov").into()),
            b"moof" if self.moof.is_some() => return Err(BoxError::Missing("mdat").into()),
            b"moof" => self.moof = Some(whole),
            b"mdat" => {
                let mut fragment = self.moof.take().ok_or(BoxError::Missing("moof"))?;
                fragment.unsplit(whole);
                return Ok(Some(Part::Fragment(fragment)));
            }
            // What the muxer adds between and after fragments (`styp`, `sidx`, `mfra`, `free`).
            _ => {}
        }
        Ok(None)
    }
}
