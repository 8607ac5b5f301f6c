//! Where a job stops that is asked to make room: once every rendition has the segment that is being
//! encoded. What was finished is stored, and a later attempt goes on behind it.

use framemill_media::encode::{Cut, Piece};
use framemill_schemas::failure::{Class, Failure};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Hands pieces on until there is a reason to stop. Says through `first_picture` that every rendition
/// has its init, which is written once its encoder took a picture. Returns whether it stopped them.
pub(crate) async fn pass_on(
    mut arriving: mpsc::Receiver<Cut>,
    onward: mpsc::Sender<Cut>,
    renditions: usize,
    yields: &CancellationToken,
    first_picture: &watch::Sender<bool>,
) -> bool {
    let mut reached = Reached::new(renditions);
    let mut asked = false;
    loop {
        let cut = tokio::select! {
            cut = arriving.recv() => cut,
            () = yields.cancelled(), if !asked => {
                asked = true;
                reached.stop_after_this();
                continue;
            }
        };
        let Some(cut) = cut else { return false };
        reached.take(&cut);
        if reached.has_begun() {
            first_picture.send_if_modified(|seen| !std::mem::replace(seen, true));
        }
        // Whoever takes them has failed, and says why.
        if onward.send(cut).await.is_err() {
            return false;
        }
        if reached.is_there() {
            return true;
        }
    }
}

/// The end of an attempt that made room.
pub(crate) fn yielded() -> Failure {
    Failure::new(Class::Transient, "yielded", "the job made room for a channel, with what it had finished kept")
}

/// How far each rendition is. Pure.
#[derive(Debug)]
struct Reached {
    inits: Vec<bool>,
    last: Vec<u64>,
    until: Option<u64>,
}

impl Reached {
    fn new(renditions: usize) -> Self {
        Self { inits: vec![false; renditions], last: vec![0; renditions], until: None }
    }

    fn take(&mut self, cut: &Cut) {
        match &cut.piece {
            Piece::Init(_) => self.inits[cut.rendition] = true,
            Piece::Segment(segment) => self.last[cut.rendition] = segment.number,
        }
    }

    fn has_begun(&self) -> bool {
        self.inits.iter().all(|seen| *seen)
    }

    /// The first segment that not every rendition has is the last one. Before any was cut its number
    /// is not known: it is the first that comes.
    fn stop_after_this(&mut self) {
        let least = self.last.iter().copied().min().unwrap_or_default();
        let most = self.last.iter().copied().max().unwrap_or_default();
        self.until = Some(if least == 0 { most } else { least + 1 });
    }

    /// Whether every rendition has that segment.
    fn is_there(&self) -> bool {
        let least = self.last.iter().copied().min().unwrap_or_default();
        self.until.is_some_and(|until| least > 0 && least >= until)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use framemill_media::encode::CutSegment;

    use super::*;

    fn segment(rendition: usize, number: u64) -> Cut {
        let piece = Piece::Segment(CutSegment {
            number,
            start_ticks: 0,
            duration_ticks: 1,
            samples: 1,
            keyframes: Vec::new(),
            bytes: Bytes::new(),
        });
        Cut { rendition, piece }
    }

    /// How many of `cuts` are handed on when it is asked to stop after `before` of them.
    fn handed_on(cuts: &[(usize, u64)], before: usize) -> usize {
        let mut reached = Reached::new(2);
        for (count, (rendition, number)) in cuts.iter().enumerate() {
            if count == before {
                reached.stop_after_this();
            }
            reached.take(&segment(*rendition, *number));
            if reached.is_there() {
                return count + 1;
            }
        }
        cuts.len()
    }

    #[test]
    fn it_stops_where_every_rendition_has_the_segment_that_was_under_way() {
        let cuts = [(0, 5), (1, 5), (0, 6), (0, 7), (1, 6), (1, 7), (0, 8), (1, 8)];
        for (before, expected) in [(0, 2), (1, 2), (2, 5), (3, 5), (5, 6), (6, 8), (9, 8)] {
            assert_eq!(handed_on(&cuts, before), expected, "asked after {before}");
        }
    }

    #[tokio::test]
    async fn the_first_picture_is_told_once_every_rendition_has_its_init() {
        let (pieces, arriving) = mpsc::channel(8);
        let (onward, mut taken) = mpsc::channel(8);
        let (seen, first) = watch::channel(false);
        let yields = CancellationToken::new();
        let init = |rendition| Cut { rendition, piece: Piece::Init(Bytes::new()) };
        pieces.send(init(0)).await.unwrap();
        let passing = tokio::spawn(async move { pass_on(arriving, onward, 2, &yields, &seen).await });
        taken.recv().await.unwrap();
        assert!(!*first.borrow());
        pieces.send(init(1)).await.unwrap();
        taken.recv().await.unwrap();
        assert!(*first.borrow());
        drop(pieces);
        assert!(!passing.await.unwrap(), "it came to its end by itself");
    }
}
