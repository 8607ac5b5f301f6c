#!/usr/bin/env node
// Opens a published title's page as a person would: the video plays to its end, and stages,
// renditions and the verdict can be read. Nothing may be loaded from anywhere else.
//
//   page.mjs URL [--screenshot FILE] [--timeout SECONDS]
//
// Prints one JSON document. Exit 0: all there; 1: something is not; 2: wrong usage; 77: no browser.
import { parseArgs } from "node:util";
import { finish, withPage } from "./lib/browser.mjs";

const USAGE = "usage: page.mjs URL [--screenshot FILE] [--timeout SECONDS]";
const STAGES = ["probe", "transcode", "audio", "package", "validate"];

function usage(reason) {
  process.stderr.write(`${reason}\n${USAGE}\n`);
  process.exit(2);
}

function options() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { screenshot: { type: "string" }, timeout: { type: "string", default: "60" } },
    });
    return { url: new URL(positionals[0]), screenshot: values.screenshot, timeout_ms: Number(values.timeout) * 1000 };
  } catch (error) {
    return usage(error.message);
  }
}

/** What a person reads on the page. */
function read() {
  const text = (element) => element.textContent.replace(/\s+/g, " ").trim();
  const section = (id) => document.getElementById(id)?.closest("section");
  const rows = (id) => [...(section(id)?.querySelectorAll("tbody tr") ?? [])].map((row) => [...row.children].map(text));
  return {
    title: document.title,
    shown: text(document.querySelector(".badge") ?? document.createElement("i")),
    stages: [...document.querySelectorAll("[data-stage]")].map(({ dataset }) => ({
      name: dataset.stage,
      done: Number(dataset.done),
      total: Number(dataset.total),
    })),
    renditions: rows("renditions"),
    verdict: section("validation") ? text(section("validation")) : null,
    hidden: [...document.querySelectorAll("section")].filter((one) => one.getBoundingClientRect().height < 10).length,
    wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
  };
}

/** In the page: plays the video to its end, a long one only in part. */
async function play(timeout_ms) {
  const video = document.querySelector("video");
  if (!video) return { problem: "there is no video on the page" };
  const deadline = performance.now() + timeout_ms;
  const until = async (what, test) => {
    while (!test()) {
      const where = `at ${video.currentTime} of ${video.duration} s, readyState ${video.readyState}`;
      if (video.error) throw new Error(`media error: ${video.error.message} (${where})`);
      if (performance.now() > deadline) throw new Error(`gave up waiting until ${what} (${where})`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  try {
    video.muted = true;
    video.scrollIntoView();
    await video.play().catch(() => {}); // The player may still be attaching; the wait below decides.
    await until("it plays", () => {
      if (video.paused) video.play().catch(() => {});
      return video.currentTime > 0.2;
    });
    // From the tenth second on it is about the end, not about everything between.
    if (video.duration > 15) video.currentTime = video.duration - 5;
    await until("it has ended", () => video.ended);
  } catch (error) {
    return { problem: error.message };
  }
  return {
    duration_s: video.duration,
    size: `${video.videoWidth}x${video.videoHeight}`,
    frames_decoded: video.getVideoPlaybackQuality().totalVideoFrames,
  };
}

const { url, screenshot, timeout_ms } = options();
finish(
  await withPage(url.origin, async (page, strangers) => {
    const findings = [];
    page.on("console", (message) => message.type() === "error" && findings.push(`console: ${message.text()}`));
    page.on("pageerror", (error) => findings.push(`script: ${error.message}`));
    page.on("response", (response) => response.status() >= 400 && findings.push(`${response.status()} ${response.url()}`));
    page.on("requestfailed", (request) => {
      // A player drops requests it no longer needs.
      const reason = request.failure()?.errorText;
      if (reason !== "net::ERR_ABORTED") findings.push(`${reason} ${request.url()}`);
    });
    const response = await page.goto(url.href, { timeout: timeout_ms });
    if (!response.ok()) return { url: url.href, findings: [`the page answers ${response.status()}`] };
    const played = await page.evaluate(play, timeout_ms);
    if (played.problem) findings.push(played.problem);
    else if (!(played.frames_decoded > 0)) findings.push("no picture was decoded");
    const seen = await page.evaluate(read);
    for (const name of STAGES) {
      const stage = seen.stages.find((one) => one.name === name);
      if (!stage) findings.push(`the stage ${name} is not shown`);
      else if (stage.done !== stage.total) findings.push(`${name} shows ${stage.done} of ${stage.total} on a published title`);
    }
    if (seen.shown !== "published") findings.push(`the state shown is ${seen.shown}`);
    if (seen.renditions.length === 0) findings.push("no rendition is shown");
    if (!/passed/.test(seen.verdict ?? "")) findings.push(`the verdict shown is ${seen.verdict}`);
    if (seen.hidden > 0) findings.push(`${seen.hidden} sections are empty`);
    // A telephone's width must not need sideways scrolling.
    await page.setViewportSize({ width: 390, height: 800 });
    if ((await page.evaluate(read)).wide) findings.push("the page is wider than a telephone");
    await page.setViewportSize({ width: 1280, height: 900 });
    if (screenshot) {
      await page.evaluate(() => {
        const video = document.querySelector("video");
        if (video) video.currentTime = video.duration / 2;
        window.scrollTo(0, 0);
      });
      await page.waitForFunction(() => !document.querySelector("video")?.seeking, null, { timeout: timeout_ms });
      await page.screenshot({ path: screenshot, fullPage: true });
    }
    findings.push(...strangers.map((stranger) => `a request left the origin: ${stranger}`));
    return { url: url.href, ...played, ...seen, findings };
  }),
);
