#!/usr/bin/env node
// Plays a title in headless Chromium with hls.js from an edge that goes away; it must go on from another one, as the edge's
// steering said. Says `playing` on standard error once it plays; whoever started it then ends the edge, and closes its
// standard input. The playlist must be one to hls-parser, the MPD to mpd-parser.
//
//   steer.mjs URL --other ORIGIN [--mpd URL] [--timeout SECONDS]
//
// Prints one JSON document. Exit 0: it went on; 1: it did not; 2: wrong usage; 77: no browser.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import HLS from "hls-parser";
import { parse as parseMpd } from "mpd-parser";
import { finish, withPage } from "./lib/browser.mjs";

const USAGE = "usage: steer.mjs URL --other ORIGIN [--mpd URL] [--timeout SECONDS]";
/** Seconds in the player's hands: less than what is played after the edge has gone. */
const BUFFER_S = 4;
const ON_S = 10;

function options() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { other: { type: "string" }, mpd: { type: "string" }, timeout: { type: "string", default: "40" } },
    });
    const { other, mpd, timeout } = values;
    return { url: new URL(positionals[0]), other: new URL(other).origin, mpd, timeout_ms: Number(timeout) * 1000 };
  } catch (error) {
    process.stderr.write(`${error.message}\n${USAGE}\n`);
    return process.exit(2);
  }
}

/** What parsers that know nothing of us make of the playlist and the MPD. */
async function parsed(url, other, mpd) {
  const findings = [];
  HLS.setOptions({ strictMode: true });
  const text = await (await fetch(url)).text();
  try {
    if (HLS.parse(text).variants.length === 0) findings.push("hls-parser finds no variant");
  } catch (error) {
    findings.push(`hls-parser: ${error.message}`);
  }
  if (!/^#EXT-X-CONTENT-STEERING:/m.test(text)) findings.push("the playlist has no steering");
  if (mpd) {
    const manifest = parseMpd(await (await fetch(mpd)).text(), {
      manifestUri: mpd,
      eventHandler: ({ type, message }) => type === "warn" && findings.push(`mpd-parser: ${message}`),
    });
    if (!manifest.contentSteering?.serverURL) findings.push("mpd-parser finds no steering");
    const hosts = new Set(manifest.playlists.map((playlist) => new URL(playlist.segments[0].resolvedUri).origin));
    for (const origin of [url.origin, other]) if (!hosts.has(origin)) findings.push(`no segment of the MPD is on ${origin}`);
  }
  return findings;
}

/** In the page: plays until `on_s` seconds after it was told that the edge has gone. */
async function playOn({ url, timeout_ms, buffer_s, on_s }) {
  const findings = [];
  const video = document.getElementById("video");
  const hls = new window.Hls({ maxBufferLength: buffer_s, maxMaxBufferLength: buffer_s, backBufferLength: 0 });
  const pathways = new Set();
  const deadline = performance.now() + timeout_ms;
  const until = async (what, test) => {
    while (!test()) {
      if (performance.now() > deadline) throw new Error(`gave up waiting until ${what} at ${video.currentTime} s`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  hls.on(window.Hls.Events.ERROR, (_, data) => data.fatal && findings.push(`fatal: ${data.type} ${data.details}`));
  hls.on(window.Hls.Events.FRAG_BUFFERED, (_, data) => pathways.add(new URL(data.frag.url).origin));
  let steered = null;
  hls.on(window.Hls.Events.STEERING_MANIFEST_LOADED, (_, data) => (steered = data.steeringManifest));
  const seen = {};
  try {
    hls.loadSource(url);
    hls.attachMedia(video);
    await until("it plays", () => video.readyState >= 3);
    video.playbackRate = 2;
    await video.play();
    await until("it was steered", () => steered && video.currentTime > 1);
    await window.tellPlaying();
    await until("the edge has gone", () => window.edgeGone);
    const at = video.currentTime;
    await until("it has played on", () => video.currentTime > at + on_s || video.ended);
    seen.played_on_s = video.currentTime - at;
    seen.buffered_from = [...pathways];
    seen.steered = steered;
  } catch (error) {
    findings.push(String(error.message ?? error));
  }
  return { ...seen, findings };
}

const { url, other, mpd, timeout_ms } = options();
const require = createRequire(import.meta.url);
const files = {
  "player.html": ["text/html", fileURLToPath(new URL("lib/player.html", import.meta.url))],
  "module.js": ["text/javascript", require.resolve("hls.js/dist/hls.js")],
};
const gone = new Promise((resolve) => process.stdin.on("end", resolve).on("error", resolve).resume());
finish(
  await withPage(url.origin, async (page, strangers) => {
    const findings = await parsed(url, other, mpd);
    const seen = { asked_pathways: [], first_from_other_ms: null };
    let gone_at = null;
    // The judge plays over loopback addresses, which browsers let no page reach from another one by itself.
    await page.context().grantPermissions(["local-network-access"]);
    await page.route(`${other}/**`, (route) => route.continue());
    await page.route(`${url.origin}/__judge/*`, (route) => {
      const file = files[new URL(route.request().url()).pathname.split("/").pop()];
      if (!file) return route.fulfill({ status: 204, body: "" });
      return route.fulfill({ contentType: file[0], body: readFileSync(file[1]) });
    });
    page.on("request", (request) => {
      const pathway = new URL(request.url()).searchParams.get("_HLS_pathway");
      if (pathway) seen.asked_pathways.push(pathway);
    });
    page.on("response", (response) => {
      if (gone_at && seen.first_from_other_ms === null && response.url().startsWith(other) && response.ok()) {
        seen.first_from_other_ms = Math.round(performance.now() - gone_at);
      }
    });
    await page.exposeFunction("tellPlaying", () => process.stderr.write("playing\n"));
    await page.goto(`${url.origin}/__judge/player.html`);
    await page.addScriptTag({ url: `${url.origin}/__judge/module.js` });
    gone.then(() => {
      gone_at = performance.now();
      return page.evaluate(() => (window.edgeGone = true)).catch(() => {});
    });
    const played = await page.evaluate(playOn, { url: url.href, timeout_ms, buffer_s: BUFFER_S, on_s: ON_S });
    findings.push(...played.findings, ...strangers.map((stranger) => `a request left the edges: ${stranger}`));
    if (seen.asked_pathways.length === 0) findings.push("the player never said its pathway");
    if (seen.first_from_other_ms === null) findings.push("nothing came from the other edge");
    return { ...seen, ...played, findings };
  }),
);
