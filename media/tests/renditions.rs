//! Every codec: its chunks join, its init says what it is, and the strict decoder counts it.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use framemill_media::{
    Toolchain,
    boxes::{TrackKind, read_init, read_segment},
    decode::{DecodeFault, Decoded, Media, decode_strict},
    encoder::Encoder,
};
use framemill_schemas::{failure::Class, ladder::VideoCodec, spec::TranscodeSpec};
use support::{
    Output, chunks, plan, probe,
    source::{KINDS, expected, generate, numbers},
    toolchains, transcode,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

async fn decode(tools: &Toolchain, media: Media, parts: Vec<Bytes>) -> Result<Decoded, DecodeFault> {
    let (sender, receiver) = mpsc::channel(2);
    let feed = async move {
        for part in parts {
            if sender.send(part).await.is_err() {
                return;
            }
        }
    };
    let cancel = CancellationToken::new();
    tokio::join!(decode_strict(tools, media, receiver, &cancel), feed).0
}

fn parts(output: &Output) -> Vec<Bytes> {
    output.init.iter().take(1).cloned().chain(output.segments.iter().map(|segment| segment.bytes.clone())).collect()
}

async fn whole(tools: &Toolchain, spec: &TranscodeSpec, url: &str) -> Vec<Output> {
    let mut whole = vec![Output::default(); spec.rungs.len()];
    for chunk in chunks(spec, 2) {
        for (into, made) in whole.iter_mut().zip(transcode(tools, &chunk, url).await.unwrap()) {
            into.init.extend(made.init);
            into.segments.extend(made.segments);
        }
    }
    whole
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_is_frame_exact_and_decodes_strictly() {
    let kind = &KINDS[0];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source");
    generate(kind, &path);
    for tools in toolchains().await {
        let (server, found) = probe(&tools, std::fs::read(&path).unwrap()).await;
        let found = found.unwrap();
        for (codec, begins) in
            [(VideoCodec::H264, "avc1."), (VideoCodec::Hevc, "hvc1.1.6.L"), (VideoCodec::Av1, "av01.0.")]
        {
            if !tools.lists(Encoder::software(codec)) {
                continue;
            }
            let spec = plan(&found, codec, 25, &[(144, 80), (96, 64)]);
            let outputs = whole(&tools, &spec, &server.url).await;
            for (output, rung) in outputs.iter().zip(&spec.rungs) {
                assert!(output.init.windows(2).all(|pair| pair[0] == pair[1]), "one init for all chunks of {codec:?}");
                let init = read_init(&output.init[0]).unwrap();
                assert!(init.codecs.starts_with(begins), "{}", init.codecs);
                assert_eq!(init.timescale, spec.timescale);
                assert_eq!(init.kind, TrackKind::Video { width: rung.width, height: rung.height });
                for (index, segment) in output.segments.iter().enumerate() {
                    let facts = read_segment(&segment.bytes).unwrap();
                    assert_eq!(segment.number, index as u64 + 1);
                    assert_eq!((facts.start_ticks, facts.samples), (segment.start_ticks, segment.samples));
                    assert_eq!(facts.keyframes, segment.keyframes);
                    assert_eq!(facts.sequence, (index * 2 + 1) as u32);
                }
                let frames = decode(&tools, Media::Video, parts(output)).await.unwrap().frames;
                assert_eq!(frames, found.video.grid.frames, "{codec:?}");
            }
            assert_eq!(numbers(&outputs[0].joined(), folder.path()), expected(kind), "{codec:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_is_told_from_our_own_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source");
    generate(&KINDS[0], &path);
    let tools = &toolchains().await[0];
    let (server, found) = probe(tools, std::fs::read(&path).unwrap()).await;
    let spec = plan(&found.unwrap(), VideoCodec::H264, 25, &[(144, 80)]);
    let output = whole(tools, &spec, &server.url).await.remove(0);

    let mut missing = parts(&output);
    missing.pop();
    assert_eq!(decode(tools, Media::Video, missing).await.unwrap().frames, 100);

    let mut damaged = parts(&output);
    let mut segment = damaged[2].to_vec();
    let middle = segment.len() / 2;
    segment[middle..middle + 60].fill(0xff);
    damaged[2] = segment.into();
    assert!(
        matches!(decode(tools, Media::Video, damaged).await, Err(DecodeFault::Stream { evidence }) if !evidence.is_empty())
    );

    let nothing = decode(tools, Media::Video, Vec::new()).await;
    assert!(matches!(nothing, Err(DecodeFault::Stream { .. })));

    let cancel = CancellationToken::new();
    cancel.cancel();
    let (_sender, receiver) = mpsc::channel(1);
    let cancelled = decode_strict(tools, Media::Video, receiver, &cancel).await;
    assert!(matches!(cancelled, Err(DecodeFault::Failure(failure)) if failure.code == "cancelled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_attempt_makes_the_segments_that_are_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source");
    generate(&KINDS[0], &path);
    let tools = &toolchains().await[0];
    let (server, found) = probe(tools, std::fs::read(&path).unwrap()).await;
    let spec = plan(&found.unwrap(), VideoCodec::H264, 12, &[(144, 80)]);
    let full = transcode(tools, &spec, &server.url).await.unwrap().remove(0);
    let resumed = TranscodeSpec { start_frame: u64::from(spec.segment_frames) * 3, ..spec.clone() };
    let rest = transcode(tools, &resumed, &server.url).await.unwrap().remove(0);
    assert_eq!(rest.segments.first().unwrap().number, 4);
    assert_eq!(rest.init[0], full.init[0]);
    let start = u64::from(spec.segment_frames) * 3;
    let expected: Vec<_> = (start as u32..spec.grid.frames as u32).collect();
    assert_eq!(numbers(&rest.joined(), folder.path()), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_that_end_before_the_plan_are_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source");
    generate(&KINDS[0], &path);
    for tools in toolchains().await {
        let (server, found) = probe(&tools, std::fs::read(&path).unwrap()).await;
        let mut spec = plan(&found.unwrap(), VideoCodec::H264, 12, &[(144, 80)]);
        spec.grid.frames += 60;
        spec.end_frame += 60;
        let failure = transcode(&tools, &spec, &server.url).await.unwrap_err();
        assert_eq!((failure.class, failure.code.as_str()), (Class::Transient, "ffmpeg-short"), "{failure:?}");
        assert!(failure.reason.contains("of 210 frames"), "{}", failure.reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_is_not_the_sources_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source");
    support::make("-f lavfi -i testsrc2=s=144x80:r=25:d=6 -c:v libx264 -g 60 -movflags +faststart -f mp4", &path);
    let body = std::fs::read(&path).unwrap();
    for tools in toolchains().await {
        let (_server, found) = probe(&tools, body.clone()).await;
        let spec = plan(&found.unwrap(), VideoCodec::H264, 12, &[(144, 80)]);
        let broken = support::serve::serve_until(body.clone(), body.len() * 6 / 10).await;
        let failure = transcode(&tools, &spec, &broken.url).await.unwrap_err();
        assert_eq!((failure.class, failure.code.as_str()), (Class::Transient, "source-unreachable"), "{failure:?}");
        let cancel = CancellationToken::new();
        let failure =
            framemill_media::probe::probe(&tools, &broken.url, "id", body.len() as u64, &cancel).await.unwrap_err();
        assert_eq!((failure.class, failure.code.as_str()), (Class::Transient, "source-unreachable"), "{failure:?}");
    }
}
