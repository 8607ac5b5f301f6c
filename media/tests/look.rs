//! Looks at segments whose pictures and sound are known, on every ffmpeg at hand: black, still and silent ones are
//! told from others, loudness is what it was made to be, and what is broken is refused.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use framemill_media::{
    Toolchain,
    decode::{DecodeFault, Media},
    look::{Look, look},
};
use framemill_schemas::live::Flaw;
use support::{ffmpeg, toolchains};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Seconds of a sample.
const SECONDS: u64 = 4;
/// When samples start, in seconds: channels count from the Unix epoch.
const START_S: &str = "1795000000";

/// Fragmented MP4 as a channel's encoder writes it: an init, and a segment of some seconds.
fn made(source: &str, encode: &str) -> Vec<u8> {
    let made = ffmpeg()
        .args(["-f", "lavfi", "-i", source, "-t", &SECONDS.to_string(), "-output_ts_offset", START_S])
        .args(encode.split(' '))
        .args("-avoid_negative_ts disabled -use_editlist 0 -fflags +bitexact -f mp4 pipe:1".split(' '))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    made.stdout
}

fn picture(source: &str) -> Vec<u8> {
    made(
        source,
        "-pix_fmt yuv420p -c:v libx264 -preset veryfast -b:v 800k -maxrate 960k -bufsize 960k -g 50 -keyint_min 50 \
         -sc_threshold 0 -movflags +cmaf+frag_keyframe+empty_moov+default_base_moof",
    )
}

fn sound(source: &str) -> Vec<u8> {
    made(
        source,
        "-c:a aac -ac 2 -ar 48000 -b:a 128k -frag_duration 100000 -movflags +cmaf+empty_moov+default_base_moof",
    )
}

async fn see(tools: &Toolchain, media: Media, bytes: &[u8]) -> Result<Look, DecodeFault> {
    let (sender, receiver) = mpsc::channel(4);
    sender.send(Bytes::copy_from_slice(bytes)).await.unwrap();
    drop(sender);
    look(tools, media, receiver, &CancellationToken::new()).await
}

/// Grain that does not move, on a picture that does.
const NOISE: &str = "testsrc2=s=640x360:r=25,noise=alls=10";

#[tokio::test]
async fn pictures_that_are_black_or_stand_still_are_told_from_others() {
    // One frame of noise, again and again.
    let still = format!("{NOISE},loop=loop=-1:size=1");
    let black_twice = format!("{NOISE},eq=brightness='if(lt(mod(t,2),1),-1,0)':eval=frame");
    let cases: [(&str, &str, &[Flaw]); 6] = [
        ("moving", NOISE, &[]),
        ("black", "color=c=black:s=640x360:r=25", &[Flaw::Black]),
        ("nearly black", "color=c=0x040404:s=640x360:r=25", &[Flaw::Black]),
        ("dark and moving", "color=c=0x404040:s=640x360:r=25,noise=alls=20:allf=t", &[]),
        ("still", &still, &[Flaw::Frozen]),
        ("black for a while", &black_twice, &[]),
    ];
    for tools in toolchains().await {
        assert!(tools.looks());
        for (what, source, flaws) in cases {
            let seen = see(&tools, Media::Video, &picture(source)).await.unwrap();
            assert_eq!((seen.frames, seen.flaws.as_slice()), (SECONDS * 25, flaws), "{what} {}", tools.version());
            assert_eq!(seen.loudness, None);
        }
    }
}

#[tokio::test]
async fn sound_is_as_loud_as_it_was_made_and_silence_is_seen() {
    // A sine of 1 kHz in both channels is as loud as its peak says (ITU-R BS.1770, annex 1).
    let tone = |level: &str| format!("aevalsrc={level}*sin(2*PI*1000*t)|{level}*sin(2*PI*1000*t):s=48000");
    let (half, tenth) = (tone("0.5"), tone("0.1"));
    let fading = "aevalsrc='if(lt(t,2),0.1*sin(2*PI*1000*t),0)':s=48000";
    let cases: [(&str, &[Flaw], i32); 5] = [
        (&half, &[], -602),
        (&tenth, &[], -2000),
        ("anullsrc=r=48000:cl=stereo", &[Flaw::Silent], -7000),
        ("aevalsrc=0.0002*sin(2*PI*1000*t):s=48000", &[Flaw::Silent], -7000),
        (fading, &[], -2300),
    ];
    for tools in toolchains().await {
        for (source, flaws, centi) in cases {
            let seen = see(&tools, Media::Audio, &sound(source)).await.unwrap();
            // Whole AAC frames, with the encoder's own before the first.
            assert_eq!((seen.frames, seen.flaws.as_slice()), (SECONDS * 48_000 / 1024 + 2, flaws), "{source}");
            let loudness = seen.loudness.unwrap();
            assert!((loudness.integrated_centi - centi).abs() <= 60, "{source}: {loudness:?}");
            assert!(loudness.momentary_centi >= loudness.integrated_centi - 20, "{source}: {loudness:?}");
        }
    }
}

#[tokio::test]
async fn what_is_broken_is_refused_or_falls_short() {
    let whole = picture(NOISE);
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 400].fill(0xff);
    for tools in toolchains().await {
        let cut = see(&tools, Media::Video, &whole[..whole.len() - 20_000]).await;
        let short = cut.as_ref().is_ok_and(|seen| seen.frames < SECONDS * 25);
        assert!(matches!(cut, Err(DecodeFault::Stream { .. })) || short, "{cut:?}");
        let broken = see(&tools, Media::Video, &damaged).await;
        assert!(matches!(broken, Err(DecodeFault::Stream { .. })), "{broken:?}");
        let nothing = see(&tools, Media::Video, b"no segment at all").await;
        assert!(matches!(nothing, Err(DecodeFault::Stream { .. })), "{nothing:?}");
    }
}
