//! Bodies of answers: what is in memory, or what is still arriving.

use std::{
    convert::Infallible,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http_body_util::Full;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::cache::{Arriving, BrokenOff};

/// What everything is answered with.
pub enum Body {
    /// All of it is there.
    Whole(Full<Bytes>),
    /// It comes; an error ends the connection, so that nobody takes a part for the whole.
    Arriving {
        /// The bytes.
        stream: BoxStream<'static, Result<Bytes, BrokenOff>>,
        /// How many are still to be sent.
        left: u64,
    },
}

impl Body {
    /// The bytes of a range of what arrives.
    pub fn arriving(object: &Arc<Arriving>, range: Range<usize>) -> Self {
        Self::Arriving { left: range.len() as u64, stream: object.read(range) }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::from(Bytes::new())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Full::new(bytes))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.get_mut() {
            Self::Whole(full) => {
                let frame = ready!(Pin::new(full).poll_frame(context));
                Poll::Ready(frame.map(|frame| frame.map_err(|never: Infallible| match never {})))
            }
            Self::Arriving { stream, left } => {
                let next = ready!(stream.as_mut().poll_next(context));
                if let Some(Ok(bytes)) = &next {
                    *left = left.saturating_sub(bytes.len() as u64);
                }
                Poll::Ready(next.map(|bytes| bytes.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(full) => full.is_end_stream(),
            Self::Arriving { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(full) => full.size_hint(),
            Self::Arriving { left, .. } => SizeHint::with_exact(*left),
        }
    }
}
