// Proves the judges on trees made by ffmpeg alone: a good one passes, each broken one is found.
// A judge that finds nothing wrong with these would also find nothing wrong with Framemill.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const NOT_RUN = 77;
let scratch;
let good;

function run(file, args) {
  return new Promise((resolve) => {
    execFile(file, args, { maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      resolve({ code: error ? (error.code ?? 1) : 0, stdout, stderr });
    });
  });
}

async function judge(script, ...args) {
  const { code, stdout, stderr } = await run(process.execPath, [path.join(HERE, script), ...args]);
  assert.ok(stdout, `${script} said nothing: ${stderr}`);
  return { code, ...JSON.parse(stdout) };
}

before(async () => {
  scratch = mkdtempSync(path.join(tmpdir(), "framemill-judges-"));
  good = path.join(scratch, "good");
  // Seven seconds in segments of two: with a whole number of segments ffmpeg ends the sound on one
  // of 5 ms, and hls.js 1.7.4 then never says that the title has ended.

  mkdirSync(good);
  const ffmpeg = process.env.FRAMEMILL_FFMPEG__FFMPEG || "ffmpeg";
  const made = await run(ffmpeg, [
    ..."-nostdin -v error -f lavfi -i testsrc2=size=320x180:rate=25:duration=7".split(" "),
    ..."-f lavfi -i sine=frequency=440:sample_rate=48000:duration=7".split(" "),
    ..."-filter_complex [0:v]split=2[a][b];[b]scale=160:90[c] -map [a] -map [c] -map 1:a".split(" "),
    ..."-c:v libx264 -preset ultrafast -profile:v main -g 50 -keyint_min 50 -sc_threshold 0".split(" "),
    ..."-b:v:0 400k -b:v:1 150k -c:a aac -b:a 96k -ac 2".split(" "),
    ..."-f dash -seg_duration 2 -use_template 1 -use_timeline 1 -hls_playlist 1".split(" "),
    "-adaptation_sets", "id=0,streams=v id=1,streams=a", path.join(good, "manifest.mpd"),
  ]);
  assert.equal(made.code, 0, made.stderr);
  // ffmpeg writes no AVERAGE-BANDWIDTH, which a title must have.
  edit(good, "master.m3u8", /BANDWIDTH=(\d+)/g, "BANDWIDTH=$1,AVERAGE-BANDWIDTH=$1");
});

after(() => rmSync(scratch, { recursive: true, force: true }));

function edit(tree, name, from, to) {
  const file = path.join(tree, name);
  const text = readFileSync(file, "utf8");
  assert.match(text, from, `${name} has nothing to break`);
  writeFileSync(file, text.replace(from, to));
}

function broken(name, how) {
  const tree = path.join(scratch, name);
  cpSync(good, tree, { recursive: true });
  how(tree);
  return tree;
}

test("a tree that ffmpeg made is found good", async () => {
  const { code, findings, renditions } = await judge("judge.mjs", good);
  assert.deepEqual(findings, []);
  assert.equal(code, 0);
  assert.deepEqual(renditions.map((one) => one.frames), [175, 175, 0]);
});

