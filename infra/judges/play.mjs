#!/usr/bin/env node
// Plays a published title from start to end in headless Chromium, with hls.js or Shaka Player:
// a switch of rendition on the way, then a seek back. It judges only what the player says.
//
//   play.mjs (--tree DIR | --base URL) hls|dash [--entry FILE] [--screenshot FILE] [--timeout SECONDS]
//
// Prints one JSON document. Exit 0: played; 1: it did not; 2: wrong usage; 77: no browser.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { finish, withPage } from "./lib/browser.mjs";
import { serveTree } from "./lib/serve.mjs";

const USAGE = "usage: play.mjs (--tree DIR | --base URL) hls|dash [--entry FILE] [--screenshot FILE] [--timeout SECONDS]";
const PLAYERS = {
  hls: { entry: "master.m3u8", module: "hls.js/dist/hls.js" },
  dash: { entry: "manifest.mpd", module: "shaka-player/dist/shaka-player.compiled.js" },
};

function usage(reason) {
  process.stderr.write(`${reason}\n${USAGE}\n`);
  process.exit(2);
}

function options() {
  let parsed;
  try {
    parsed = parseArgs({
      allowPositionals: true,
      options: {
        tree: { type: "string" },
        base: { type: "string" },
        entry: { type: "string" },
        screenshot: { type: "string" },
        timeout: { type: "string", default: "120" },
      },
    });
  } catch (error) {
    usage(error.message);
  }
  const [kind] = parsed.positionals;
  if (!PLAYERS[kind]) usage(`${kind ?? "nothing"} is neither hls nor dash`);
  if (!parsed.values.tree === !parsed.values.base) usage("give one of --tree and --base");
  return { kind, ...parsed.values, timeout_ms: Number(parsed.values.timeout) * 1000 };
}

/** In the page: plays `url`, and answers what was seen. Everything waits with a bound. */
async function playThrough({ kind, url, timeout_ms }) {
  const findings = [];
  const video = document.getElementById("video");
  const deadline = performance.now() + timeout_ms;
  const state = () =>
    `at ${video.currentTime.toFixed(2)} of ${video.duration} s, ${video.videoWidth}x${video.videoHeight}, ` +
    `readyState ${video.readyState}${video.error ? `, ${video.error.message}` : ""}`;
  const until = async (what, test) => {
    while (!test()) {
      if (video.error) throw new Error(`media error while waiting until ${what}: ${state()}`);
      if (performance.now() > deadline) throw new Error(`gave up waiting until ${what}: ${state()}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  let player = { errors: [], stalls: [] };
  const seen = { levels: [], switched: false, sought: false };
  try {
    player = await window.judgePlayers[kind](video, url);
    const levels = player.levels();
    seen.levels = levels;
    player.select(0);
    await until("the first picture is there", () => video.readyState >= 2 && Number.isFinite(video.duration));
    seen.duration_s = video.duration;
    // A short title in real time, a long one as fast as a small machine decodes it.
    video.playbackRate = Math.min(8, Math.max(1, video.duration / 10));
    await video.play();

    const top = levels.length - 1;
    await until("a tenth has played", () => video.currentTime > video.duration * 0.1);
    seen.first_size = `${video.videoWidth}x${video.videoHeight}`;
    if (top > 0) {
      player.select(top);
      await until("the highest rendition shows", () => video.videoHeight === levels[top].height);
      seen.switched = true;
    }
    seen.last_size = `${video.videoWidth}x${video.videoHeight}`;
    await until("it has ended", () => video.ended);
    seen.played = Array.from({ length: video.played.length }, (_, i) => [video.played.start(i), video.played.end(i)]);
    // From start to end, and nothing stepped over: one range.
    const [start, end] = [seen.played[0]?.[0] ?? 1, seen.played.at(-1)?.[1] ?? 0];
    if (start > 0.1 || end < video.duration - 0.1 || seen.played.length !== 1) {
      findings.push(`played ${JSON.stringify(seen.played)} of 0 to ${video.duration} s`);
    }

    const target = video.duration * 0.4;
    video.currentTime = target;
    await until("the seek is done", () => !video.seeking && Math.abs(video.currentTime - target) < 1);
    await video.play();
    await until("it plays on after the seek", () => video.currentTime > target + Math.min(1, video.duration * 0.2));
    seen.sought = true;
    video.currentTime = video.duration * 0.85;
    await video.play();
    await until("it has ended again", () => video.ended);
  } catch (error) {
    findings.push(String(error.message ?? error));
  }
  const quality = video.getVideoPlaybackQuality();
  seen.frames_decoded = quality.totalVideoFrames;
  seen.frames_dropped = quality.droppedVideoFrames;
  seen.video_bytes_decoded = video.webkitVideoDecodedByteCount;
  seen.audio_bytes_decoded = video.webkitAudioDecodedByteCount;
  seen.audio_tracks = player.audioTracks?.() ?? 0;
  seen.stalls = player.stalls.length;
  findings.push(...player.errors.map((error) => `error event: ${error}`));
  if (!(quality.totalVideoFrames > 0)) findings.push("no picture was decoded");
  if (seen.audio_tracks > 0 && !(video.webkitAudioDecodedByteCount > 0)) findings.push("no sound was decoded");
  return { ...seen, findings };
}

async function main() {
  const { kind, tree, base, entry, screenshot, timeout_ms } = options();
  const server = tree ? await serveTree(tree) : null;
  try {
    const root = new URL(server?.url ?? (base.endsWith("/") ? base : `${base}/`));
    const media = new URL(entry ?? PLAYERS[kind].entry, root).href;
    const require = createRequire(import.meta.url);
    const files = {
      "player.html": ["text/html", fileURLToPath(new URL("lib/player.html", import.meta.url))],
      "players.js": ["text/javascript", fileURLToPath(new URL("lib/players.js", import.meta.url))],
      "module.js": ["text/javascript", require.resolve(PLAYERS[kind].module)],
    };
    finish(
      await withPage(root.origin, async (page, strangers) => {
        // The judge's own page is put into the media's origin, so that no server needs to allow it.
        const failed = [];
        page.on("response", (response) => response.status() >= 400 && failed.push(`${response.status()} ${response.url()}`));
        await page.route(`${root.origin}/__judge/*`, (route) => {
          const file = files[new URL(route.request().url()).pathname.split("/").pop()];
          if (!file) return route.fulfill({ status: 204, body: "" });
          return route.fulfill({ contentType: file[0], body: readFileSync(file[1]) });
        });
        await page.goto(`${root.origin}/__judge/player.html`);
        await page.addScriptTag({ url: `${root.origin}/__judge/module.js` });
        await page.addScriptTag({ url: `${root.origin}/__judge/players.js` });
        const seen = await page.evaluate(playThrough, { kind, url: media, timeout_ms });
        if (screenshot) await page.screenshot({ path: screenshot });
        seen.findings.push(...strangers.map((url) => `a request left the origin: ${url}`));
        seen.findings.push(...failed.filter((line) => !line.endsWith("/favicon.ico")).map((line) => `refused: ${line}`));
        return { player: kind, media, ...seen };
      }),
    );
  } finally {
    server?.close();
  }
}

await main();
