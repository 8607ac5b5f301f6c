//! What a probe says of sources of every kind, and which sentence a refused one gets.
#![allow(clippy::unwrap_used)]

mod support;

use framemill_media::Toolchain;
use framemill_schemas::{
    failure::{Class, Failure},
    probe::{RateSource, Seek},
};
use support::{ffmpeg, make, probe, toolchains};

const PICTURE: &str = "-f lavfi -i testsrc2=s=96x64:r=25:d=3";
const SOUND: &str = "-f lavfi -i sine=r=48000:d=3";
const X264: &str = "-c:v libx264 -preset ultrafast -bf 2 -g 25 -pix_fmt yuv420p";

/// A source made with these arguments.
fn made(arguments: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source");
    make(arguments, &path);
    std::fs::read(&path).unwrap()
}

async fn refused(tools: &Toolchain, body: Vec<u8>, code: &str) -> Failure {
    let (server, found) = probe(tools, body).await;
    let failure = found.expect_err(code);
    assert_eq!((failure.class, failure.code.as_str()), (Class::Input, code), "{failure:?}");
    assert!(failure.mend.is_some(), "{failure:?}");
    assert!(!format!("{failure:?}").contains(&server.url), "the address leaks");
    failure
}

#[tokio::test]
async fn sources_that_are_no_film_are_refused_with_a_reason() {
    let tools = &toolchains().await[0];
    assert!(refused(tools, Vec::new(), "not-media").await.reason.contains("empty"));
    refused(tools, b"To be, or not to be, that is the question.\n".repeat(50), "not-media").await;
    refused(tools, (0..60_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect(), "not-media")
        .await;
    let sound_only = made(&format!("{SOUND} -c:a aac -f mp4"));
    assert!(refused(tools, sound_only, "no-video").await.reason.contains("sound only"));
    let folder = tempfile::tempdir().unwrap();
    let cover = folder.path().join("cover.png");
    make("-f lavfi -i color=red:s=32x32 -frames:v 1", &cover);
    let with_cover = made(&format!(
        "{SOUND} -i {} -map 0 -map 1 -c:a aac -c:v copy -disposition:v attached_pic -f mp4",
        cover.display()
    ));
    refused(tools, with_cover, "no-video").await;
    // Said of the frames: newer builds let those decide, whatever the encoder is told.
    let pq = "-vf setparams=color_trc=smpte2084:color_primaries=bt2020:colorspace=bt2020nc";
    let hdr = made(&format!("{PICTURE} {pq} {X264} -f mp4"));
    refused(tools, hdr, "hdr-not-taken").await;
    let nothing = made(&format!("{PICTURE} {X264} -frames:v 0 -f mp4 -movflags +empty_moov"));
    refused(tools, nothing, "no-frames").await;
}

#[tokio::test]
async fn sources_that_were_cut_are_refused() {
    let tools = &toolchains().await[0];
    let whole = made(&format!("{PICTURE} {SOUND} {X264} -c:a aac -f mp4"));
    let without_index = refused(tools, whole[..whole.len() / 2].to_vec(), "not-media").await;
    assert!(without_index.reason.contains("moov"), "{}", without_index.reason);
    let x264 = "-c:v libx264 -preset ultrafast -c:a aac";
    for (codecs, format) in [
        (x264, "mp4 -movflags +faststart"),
        (x264, "matroska"),
        (x264, "flv"),
        ("-c:v mpeg4 -c:a pcm_s16le", "avi"),
        ("-c:v mpeg2video -c:a pcm_s16le", "mxf"),
        ("-c:v wmv2 -c:a wmav2", "asf"),
    ] {
        let body = made(&format!("{PICTURE} {SOUND} {codecs} -pix_fmt yuv420p -f {format}"));
        let (_, found) = probe(tools, body.clone()).await;
        assert_eq!(found.unwrap().video.grid.frames, 75, "{format}");
        refused(tools, body[..body.len() * 6 / 10].to_vec(), "source-truncated").await;
    }
}

#[tokio::test]
async fn a_playlist_by_any_name_opens_nothing() {
    let tools = &toolchains().await[0];
    // Whoever opens this one is counted.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let trap = listener.local_addr().unwrap();
    for body in [
        format!(
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://{trap}/a.ts\n#EXT-X-ENDLIST\n"
        ),
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n".to_owned(),
        format!("ffconcat version 1.0\nfile 'http://{trap}/b.mp4'\n"),
        format!(
            "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" mediaPresentationDuration=\"PT9S\"><Period><AdaptationSet mimeType=\"video/mp4\"><Representation id=\"1\" bandwidth=\"1\"><BaseURL>http://{trap}/c.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>"
        ),
        format!(
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {} RTP/AVP 96\na=rtpmap:96 H264/90000\n",
            trap.port()
        ),
    ] {
        refused(tools, body.into_bytes(), "not-media").await;
    }
    let opened = tokio::time::timeout(std::time::Duration::ZERO, listener.accept()).await;
    assert!(opened.is_err(), "an address of a playlist was opened");
}

#[tokio::test]
async fn a_clock_that_jumps_is_refused() {
    let tools = &toolchains().await[0];
    let part =
        |offset: u32| made(&format!("{PICTURE} {X264} -output_ts_offset {offset} -muxdelay 0 -muxpreload 0 -f mpegts"));
    for (first, second) in [(10, 3610), (3610, 10)] {
        let failure = refused(tools, [part(first), part(second)].concat(), "timestamp-jump").await;
        assert!(failure.reason.contains(" s into the picture"), "{}", failure.reason);
    }
    // A small gap is none: the picture stays.
    let (_, found) = probe(tools, [part(10), part(15)].concat()).await;
    assert_eq!(found.unwrap().video.grid.frames, 200);
}

#[tokio::test]
async fn the_picture_is_seen_as_it_is_shown() {
    let tools = &toolchains().await[0];
    let base = format!("{PICTURE} {X264}");
    let folder = tempfile::tempdir().unwrap();
    let upright = folder.path().join("upright.mp4");
    make(&format!("{base} -f mp4"), &upright);
    for (arguments, size) in [
        (format!("{base} -vf setsar=4/3 -f mp4"), (128, 64)),
        (format!("{base} -vf scale=99:63,setsar=1 -pix_fmt yuv444p -f matroska"), (99, 63)),
    ] {
        let (_, found) = probe(tools, made(&arguments)).await;
        let video = found.unwrap().video;
        assert_eq!((video.width, video.height), size, "{arguments}");
        assert_eq!((video.grid.frames, video.rate_source), (75, RateSource::Base));
        assert!(matches!(&video.seek, Seek::Points(points) if !points.is_empty()));
    }
    // A turn is written by hand: how one asks for it differs between ffmpeg's versions.
    let mut turned = std::fs::read(&upright).unwrap();
    let tkhd = turned.windows(4).position(|window| window == b"tkhd").unwrap();
    let matrix = tkhd + 4 + 4 + 20 + 16;
    let quarter: [u32; 9] = [0, 0x1_0000, 0, 0xffff_0000, 0, 0, 64 << 16, 0, 0x4000_0000];
    for (index, value) in quarter.iter().enumerate() {
        turned[matrix + index * 4..matrix + index * 4 + 4].copy_from_slice(&value.to_be_bytes());
    }
    let (_, found) = probe(tools, turned).await;
    let video = found.unwrap().video;
    assert_eq!((video.width, video.height), (64, 96));
}

#[tokio::test]
async fn sound_tracks_are_listed_with_their_languages() {
    let tools = &toolchains().await[0];
    let body = made(&format!(
        "{PICTURE} {SOUND} {SOUND} {X264} -c:a aac -map 0 -map 1 -map 2 -metadata:s:a:0 language=eng -metadata:s:a:1 language=nor \
         -metadata:s:a:1 title=Kommentar -f matroska"
    ));
    let (_, found) = probe(tools, body).await;
    let audio = found.unwrap().audio;
    let facts: Vec<_> =
        audio.iter().map(|track| (track.stream, track.language.as_deref(), track.title.as_deref())).collect();
    assert_eq!(facts, [(1, Some("eng"), None), (2, Some("nor"), Some("Kommentar"))]);
}

#[tokio::test]
async fn pictures_without_timestamps_are_decoded_for_them() {
    let tools = &toolchains().await[0];
    for options in ["-c:v mpeg4 -bf 2 -f avi", "-c:v mpeg2video -bf 2 -f vob"] {
        let (_, found) = probe(tools, made(&format!("{PICTURE} {options}"))).await;
        let probe = found.unwrap();
        assert_eq!(probe.video.grid.frames, 75, "{options}");
        assert_eq!(probe.video.seek, Seek::FromStart, "{options}");
    }
}

#[tokio::test]
async fn a_recording_that_starts_inside_a_group_starts_at_its_first_keyframe() {
    let tools = &toolchains().await[0];
    let body = made(&format!("{PICTURE} {X264} -muxdelay 0 -muxpreload 0 -f mpegts"));
    // Cut at a packet some way into the first of three groups.
    let cut = body.len() / 188 / 8 * 188;
    let (_, found) = probe(tools, body[cut..].to_vec()).await;
    assert_eq!(found.unwrap().video.grid.frames, 50);
}

#[tokio::test]
async fn an_address_that_cannot_be_read_blames_nobodys_film() {
    let tools = &toolchains().await[0];
    let url = "http://127.0.0.1:9/source";
    let cancel = tokio_util::sync::CancellationToken::new();
    let failure = framemill_media::probe::probe(tools, url, "id", 10, &cancel).await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_str()), (Class::Transient, "source-unreachable"));
}

#[tokio::test]
async fn missing_and_old_tools_are_named_with_the_mend() {
    use framemill_media::{FfmpegConfig, toolchain::ToolchainError};
    use std::os::unix::fs::PermissionsExt;
    let missing = FfmpegConfig { ffmpeg: Some("/nonexistent/ffmpeg".into()), ..FfmpegConfig::default() };
    let error = Toolchain::find(&missing).await.unwrap_err();
    assert!(matches!(error, ToolchainError::Unusable { .. }));
    assert!(error.to_string().contains("/nonexistent/ffmpeg") && error.to_string().contains("install"));
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("ffmpeg");
    std::fs::write(
        &old,
        "#!/bin/sh\necho 'ffmpeg version 4.4.2-0ubuntu0.22.04.1 Copyright'\necho 'libavutil 56. 70.100 / 56. 70.100'\n",
    )
    .unwrap();
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).unwrap();
    let error = Toolchain::find(&FfmpegConfig { ffmpeg: Some(old), ..FfmpegConfig::default() }).await.unwrap_err();
    assert!(matches!(&error, ToolchainError::Old { version, .. } if version.starts_with("4.4.2")), "{error}");
    assert!(ffmpeg().arg("-version").output().unwrap().status.success());
}