const FAULTS = {
  "a segment cut short": (tree) => truncateSync(path.join(tree, "chunk-stream0-00002.m4s"), 20_000),
  "a segment that is missing": (tree) => rmSync(path.join(tree, "chunk-stream1-00001.m4s")),
  "bytes flipped inside a segment": (tree) => {
    const file = path.join(tree, "chunk-stream0-00001.m4s");
    const bytes = readFileSync(file);
    for (let at = 4000; at < 9000; at += 7) bytes[at] ^= 0xff;
    writeFileSync(file, bytes);
  },
  "a segment longer than the target duration": (tree) => edit(tree, "media_0.m3u8", /#EXTINF:2\.000000/, "#EXTINF:3.000000"),
  "a playlist without its end": (tree) => edit(tree, "media_1.m3u8", /#EXT-X-ENDLIST\n/, ""),
  "a segment listed twice": (tree) => edit(tree, "media_0.m3u8", /(#EXTINF:[^\n]+\n(?:#[^\n]+\n)?chunk-stream0-00002\.m4s\n)/, "$1$1"),
  "a variant without bandwidth": (tree) => edit(tree, "master.m3u8", /BANDWIDTH=\d+,AVERAGE-BANDWIDTH=\d+,/, ""),
  "a variant that leads nowhere": (tree) => edit(tree, "master.m3u8", /media_1\.m3u8/, "media_9.m3u8"),
  "an MPD that is no XML": (tree) => edit(tree, "manifest.mpd", /<\/MPD>/, ""),
  "an MPD with a segment too many": (tree) => edit(tree, "manifest.mpd", /d="25600" r="2"/, 'd="25600" r="4"'),
  "no MPD": (tree) => rmSync(path.join(tree, "manifest.mpd")),
};

for (const [name, how] of Object.entries(FAULTS)) {
  test(`the judge finds ${name}`, async () => {
    const { code, findings } = await judge("judge.mjs", broken(name.replaceAll(" ", "-"), how));
    assert.equal(code, 1);
    assert.notEqual(findings.length, 0);
  });
}

for (const kind of ["hls", "dash"]) {
  test(`a good tree plays as ${kind}`, async (context) => {
    const { code, findings, switched, sought, frames_decoded } = await judge("play.mjs", "--tree", good, kind);
    if (code === NOT_RUN) return context.skip("not run: no browser");
    assert.deepEqual(findings, []);
    assert.ok(switched && sought && frames_decoded > 0);
  });

  test(`a tree with a hole does not play as ${kind}`, async (context) => {
    const tree = broken(`hole-${kind}`, (folder) => rmSync(path.join(folder, "chunk-stream1-00002.m4s")));
    const { code, findings } = await judge("play.mjs", "--tree", tree, kind, "--timeout", "15");
    if (code === NOT_RUN) return context.skip("not run: no browser");
    assert.equal(code, 1);
    assert.notEqual(findings.length, 0);
  });
}

/** Two versions of a live playlist, the second a segment later; `how` changes the text of the second. */
function versions(name, how) {
  const version = (first) => {
    const segments = [0, 1, 2].map((n) => `#EXTINF:2.000000,\nt1/${first + n}.m4s\n`).join("");
    const head = "#EXTM3U\n#EXT-X-VERSION:8\n#EXT-X-TARGETDURATION:2\n#EXT-X-INDEPENDENT-SEGMENTS\n";
    return `${head}#EXT-X-MEDIA-SEQUENCE:${first}\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-MAP:URI="t1/init.mp4"\n${segments}`;
  };
  const folder = path.join(scratch, name, "video");
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, "1.m3u8"), version(100));
  writeFileSync(path.join(folder, "2.m3u8"), how(version(101)));
  return path.join(scratch, name);
}

test("a live playlist that slides is found good", async () => {
  const said = await judge("live-playlists.mjs", versions("slides", (text) => text));
  assert.deepEqual(said.findings, []);
  assert.equal(said.code, 0);
  assert.equal(said.versions, 2);
});

const TURNS = {
  "a media sequence that falls": (text) => text.replace("SEQUENCE:101", "SEQUENCE:99"),
  "a target duration that changes": (text) => text.replace("DURATION:2", "DURATION:3"),
  "a segment that is another": (text) => text.replace("t1/102.m4s", "t2/102.m4s"),
  "a length that is no number": (text) => text.replace("#EXTINF:2.000000,", "#EXTINF:two,"),
};
for (const [name, how] of Object.entries(TURNS)) {
  test(`found in a live playlist: ${name}`, async () => {
    const { code, findings } = await judge("live-playlists.mjs", versions(name.replaceAll(" ", "-"), how));
    assert.equal(code, 1);
    assert.notEqual(findings.length, 0);
  });
}
