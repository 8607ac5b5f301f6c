//! What is to be seen and heard: each picture's number, and samples of sound, by a strict decode.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{ChildStdin, ChildStdout, Command},
};

use super::source::BITS;

/// Of one channel of sound, as it is decoded here.
const SAMPLE_BYTES: usize = 2;
/// Farthest from nought that a sample of silence lies, of 32768: the tone is forty times as loud.
const QUIET: u16 = 100;
/// Quiet samples in a row that are silence: a tenth of a second, in which the tone swings forty times.
const SILENCE: u64 = 4800;

/// A stream as it was decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The number of each picture, in the order they are shown.
    pub numbers: Vec<u64>,
    /// Samples of each channel of sound.
    pub samples: u64,
    /// Of these, those that lie in silence.
    pub silent: u64,
    /// What the decoder complained of.
    pub complaint: Option<String>,
}

/// Decodes files one after the other, the init first.
pub async fn decode(ffmpeg: &Path, files: &[PathBuf], is_sound: bool) -> Result<Decoded> {
    let mut command = Command::new(ffmpeg);
    command
        .args(["-hide_banner", "-v", "error", "-nostats", "-xerror", "-err_detect", "explode", "-threads", "1"])
        .args(["-f", "mov", "-i", "pipe:0"]);
    if is_sound {
        command.args(["-map", "0:a:0", "-f", "s16le", "-c:a", "pcm_s16le", "-ac", "1", "pipe:1"]);
    } else {
        let small = format!("scale={BITS}:1:flags=area,format=gray");
        command.args(["-map", "0:v:0", "-vf", &small, "-fps_mode", "passthrough", "-f", "rawvideo", "pipe:1"]);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", ffmpeg.display()))?;
    let stdin = child.stdin.take().context("no pipe to ffmpeg")?;
    let mut stdout = child.stdout.take().context("no pipe from ffmpeg")?;
    let (fed, read, ended) = tokio::join!(feed(stdin, files), read(&mut stdout, is_sound), child.wait_with_output());
    let mut decoded = read?;
    let ended = ended?;
    let said = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
    let failed = !ended.status.success() || !said.is_empty() || fed.is_err();
    let complaint = failed.then(|| format!("{}: {}", ended.status, said.lines().next().unwrap_or_default()));
    decoded.complaint = complaint;
    Ok(decoded)
}

/// Counts samples, or reads numbers, as they come: an hour of sound is no small thing to hold.
async fn read(stdout: &mut ChildStdout, is_sound: bool) -> std::io::Result<Decoded> {
    let mut decoded = Decoded::default();
    let (mut buffer, mut held) = (vec![0; 64 * 1024], 0);
    let mut quiet = 0;
    let unit = if is_sound { SAMPLE_BYTES } else { BITS as usize };
    loop {
        let count = stdout.read(&mut buffer[held..]).await?;
        if count == 0 {
            return Ok(decoded);
        }
        let whole = (held + count) / unit * unit;
        if is_sound {
            decoded.samples += (whole / unit) as u64;
            decoded.silent += silent(&buffer[..whole], &mut quiet);
        } else {
            decoded.numbers.extend(buffer[..whole].chunks_exact(unit).map(number));
        }
        buffer.copy_within(whole..held + count, 0);
        held = held + count - whole;
    }
}

/// Samples that turn out to lie in silence, of which `quiet` came in a row just before.
fn silent(bytes: &[u8], quiet: &mut u64) -> u64 {
    let mut silent = 0;
    for sample in bytes.chunks_exact(SAMPLE_BYTES) {
        let is_quiet = i16::from_le_bytes([sample[0], sample[1]]).unsigned_abs() <= QUIET;
        *quiet = if is_quiet { *quiet + 1 } else { 0 };
        silent += match (*quiet).cmp(&SILENCE) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => SILENCE,
            std::cmp::Ordering::Greater => 1,
        };
    }
    silent
}

/// It may stop reading at the first fault: its exit says why.
async fn feed(mut stdin: ChildStdin, files: &[PathBuf]) -> std::io::Result<()> {
    for file in files {
        stdin.write_all(&tokio::fs::read(file).await?).await?;
    }
    stdin.shutdown().await
}

/// The number that a picture shows, one byte of brightness for each bit.
fn number(blocks: &[u8]) -> u64 {
    blocks.iter().zip(0..).map(|(block, bit)| u64::from(*block > 127) << bit).sum()
}

/// Where pictures do not count on, of a row that begins anew after `numbers`: position, what was to be seen
/// there, and what is. Pure.
pub fn breaks(row: &[u64], numbers: u64) -> Vec<(usize, u64, u64)> {
    let pairs = row.windows(2).enumerate();
    pairs
        .map(|(at, pair)| (at + 1, (pair[0] + 1) % numbers, pair[1]))
        .filter(|(_, expected, shown)| expected != shown)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_blocks() {
        let blocks: Vec<u8> =
            (0..BITS).map(|bit| if (0b1010_0000_0000_0011 >> bit) & 1 == 1 { 220 } else { 30 }).collect();
        assert_eq!(number(&blocks), 0b1010_0000_0000_0011);
    }

    #[test]
    fn silence_is_counted_across_reads_and_a_tone_is_none() {
        let sound = |samples: &[i16]| samples.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<u8>>();
        let tone: Vec<i16> = (0..10_000).map(|at: i16| if at % 50 == 1 { 0 } else { 3000 }).collect();
        let mut quiet = 0;
        assert_eq!(silent(&sound(&tone), &mut quiet), 0);
        assert_eq!(silent(&sound(&[7; 4000]), &mut quiet), 0);
        assert_eq!(silent(&sound(&[-7; 1000]), &mut quiet), 5000);
        assert_eq!(silent(&sound(&tone), &mut quiet), 0);
        assert_eq!(silent(&sound(&[0; 4799]), &mut quiet), 0);
    }

    #[test]
    fn what_is_missing_or_repeated_is_found_and_a_new_round_is_not() {
        assert_eq!(breaks(&[8, 9, 0, 1], 10), []);
        assert_eq!(breaks(&[3, 5, 5, 6], 10), [(1, 4, 5), (2, 6, 5)]);
        assert_eq!(breaks(&[], 10), []);
    }
}
