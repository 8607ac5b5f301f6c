#!/usr/bin/env node
// Plays a channel in headless Chromium with hls.js until told to stop; it may never run out of pictures.
//
//   live-play.mjs URL [--timeout SECONDS]      URL of the channel's entry playlist; ends when stdin does
//
// Prints one JSON document. Exit 0: it played all the time; 1: it did not; 2: wrong usage; 77: no browser.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { finish, withPage } from "./lib/browser.mjs";

const USAGE = "usage: live-play.mjs URL [--timeout SECONDS]";

function options() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { timeout: { type: "string", default: "3600" } },
    });
    return { url: new URL(positionals[0]), timeout_ms: Number(values.timeout) * 1000 };
  } catch (error) {
    process.stderr.write(`${error.message}\n${USAGE}\n`);
    return process.exit(2);
  }
}

/**
 * In the page: plays `url` until `window.stopPlaying`, and answers what was seen. A player that has pictures in hand
 * and does not show them is on a slow machine (`slow`); one that has none was let down by the stream (`dry`). A wait that is
 * over at the next look, within 50 ms, is no standstill that anybody sees.
 */
async function playOn({ url, timeout_ms }) {
  const FIRST_MS = 30_000;
  const STILL_MS = 400;
  const DRY_MS = 200;
  const findings = [];
  const video = document.getElementById("video");
  const pause = () => new Promise((resolve) => setTimeout(resolve, 50));
  const seen = { still_ms: 0, starved_ms: 0, dry: 0, slow: 0, ahead_ms: null };
  const ahead = () => {
    const { buffered, currentTime } = video;
    for (let at = 0; at < buffered.length; at += 1) {
      if (buffered.start(at) <= currentTime + 0.05 && currentTime <= buffered.end(at)) {
        return Math.round((buffered.end(at) - currentTime) * 1000);
      }
    }
    return 0;
  };
  let ranDryAt = null;
  const wait = () => {
    if (ahead() < DRY_MS) ranDryAt = video.currentTime;
    else seen.slow += 1;
  };
  let player = { errors: [], stalls: [] };
  try {
    player = await window.judgePlayers.hls(video, url);
    const first = performance.now() + FIRST_MS;
    await video.play();
    while (!(video.currentTime > 0 && video.readyState >= 3 && !video.seeking)) {
      if (performance.now() > first) throw new Error(`no picture after ${FIRST_MS / 1000} s`);
      await pause();
    }
    const begin = video.currentTime;
    player.stalls.length = 0;
    video.addEventListener("waiting", wait);
    const deadline = performance.now() + timeout_ms;
    let [at, since] = [video.currentTime, performance.now()];
    while (!window.stopPlaying && !video.ended && performance.now() < deadline) {
      await pause();
      const now = performance.now();
      if (video.error) throw new Error(`media error: ${video.error.message}`);
      if (ranDryAt !== null) {
        if (video.currentTime === ranDryAt) seen.dry += 1;
        ranDryAt = null;
      }
      const in_hand = ahead();
      seen.ahead_ms = Math.min(seen.ahead_ms ?? in_hand, in_hand);
      if (video.currentTime !== at) [at, since] = [video.currentTime, now];
      const still = Math.round(now - since);
      seen.still_ms = Math.max(seen.still_ms, still);
      if (in_hand < DRY_MS) seen.starved_ms = Math.max(seen.starved_ms, still);
    }
    seen.played_s = video.currentTime - begin;
  } catch (error) {
    findings.push(String(error.message ?? error));
  }
  if (seen.starved_ms > STILL_MS) findings.push(`it had nothing to show for ${seen.starved_ms} ms`);
  if (seen.dry > 0) findings.push(`it ran dry ${seen.dry} times`);
  findings.push(...player.errors.map((error) => `error: ${error}`));
  seen.stalls = player.stalls;
  const quality = video.getVideoPlaybackQuality();
  seen.frames_decoded = quality.totalVideoFrames;
  seen.frames_dropped = quality.droppedVideoFrames;
  if (!(quality.totalVideoFrames > 0)) findings.push("no picture was decoded");
  return { ...seen, findings };
}

const { url, timeout_ms } = options();
const require = createRequire(import.meta.url);
const files = {
  "player.html": ["text/html", fileURLToPath(new URL("lib/player.html", import.meta.url))],
  "players.js": ["text/javascript", fileURLToPath(new URL("lib/players.js", import.meta.url))],
  "module.js": ["text/javascript", require.resolve("hls.js/dist/hls.js")],
};
const told = new Promise((resolve) => process.stdin.on("end", resolve).on("error", resolve).resume());
finish(
  await withPage(url.origin, async (page, strangers) => {
    await page.route(`${url.origin}/__judge/*`, (route) => {
      const file = files[new URL(route.request().url()).pathname.split("/").pop()];
      if (!file) return route.fulfill({ status: 204, body: "" });
      return route.fulfill({ contentType: file[0], body: readFileSync(file[1]) });
    });
    await page.goto(`${url.origin}/__judge/player.html`);
    await page.addScriptTag({ url: `${url.origin}/__judge/module.js` });
    await page.addScriptTag({ url: `${url.origin}/__judge/players.js` });
    told.then(() => page.evaluate(() => (window.stopPlaying = true)).catch(() => {}));
    const seen = await page.evaluate(playOn, { url: url.href, timeout_ms });
    seen.findings.push(...strangers.map((stranger) => `a request left the origin: ${stranger}`));
    return { url: url.href, ...seen };
  }),
);
