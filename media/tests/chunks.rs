//! Chunks of a title, joined, show the right picture in every grid frame: for the rates and
//! containers that go wrong easily, on every ffmpeg at hand.
#![allow(clippy::unwrap_used)]

mod support;

use framemill_media::{Toolchain, probe};
use framemill_schemas::ladder::VideoCodec;
use support::{
    chunks, plan,
    serve::serve,
    source::{HEIGHT, KINDS, Kind, WIDTH, expected, generate, numbers},
    toolchains, transcode,
};
use tokio_util::sync::CancellationToken;

async fn is_exact(tools: &Toolchain, kind: &Kind) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source");
    generate(kind, &path);
    let body = std::fs::read(&path).unwrap();
    let bytes = body.len() as u64;
    let server = serve(body).await;
    let probe = probe::probe(tools, &server.url, "id", bytes, &CancellationToken::new()).await.unwrap();
    assert_eq!(probe.video.interlaced, kind.name.starts_with("interlaced"), "{}", kind.name);
    let expected = expected(kind);
    let whole = plan(&probe, VideoCodec::H264, 12, &[(WIDTH, HEIGHT), (WIDTH / 2, HEIGHT / 2)]);
    assert_eq!(whole.grid.frames, expected.len() as u64, "{}", kind.name);
    let mut joined = [Vec::new(), Vec::new()];
    let mut inits = [None, None];
    for chunk in chunks(&whole, 2) {
        let outputs = transcode(tools, &chunk, &server.url).await.unwrap();
        for (rung, output) in outputs.iter().enumerate() {
            let numbers: Vec<_> = output.segments.iter().map(|segment| segment.number).collect();
            assert_eq!(numbers, chunk.segment_numbers().collect::<Vec<_>>());
            let init = inits[rung].get_or_insert_with(|| output.init[0].clone());
            assert_eq!(*init, output.init[0], "an init that differs between chunks");
            if joined[rung].is_empty() {
                joined[rung].extend_from_slice(init);
            }
            joined[rung].extend(output.segments.iter().flat_map(|segment| segment.bytes.to_vec()));
        }
    }
    for stream in &joined {
        assert_eq!(numbers(stream, folder.path()), expected, "{} on {}", kind.name, tools.version());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_joined_are_frame_exact() {
    for tools in toolchains().await {
        for kind in &KINDS {
            is_exact(&tools, kind).await;
        }
    }
}
