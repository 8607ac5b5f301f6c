#!/usr/bin/env node
// Judges every version that a channel's media playlists had over time with hls-parser in strict mode.
//
//   live-playlists.mjs DIR      DIR/<rendition>/<version>.m3u8, in the order they were seen
//
// Prints one JSON document. Exit 0: nothing found; 1: findings; 2: wrong usage.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import HLS from "hls-parser";

const FINDINGS_MAX = 50;
const [root] = process.argv.slice(2);
if (!root || !existsSync(root)) {
  process.stderr.write("usage: live-playlists.mjs DIR\n");
  process.exit(2);
}

HLS.setOptions({ strictMode: true });
const findings = [];
let versions = 0;
const refused = new Set();
function find(at, what) {
  refused.add(at);
  if (findings.length < FINDINGS_MAX) findings.push({ at, what });
}

function parse(file) {
  try {
    return HLS.parse(readFileSync(file, "utf8"));
  } catch (error) {
    find(file, error.message);
    return null;
  }
}

/** What a version says of each number, as the parser understood it. */
function entries(playlist) {
  return new Map(
    playlist.segments.map((segment) => [
      segment.mediaSequenceNumber,
      JSON.stringify([segment.uri, segment.duration, segment.discontinuitySequence, Boolean(segment.gap)]),
    ]),
  );
}

for (const rendition of readdirSync(root).sort()) {
  const folder = path.join(root, rendition);
  let before = null;
  for (const name of readdirSync(folder).sort()) {
    const file = path.join(folder, name);
    versions += 1;
    const playlist = parse(file);
    if (!playlist) continue;
    if (playlist.isMasterPlaylist) find(file, "not a media playlist");
    const now = { sequence: playlist.mediaSequenceBase, target: playlist.targetDuration, entries: entries(playlist) };
    if (before) {
      if (now.sequence < before.sequence) find(file, `media sequence ${now.sequence} after ${before.sequence}`);
      if (now.target !== before.target) find(file, `target duration ${now.target} after ${before.target}`);
      for (const [number, entry] of now.entries) {
        const known = before.entries.get(number);
        if (known !== undefined && known !== entry) find(file, `number ${number} was ${known} and is ${entry}`);
      }
    }
    before = now;
  }
}
process.stdout.write(`${JSON.stringify({ versions, refused: refused.size, findings }, null, 2)}\n`);
process.exitCode = findings.length === 0 && versions > 0 ? 0 : 1;
