//! Sources whose picture n shows the number n in black and white blocks.

use std::path::Path;

use super::ffmpeg;

/// Bits of a number: one block each, from the left, lowest first.
const BITS: u32 = 12;
pub const WIDTH: u32 = 144;
pub const HEIGHT: u32 = 80;

/// A source to generate.
#[derive(Clone, Debug)]
pub struct Kind {
    pub name: &'static str,
    pub rate: &'static str,
    pub frames: u32,
    /// What is done to the pictures' times before they are encoded.
    pub filter: &'static str,
    /// Encoder, with what makes it quick and sharp enough to be read.
    pub codec: &'static str,
    /// Further options of the encoder and the muxer.
    pub options: &'static str,
    /// Container.
    pub format: &'static str,
}

const X264: &str = "libx264 -preset ultrafast -qp 16";

/// The kinds of sources every chunk joint must be right for.
pub const KINDS: [Kind; 12] = [
    Kind { name: "25", rate: "25", frames: 150, filter: "null", codec: X264, options: "-g 60 -bf 2", format: "mp4" },
    Kind {
        name: "29.97",
        rate: "30000/1001",
        frames: 180,
        filter: "null",
        codec: X264,
        options: "-g 75 -bf 3",
        format: "mp4",
    },
    Kind {
        name: "23.976",
        rate: "24000/1001",
        frames: 144,
        filter: "null",
        codec: X264,
        options: "-g 50",
        format: "mov",
    },
    Kind { name: "50", rate: "50", frames: 300, filter: "null", codec: X264, options: "-g 100 -bf 2", format: "mp4" },
    Kind { name: "60", rate: "60", frames: 300, filter: "null", codec: X264, options: "-g 250 -bf 2", format: "mp4" },
    Kind {
        name: "variable",
        rate: "25",
        frames: 120,
        filter: "setpts='if(lt(N\\,50)\\,N\\,N+110)'",
        codec: X264,
        options: "-g 30 -bf 2 -video_track_timescale 12800",
        format: "mp4",
    },
    Kind {
        name: "mkv-off-grid",
        rate: "30000/1001",
        frames: 180,
        filter: "settb=1/1000,setpts='17+round(N*1001/30)'",
        codec: X264,
        options: "-enc_time_base 1:1000 -g 40 -bf 2",
        format: "matroska",
    },
    Kind {
        name: "short-groups",
        rate: "25",
        frames: 60,
        filter: "null",
        codec: X264,
        options: "-g 4 -bf 2 -b_strategy 0",
        format: "mov",
    },
    Kind {
        name: "avi-without-timestamps",
        rate: "25",
        frames: 60,
        filter: "null",
        codec: "mpeg4 -q:v 2",
        options: "-g 25 -bf 2",
        format: "avi",
    },
    Kind {
        name: "program-stream",
        rate: "25",
        frames: 60,
        filter: "null",
        codec: "mpeg2video -q:v 2",
        options: "-g 12 -bf 2",
        format: "vob",
    },
    Kind {
        name: "interlaced-ts",
        rate: "25",
        frames: 100,
        filter: "null",
        codec: X264,
        options: "-flags +ilme+ildct -x264-params tff=1 -g 25 -bf 2",
        format: "mpegts",
    },
    Kind {
        name: "ts-late",
        rate: "25",
        frames: 300,
        filter: "null",
        codec: X264,
        options: "-g 125 -keyint_min 125 -sc_threshold 0 -bf 2 -output_ts_offset 10 -muxdelay 0 -muxpreload 0",
        format: "mpegts",
    },
];

/// Numbered pictures, as an input of the generator.
pub fn numbered(rate: &str) -> String {
    format!("color=black:s={WIDTH}x{HEIGHT}:r={rate},{}", numbering())
}

/// The filter that writes a picture's number into it.
fn numbering() -> String {
    let block = WIDTH / BITS;
    format!("geq=lum='if(mod(floor(N/pow(2\\,floor(X/{block})))\\,2)\\,235\\,16)':cb=128:cr=128")
}

/// Generates a source.
pub fn generate(kind: &Kind, into: &Path) {
    let numbers = numbering();
    let input = format!("color=black:s={WIDTH}x{HEIGHT}:r={}", kind.rate);
    let status = ffmpeg()
        .args(["-f", "lavfi", "-i", &input, "-frames:v", &kind.frames.to_string()])
        .args(["-vf", &format!("{numbers},{}", kind.filter), "-fps_mode", "passthrough"])
        .args("-pix_fmt yuv420p -c:v".split(' ').chain(kind.codec.split(' ')))
        .args(kind.options.split_whitespace())
        .args(["-f", kind.format])
        .arg(into)
        .status()
        .unwrap();
    assert!(status.success(), "{}", kind.name);
}

/// The source picture that grid frame n shows, computed from the source alone.
pub fn expected(kind: &Kind) -> Vec<u32> {
    match kind.name {
        "variable" => (0..50).chain(std::iter::repeat_n(49, 110)).chain(50..kind.frames).collect(),
        _ => (0..kind.frames).collect(),
    }
}

/// Decodes a stream and reads the number of each picture.
pub fn numbers(stream: &[u8], folder: &Path) -> Vec<u32> {
    let path = folder.join(format!("joined-{:x}.mp4", rand_name(stream)));
    std::fs::write(&path, stream).unwrap();
    let output = ffmpeg()
        .args(["-xerror", "-err_detect", "explode", "-i"])
        .arg(&path)
        .args([
            "-vf",
            &format!("scale={WIDTH}:{HEIGHT},format=gray"),
            "-fps_mode",
            "passthrough",
            "-f",
            "rawvideo",
            "-",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let block = (WIDTH / BITS) as usize;
    let row = (HEIGHT / 2 * WIDTH) as usize;
    let number = |picture: &[u8]| {
        (0..BITS).map(|bit| u32::from(picture[row + bit as usize * block + block / 2] > 128) << bit).sum()
    };
    output.stdout.chunks_exact((WIDTH * HEIGHT) as usize).map(number).collect()
}

/// A name of its own for each stream.
fn rand_name(stream: &[u8]) -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let mut hasher = RandomState::new().build_hasher();
    hasher.write(stream);
    hasher.finish()
}
