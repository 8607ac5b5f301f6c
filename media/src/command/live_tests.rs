use framemill_schemas::live::Timelines;

use super::*;

fn timeline() -> Timeline {
    let timelines: Timelines = serde_json::from_str(include_str!("../live/sound_timeline.json")).unwrap();
    timelines.last().unwrap().clone()
}

fn args(feed: Feed) -> Vec<String> {
    let args = live(Path::new("ffmpeg"), &timeline(), feed, -4000, Via::Processor);
    args.into_iter().map(|arg| arg.into_string().unwrap()).collect()
}

#[test]
fn frames_are_counted_from_the_first_that_is_wanted() {
    let args = args(Feed::Stream);
    let graphs: Vec<_> = args.iter().zip(&args[1..]).filter(|(key, _)| *key == "-filter_complex").collect();
    assert_eq!(
        graphs[0].1,
        "[0:v:0]setpts=PTS-60/TB,fps=30000/1001,trim=start_pts=0,split=1[s0]\
         ;[s0]scale=320:180:flags=bicubic,setsar=1,format=yuv420p,blackdetect=d=2:pix_th=0.08,freezedetect=n=-60dB:d=2,\
         metadata=mode=print:direct=1:file=pipe\\\\:102[v0]"
    );
    assert_eq!(
        graphs[1].1,
        "[0:a:0]asetpts=PTS-60/TB,aresample=48000:async=1000,aresample=48000:async=1:first_pts=-4000,silencedetect=n=-60dB:d=2,\
         ametadata=mode=print:direct=1:file=pipe\\\\:103,asetpts=N+(-4000),asplit=1[h0]\
         ;[h0]aformat=sample_fmts=fltp:channel_layouts=stereo[a0]"
    );
}

#[test]
fn a_stream_is_read_from_stdin_and_from_nowhere_else() {
    let args = args(Feed::Stream);
    let place = |what: &str| args.iter().position(|arg| arg == what).unwrap();
    assert_eq!(args[place("-protocol_whitelist") + 1], "pipe");
    assert_eq!(args[place("-format_whitelist") + 1], "mpegts");
    assert!(place("-copyts") < place("-i") && place("-format_whitelist") < place("-i"));
    assert_eq!(args[place("-i") + 1], "pipe:0");
    assert_eq!(args.iter().filter(|arg| *arg == "-i").count(), 1);
}

#[test]
fn a_source_without_sound_has_none_encoded() {
    let mut timeline = timeline();
    timeline.format.sound = None;
    let args = live(Path::new("ffmpeg"), &timeline, Feed::Stream, 0, Via::Processor);
    assert!(!args.iter().any(|arg| arg == "aac"));
    assert!(has_sound(&timeline, Feed::Filler { frames: 60 }));
}
