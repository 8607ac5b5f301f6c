// Finds and starts a headless Chromium that talks to nobody but the page's own origin.
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";

/** Exit code of a judge that could not judge: it never counts as passed. */
export const NOT_RUN = 77;

const FLAGS = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-default-apps",
  "--disable-dev-shm-usage",
  "--disable-domain-reliability",
  "--autoplay-policy=no-user-gesture-required",
  "--mute-audio",
];

function executable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The browser's path: FRAMEMILL_TEST_BROWSER, else Chromium or Chrome from PATH; null without one. */
export function findBrowser() {
  const named = process.env.FRAMEMILL_TEST_BROWSER;
  if (named) return executable(named) ? named : null;
  const folders = (process.env.PATH ?? "").split(":").filter(Boolean);
  for (const name of ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"]) {
    for (const folder of folders) {
      const file = path.join(folder, name);
      if (executable(file)) return file;
    }
  }
  return null;
}

/**
 * Opens a page in a fresh profile, gives it to `work`, and closes everything whatever happens.
 * `strangers` collects requests that leave `origin`; they are refused.
 */
export async function withPage(origin, work) {
  const file = findBrowser();
  if (!file) return null;
  const profile = mkdtempSync(path.join(tmpdir(), "framemill-judge-"));
  const strangers = [];
  let context;
  try {
    context = await chromium.launchPersistentContext(profile, {
      executablePath: file,
      headless: false, // --headless=new is among the flags: the old mode has no media pipeline.
      ignoreDefaultArgs: ["--headless", "--headless=old", "--hide-scrollbars"],
      args: FLAGS,
      viewport: { width: 1280, height: 900 },
      serviceWorkers: "block",
    });
    await context.route("**/*", (route) => {
      const url = new URL(route.request().url());
      const own = url.origin === origin || ["blob:", "data:", "about:"].includes(url.protocol);
      if (own) return route.fallback();
      strangers.push(url.href);
      return route.abort();
    });
    const page = await context.newPage();
    return await work(page, strangers);
  } finally {
    await context?.close().catch(() => {});
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

/** Prints what was found as one JSON document and ends with the exit code that goes with it. */
export function finish(result) {
  const findings = result?.findings ?? [];
  const state = result === null ? "not-run" : findings.length === 0 ? "passed" : "failed";
  const reason = result === null ? { reason: "no Chromium on PATH; install the package `chromium`" } : {};
  process.stdout.write(`${JSON.stringify({ state, ...reason, ...result }, null, 2)}\n`);
  process.exitCode = result === null ? NOT_RUN : findings.length === 0 ? 0 : 1;
}
