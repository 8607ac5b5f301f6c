//! Files that are no video, or not a whole one: `run` says what is wrong and what to do about
//! it, ends with 3, and leaves nothing.

use std::{
    net::TcpListener,
    path::Path,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::support::{Place, Ran, SMALL_LADDER};
use serde_json::Value;

/// How many cases run at a time.
const AT_ONCE: usize = 2;

/// A file, and what is said of it.
struct Case {
    file: &'static str,
    says: &'static [&'static str],
    /// Whether a farm looked at it: then a title failed, and the line on stdout says so.
    probed: bool,
}

const fn probed(file: &'static str, says: &'static [&'static str]) -> Case {
    Case { file, says, probed: true }
}

const fn refused(file: &'static str, says: &'static [&'static str]) -> Case {
    Case { file, says, probed: false }
}

const CASES: [Case; 12] = [
    probed("sound.mp4", &["not a video", "sound only"]),
    probed("no-frames.mp4", &["no picture track"]),
    probed("header.mp4", &["not one picture"]),
    probed("no-frames.mkv", &["not a video"]),
    probed("no-moov.mp4", &["cut"]),
    probed("cut.mp4", &["cut"]),
    probed("text.mp4", &["not a video"]),
    probed("local.mp4", &["playlist"]),
    probed("remote.mp4", &["playlist"]),
    refused("empty.mp4", &["the file is empty"]),
    refused("folder.mp4", &["this is a folder"]),
    refused("missing.mp4", &["cannot read the file"]),
];

/// Makes a file with ffmpeg; `args` come before its name.
fn make(path: &Path, args: &str) -> Vec<u8> {
    let made = Command::new(crate::support::ffmpeg())
        .args(["-nostdin", "-v", "error", "-y"])
        .args(args.split(' '))
        .arg(path)
        .status()
        .unwrap();
    assert!(made.success(), "{args}");
    std::fs::read(path).unwrap()
}

/// Four seconds of noise that is not small, so that a cut goes through pictures.
const PICTURE: &str = "-f lavfi -i testsrc2=size=320x180:rate=25:duration=4 -c:v libx264 -preset ultrafast -g 25";

fn make_all(place: &Place, port: u16) {
    let path = |name: &str| place.path().join(name);
    make(&path("sound.mp4"), "-f lavfi -i sine=duration=2 -c:a aac");
    make(&path("no-frames.mp4"), &format!("{PICTURE} -frames:v 0"));
    let fragments = make(&path("fragments.mp4"), &format!("{PICTURE} -movflags empty_moov+frag_keyframe"));
    let first = fragments.windows(4).position(|name| name == b"moof").unwrap() - 4;
    place.write("header.mp4", &fragments[..first]);
    make(&path("no-frames.mkv"), &format!("{PICTURE} -frames:v 0"));
    let whole = make(&path("whole.mp4"), PICTURE);
    place.write("no-moov.mp4", &whole[..whole.len() * 3 / 4]);
    let fast = make(&path("fast.mp4"), &format!("{PICTURE} -movflags +faststart"));
    place.write("cut.mp4", &fast[..fast.len() / 2]);
    place.write("text.mp4", "this is no video\n".repeat(100));
    let playlist = |target: &str| {
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{target}\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n")
    };
    place.write("local.mp4", playlist("file:///etc/passwd"));
    place.write("remote.mp4", playlist(&format!("http://127.0.0.1:{port}/segment.ts")));
    place.write("empty.mp4", "");
    std::fs::create_dir(path("folder.mp4")).unwrap();
}

/// Runs one case in a folder of its own for temporary data.
fn check(place: &Place, case: &Case) -> Result<(), String> {
    let temporary = tempfile::tempdir().unwrap();
    let out = place.path().join(format!("out-{}", case.file));
    let mut command = place.command(&["run", case.file, "--ladder", "./ladder.yaml", "--json", "--out"]);
    command.arg(&out).env("TMPDIR", temporary.path());
    let ran = Ran::of(command.output().unwrap());
    let fault = |what: &str| Err(format!("{}: {what}\nstdout: {}\nstderr: {}", case.file, ran.stdout, ran.stderr));
    if ran.code != 3 {
        return fault(&format!("exit code {}", ran.code));
    }
    // What, where and the mend; and no word of a farm's inner workings.
    for text in ["error: ", "where: ", "mend:  "].iter().chain(case.says) {
        if !ran.stderr.contains(text) {
            return fault(&format!("no {text:?}"));
        }
    }
    if ran.stderr.contains("panicked") || ran.stderr.contains("root:") {
        return fault("it says too much");
    }
    let state = serde_json::from_str::<Value>(ran.stdout.trim()).map(|line| line["state"].clone()).ok();
    if state != case.probed.then(|| Value::from("failed")) {
        return fault("the wrong line for scripts");
    }
    let left = |folder: &Path| std::fs::read_dir(folder).map_or(0, Iterator::count);
    if left(&out) + left(temporary.path()) > 0 {
        return fault("something is left behind");
    }
    Ok(())
}

#[test]
fn run_says_what_is_wrong_with_a_file_and_leaves_nothing() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    make_all(&place, listener.local_addr().unwrap().port());
    place.write("ladder.yaml", SMALL_LADDER);
    let (next, faults) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = CASES.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(fault) = check(&place, case) {
                        faults.lock().unwrap().push(fault);
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // Connections that were made wait in the backlog, whoever made them.
    let connected = listener.accept().map(|(_, peer)| peer);
    assert!(connected.is_err(), "a playlist made somebody connect from {connected:?}");
}

#[test]
fn run_says_where_a_ladder_is_wrong() {
    let place = Place::new();
    place.write("clip.mp4", "never looked at");
    let ladder = |head: &str, rungs: &str| format!("{{ name: x, {head}, video: [{rungs}] }}");
    let rung = |facts: &str| ladder("gop_s: 1, segment_s: 2", &format!("{{ name: a, codec: h264, {facts} }}"));
    let cases = [
        ("height.yaml", rung("height: 361, quality: 20"), "/video/0/height"),
        ("both.yaml", rung("height: 180, quality: 20, bitrate_kbps: 300"), "/video/0"),
        ("unknown.yaml", rung("height: 180, quality: 20, qualty: 3"), "/video/0"),
        ("none.yaml", ladder("gop_s: 1, segment_s: 2", ""), "/video"),
        ("gop.yaml", ladder("segment_s: 2", ""), "/"),
    ];
    for (name, text, pointer) in cases {
        place.write(name, text);
        let file = format!("./{name}");
        let ran = place.run(&["run", "clip.mp4", "--ladder", &file, "--out", "out", "--json"]).ends(2);
        let ran = ran.says(&format!("- {pointer}")).says("where: ").says(name).says("mend:  ");
        assert_eq!(ran.stdout, "", "{name}");
        assert!(!place.path().join("out").exists(), "{name}");
    }
}
