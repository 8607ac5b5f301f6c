#!/usr/bin/env node
// Plays a short title or channel in headless Chromium with hls.js, which tells of it (CMCD version 2) in its requests and
// in reports to `cmcd` beside the playlist. The page is of another origin than what it plays. It judges only that it
// played, and that no report was refused.
//
//   cmcd.mjs URL [--timeout SECONDS]      URL of the entry playlist
//
// Prints one JSON document. Exit 0: played and reported; 1: not; 2: wrong usage; 77: no browser.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { finish, withPage } from "./lib/browser.mjs";

const USAGE = "usage: cmcd.mjs URL [--timeout SECONDS]";

function options() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { timeout: { type: "string", default: "60" } },
    });
    return { url: new URL(positionals[0]), timeout_ms: Number(values.timeout) * 1000 };
  } catch (error) {
    process.stderr.write(`${error.message}\n${USAGE}\n`);
    return process.exit(2);
  }
}

/** In the page: plays `url` to its end, as fast as goes without a standstill. */
async function play({ url, timeout_ms }) {
  const findings = [];
  const video = document.getElementById("video");
  const reports = { url: new URL("cmcd", url).href, events: ["ps", "e", "t"], interval: 1, batchSize: 2 };
  const hls = new window.Hls({ cmcd: { version: 2, eventTargets: [reports] } });
  hls.on(window.Hls.Events.ERROR, (_, data) => findings.push(`${data.type} ${data.details}`));
  const ended = new Promise((resolve) => video.addEventListener("ended", () => resolve(true)));
  const late = new Promise((resolve) => setTimeout(() => resolve(false), timeout_ms));
  hls.loadSource(url);
  hls.attachMedia(video);
  video.playbackRate = 2;
  // Not waited for: where nothing comes it never answers.
  video.play().catch((error) => findings.push(error.message));
  if (!(await Promise.race([ended, late]))) findings.push(`it has not ended: at ${video.currentTime} s`);
  return { played_s: video.currentTime, findings };
}

/** Serves the page on a port of its own: browsers let pages of this machine alone reach what listens on it. */
async function servePage() {
  const require = createRequire(import.meta.url);
  const files = {
    "/player.html": ["text/html", fileURLToPath(new URL("lib/player.html", import.meta.url))],
    "/hls.js": ["text/javascript", require.resolve("hls.js/dist/hls.js")],
  };
  const server = createServer((request, response) => {
    const file = files[request.url];
    if (!file) return void response.writeHead(404).end();
    response.writeHead(200, { "content-type": file[0] }).end(readFileSync(file[1]));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

async function main() {
  const { url, timeout_ms } = options();
  const own = await servePage();
  try {
    finish(
      await withPage(url.origin, async (page, strangers) => {
        const answers = [];
        page.on("response", (response) => {
          if (response.request().method() === "POST") answers.push(response.status());
        });
        await page.route(`${own.origin}/*`, (route) => route.continue());
        await page.goto(`${own.origin}/player.html`);
        await page.addScriptTag({ url: `${own.origin}/hls.js` });
        const seen = await page.evaluate(play, { url: url.href, timeout_ms });
        if (answers.length === 0) seen.findings.push("no report was answered");
        const refused = answers.filter((status) => status !== 204);
        if (refused.length > 0) seen.findings.push(`reports were answered ${refused.join(", ")}`);
        seen.findings.push(...strangers.map((address) => `a request left the origin: ${new URL(address).origin}`));
        return { reports: answers.length, ...seen };
      }),
    );
  } finally {
    own.close();
  }
}

await main();
