#!/usr/bin/env node
// Judges a published tree with tools Framemill shares no code with: hls-parser in strict mode,
// mpd-parser, ffprobe, and ffmpeg that stops at the first fault.
//
//   judge.mjs DIR
//
// Prints one JSON document. Exit 0: nothing found; 1: findings; 2: wrong usage.
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import path from "node:path";
import HLS from "hls-parser";
import { parse as parseMpd } from "mpd-parser";
import { decode, probe } from "./lib/decode.mjs";

const findings = [];
const find = (at, what) => findings.push({ at, what });

function filesBelow(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => {
      const file = path.join(folder, entry.name);
      return entry.isDirectory() ? filesBelow(file) : [file];
    })
    .sort();
}

/** A manifest's reference as a file of the tree; a finding when it leads nowhere. */
function resolve(from, uri) {
  const file = path.resolve(path.dirname(from), decodeURIComponent(uri));
  if (!existsSync(file)) find(from, `${uri} is not there`);
  return file;
}

function piece(from, uri, byterange) {
  const file = resolve(from, uri);
  if (!byterange) return { file };
  const { offset: start = 0, length: bytes } = byterange;
  if (existsSync(file) && start + bytes > statSync(file).size) find(from, `bytes ${start}+${bytes} lie outside ${uri}`);
  return { file, start, bytes };
}

function readPlaylist(file) {
  try {
    return HLS.parse(readFileSync(file, "utf8"));
  } catch (error) {
    find(file, `hls-parser: ${error.message}`);
    return null;
  }
}

function judgeMaster(file, playlist) {
  const uris = new Set();
  for (const variant of playlist.variants) {
    uris.add(variant.uri);
    if (!variant.codecs) find(file, `${variant.uri} has no CODECS`);
    if (!variant.isIFrameOnly && !(variant.averageBandwidth <= variant.bandwidth)) {
      find(file, `${variant.uri}: AVERAGE-BANDWIDTH ${variant.averageBandwidth} against BANDWIDTH ${variant.bandwidth}`);
    }
    for (const media of [...variant.audio, ...variant.subtitles]) if (media.uri) uris.add(media.uri);
  }
  for (const uri of uris) resolve(file, uri);
  return { file, variants: playlist.variants.length, references: uris.size };
}

/** Every rendition is decoded once, however many playlists name it. */
const decoded = new Map();

async function judgeMedia(file, playlist) {
  const map = playlist.segments.find((segment) => segment.map)?.map;
  if (!map) find(file, "no EXT-X-MAP");
  if (!playlist.endlist) find(file, "no EXT-X-ENDLIST");
  const init = map ? [piece(file, map.uri, map.byterange)] : [];
  const segments = playlist.segments.map((segment) => piece(file, segment.uri, segment.byterange));
  const duration_s = playlist.segments.reduce((sum, segment) => sum + segment.duration, 0);
  if ([...init, ...segments].some((one) => !existsSync(one.file))) return { file, duration_s };
  if (playlist.isIFrame) return judgeKeyframes(file, init, segments, duration_s);

  const key = JSON.stringify([init, segments]);
  if (!decoded.has(key)) {
    const seen = await probe([...init, ...segments]);
    if (seen.complaint) find(file, seen.complaint);
    const result = await decode([...init, ...segments]);
    if (result.complaint) find(file, result.complaint);
    decoded.set(key, { stream: seen.stream, frames: result.frames });
  }
  const { stream, frames } = decoded.get(key);
  if (stream.codec_type === "video" && frames === 0) find(file, "no frame was decoded");
  return { file, segments: segments.length, duration_s, frames, ...stream };
}

/** The first, a middle and the last range of an I-frame playlist give one picture each. */
async function judgeKeyframes(file, init, ranges, duration_s) {
  const sample = new Set([0, Math.floor(ranges.length / 2), ranges.length - 1]);
  for (const index of sample) {
    const { frames } = await decode([...init, ranges[index]], { strict: false });
    if (frames !== 1) find(file, `range ${index} gives ${frames} pictures`);
  }
  return { file, keyframes: ranges.length, duration_s };
}

function judgeMpd(file) {
  let manifest;
  try {
    const manifestUri = `https://tree.invalid/${path.relative(root, file)}`;
    const eventHandler = ({ type, message }) => ["warn", "error"].includes(type) && find(file, `mpd-parser ${type}: ${message}`);
    manifest = parseMpd(readFileSync(file, "utf8"), { manifestUri, eventHandler });
  } catch (error) {
    find(file, `mpd-parser: ${error.message}`);
    return { file };
  }
  const audio = Object.values(manifest.mediaGroups.AUDIO ?? {})
    .flatMap((group) => Object.values(group))
    .flatMap((track) => track.playlists);
  const renditions = [...manifest.playlists, ...audio].map((playlist) => {
    const uris = [playlist.segments[0]?.map?.resolvedUri, ...playlist.segments.map((segment) => segment.resolvedUri)];
    for (const uri of uris) {
      const target = path.join(root, decodeURIComponent(new URL(uri ?? "missing", "https://tree.invalid/").pathname));
      if (!existsSync(target)) find(file, `${uri} is not there`);
    }
    const duration_s = playlist.segments.reduce((sum, segment) => sum + segment.duration, 0);
    if (Math.abs(duration_s - manifest.duration) > 0.1) {
      find(file, `${playlist.attributes.NAME} lasts ${duration_s} s of ${manifest.duration} s`);
    }
    return { name: playlist.attributes.NAME, codecs: playlist.attributes.CODECS, segments: playlist.segments.length, duration_s };
  });
  if (renditions.length === 0) find(file, "mpd-parser finds no rendition");
  return { file, duration_s: manifest.duration, renditions };
}

/** All pictures have the same frames, and everything is as long as the pictures. */
function judgeTogether(renditions) {
  const video = renditions.filter((one) => one.codec_type === "video");
  const frames = new Set(video.map((one) => one.frames));
  if (frames.size > 1) find(root, `frame counts differ: ${[...frames].join(", ")}`);
  const longest = Math.max(0, ...video.map((one) => one.duration_s));
  for (const one of renditions) {
    if (Math.abs(one.duration_s - longest) > 0.1) find(one.file, `lasts ${one.duration_s} s, the picture ${longest} s`);
  }
}

const root = path.resolve(process.argv[2] ?? "");
if (process.argv.length !== 3 || !existsSync(root) || !statSync(root).isDirectory()) {
  process.stderr.write("usage: judge.mjs DIR (a published tree)\n");
  process.exit(2);
}
HLS.setOptions({ strictMode: true });
const files = filesBelow(root);
const masters = [];
const renditions = [];
for (const file of files.filter((name) => name.endsWith(".m3u8"))) {
  const playlist = readPlaylist(file);
  if (playlist?.isMasterPlaylist) masters.push(judgeMaster(file, playlist));
  else if (playlist) renditions.push(await judgeMedia(file, playlist));
}
const mpds = files.filter((name) => name.endsWith(".mpd")).map(judgeMpd);
if (masters.length === 0) find(root, "no multivariant playlist");
if (mpds.length === 0) find(root, "no MPD");
judgeTogether(renditions);
const state = findings.length === 0 ? "passed" : "failed";
process.stdout.write(`${JSON.stringify({ state, masters, renditions, mpds, findings }, null, 2)}\n`);
process.exitCode = findings.length === 0 ? 0 : 1;
