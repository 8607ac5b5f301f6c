//! Box headers and one level of children at a time. Holds no meaning of any box.

use mp4_atom::{Atom, FourCC};

use super::BoxError;

/// A box within a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BoxHeader {
    /// Its type.
    pub kind: [u8; 4],
    /// Bytes of its header: 8, or 16 with a 64-bit size.
    pub header_bytes: usize,
    /// Bytes of it all.
    pub total_bytes: u64,
}

/// What the first bytes of a buffer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// Too few bytes to say.
    Short,
    /// A box.
    Box(BoxHeader),
    /// No box: a size smaller than the header, or one that runs to the end of the file.
    Invalid,
}

/// Reads a box header at the start of `bytes`.
pub(crate) fn header(bytes: &[u8]) -> Header {
    let Some((size, rest)) = bytes.split_first_chunk::<4>() else { return Header::Short };
    let Some((kind, rest)) = rest.split_first_chunk::<4>() else { return Header::Short };
    let (header_bytes, total_bytes) = match u32::from_be_bytes(*size) {
        1 => match rest.first_chunk::<8>() {
            Some(large) => (16, u64::from_be_bytes(*large)),
            None => return Header::Short,
        },
        small => (8, u64::from(small)),
    };
    if total_bytes < header_bytes as u64 {
        return Header::Invalid;
    }
    Header::Box(BoxHeader { kind: *kind, header_bytes, total_bytes })
}

/// A type as text, for messages.
pub(crate) fn fourcc(kind: [u8; 4]) -> String {
    kind.escape_ascii().to_string()
}

/// A box with its place in the buffer it was found in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Child<'a> {
    pub kind: [u8; 4],
    /// Offset of its header.
    pub offset: usize,
    /// Offset of its first byte after the header.
    pub body_offset: usize,
    pub body: &'a [u8],
}

impl Child<'_> {
    pub fn end(&self) -> usize {
        self.body_offset + self.body.len()
    }
}

/// The boxes of one level, in order.
pub(crate) struct Children<'a> {
    bytes: &'a [u8],
    at: usize,
    base: usize,
}

/// Walks the boxes in `bytes`, which start at `base` of the outermost buffer.
pub(crate) fn children(bytes: &[u8], base: usize) -> Children<'_> {
    Children { bytes, at: 0, base }
}

impl<'a> Iterator for Children<'a> {
    type Item = Result<Child<'a>, BoxError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let fault = BoxError::Size { offset: self.base + self.at };
        let found = match header(rest) {
            Header::Box(found) => found,
            Header::Short | Header::Invalid => {
                self.at = self.bytes.len();
                return Some(Err(fault));
            }
        };
        let body = usize::try_from(found.total_bytes).ok().and_then(|total| rest.get(found.header_bytes..total));
        let Some(body) = body else {
            self.at = self.bytes.len();
            return Some(Err(fault));
        };
        let offset = self.base + self.at;
        let child = Child { kind: found.kind, offset, body_offset: offset + found.header_bytes, body };
        self.at += found.header_bytes + body.len();
        Some(Ok(child))
    }
}

/// The first box of a type among the boxes in `bytes`.
pub(super) fn find<'a>(bytes: &'a [u8], base: usize, kind: &'static str) -> Result<Child<'a>, BoxError> {
    for child in children(bytes, base) {
        let child = child?;
        if child.kind == kind.as_bytes() {
            return Ok(child);
        }
    }
    Err(BoxError::Missing(kind))
}

/// Reads a leaf with mp4-atom.
pub(super) fn leaf<T: Atom>(child: &Child<'_>, kind: &'static str) -> Result<T, BoxError> {
    debug_assert_eq!(T::KIND, FourCC::from(child.kind));
    let mut body = child.body;
    T::decode_body(&mut body).map_err(|error| BoxError::Content { kind, why: error.to_string() })
}
