//! Reads a remote source forward, block by block. Owns every retry of a source read: a try resumes
//! at the byte where the last one broke off.
//!
//! Requests start at one block and double while they are read to their end: a player of ranges
//! like ffmpeg hangs up after a few kilobytes when it looks around, and reads on for minutes when
//! it has found its place.

use std::{ops::Range, sync::Arc};

use bytes::{Bytes, BytesMut};
use framemill_schemas::failure::Failure;
use tokio::time::{sleep, timeout};

use super::{
    answer,
    blocks::{BLOCK_BYTES, Blocks},
    config::Limits,
    fault::{self, Faults, Trouble},
    run::{Remote, Run},
};

/// Most blocks of one request: 16 MiB.
const RUN_BLOCKS_MAX: u64 = 64;
/// Most answers, cut short by their server, that one block may take.
const ANSWERS_MAX: u32 = 16;

/// A remote source that is open.
#[derive(Debug)]
pub(super) struct RemoteSource {
    pub remote: Remote,
    pub shown: String,
    pub bytes: u64,
    /// What must stay the same in every answer.
    pub mark: String,
    pub limits: Limits,
    pub blocks: Blocks,
    pub faults: Arc<Faults>,
}

/// A place in a remote source.
pub(super) struct Cursor {
    source: Arc<RemoteSource>,
    at: u64,
    end: u64,
    run: Option<Run>,
    run_blocks: u64,
}

impl Cursor {
    /// Reads `range`, which lies within the source.
    pub fn new(source: Arc<RemoteSource>, range: Range<u64>) -> Self {
        Self { source, at: range.start, end: range.end, run: None, run_blocks: 1 }
    }

    /// Goes on with a request that was made before.
    pub fn with(mut self, run: Run) -> Self {
        self.run = Some(run);
        self
    }

    /// The next bytes; `None` at the end of the range. An error has been recorded.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.at >= self.end {
            return Ok(None);
        }
        let index = self.at / BLOCK_BYTES;
        let block = match self.source.blocks.get(index) {
            Some(block) => block,
            None => self.fetch(index).await?,
        };
        let start = index * BLOCK_BYTES;
        let stop = self.end.min(start + block.len() as u64);
        // Both are inside a block, which is far below any size of memory.
        let piece = block.slice((self.at - start) as usize..(stop - start) as usize);
        self.at = stop;
        Ok(Some(piece))
    }

    async fn fetch(&mut self, index: u64) -> Result<Bytes, Failure> {
        let source = Arc::clone(&self.source);
        let fetched = timeout(source.limits.block, self.try_fetch(index))
            .await
            .unwrap_or_else(|_| Err(source.remote.stalled(&source.shown)));
        match fetched {
            Ok(block) => {
                source.faults.note(None);
                source.blocks.put(index, block.clone());
                Ok(block)
            }
            Err(failure) => {
                self.run = None;
                tracing::warn!(source = %source.shown, code = %failure.code, reason = %failure.reason, "a source read was given up");
                source.faults.record(failure.clone());
                Err(failure)
            }
        }
    }

    async fn try_fetch(&mut self, index: u64) -> Result<Bytes, Failure> {
        let limits = self.source.limits;
        let start = index * BLOCK_BYTES;
        let size = BLOCK_BYTES.min(self.source.bytes - start) as usize;
        let mut block = BytesMut::with_capacity(size);
        let mut answers = 0;
        let mut pause = limits.pause;
        for attempt in 1.. {
            let Err(trouble) = self.fill(start, &mut block, size, &mut answers).await else { break };
            (self.run, self.run_blocks) = (None, 1);
            if !trouble.again || attempt >= limits.tries {
                return Err(trouble.failure);
            }
            tracing::debug!(source = %self.source.shown, attempt, reason = %trouble.failure.reason, "a source read is tried again");
            self.source.faults.note(Some(trouble.failure));
            sleep(pause).await;
            pause *= 4;
        }
        Ok(block.freeze())
    }

    /// Goes on filling a block that starts at byte `start` of the source.
    async fn fill(&mut self, start: u64, block: &mut BytesMut, size: usize, answers: &mut u32) -> Result<(), Trouble> {
        while block.len() < size {
            let at = start + block.len() as u64;
            let source = &self.source;
            let run = match self.run.as_mut().filter(|run| run.at == at && run.at < run.end) {
                Some(run) => run,
                None => {
                    *answers += 1;
                    if *answers > ANSWERS_MAX {
                        let failure = answer::no_ranges(&source.shown, "it sends a few bytes at a time");
                        return Err(Trouble::last(failure));
                    }
                    self.run = None;
                    let wanted = at..self.run_end(start);
                    let (part, run) = source.remote.run(&wanted, true).await?;
                    if part.total != source.bytes || part.mark != source.mark {
                        return Err(Trouble::last(fault::changed(&source.shown)));
                    }
                    self.run_blocks = (self.run_blocks * 2).min(RUN_BLOCKS_MAX);
                    self.run.insert(run)
                }
            };
            let most = size - block.len();
            if let Some(bytes) = run.next(&source.shown, source.bytes, most, &source.limits).await? {
                block.extend_from_slice(&bytes);
            }
        }
        Ok(())
    }

    /// Where a request for the block at `start` ends: with a block, not over what is wanted.
    fn run_end(&self, start: u64) -> u64 {
        let wanted = self.end.div_ceil(BLOCK_BYTES) * BLOCK_BYTES;
        (start + self.run_blocks * BLOCK_BYTES).min(wanted).min(self.source.bytes)
    }
}
