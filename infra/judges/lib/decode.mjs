// ffprobe and ffmpeg as judges: every byte of a rendition through a strict decoder.
import { spawn } from "node:child_process";
import { createReadStream } from "node:fs";
import { once } from "node:events";

const FFMPEG = process.env.FRAMEMILL_FFMPEG__FFMPEG || "ffmpeg";
const FFPROBE = process.env.FRAMEMILL_FFMPEG__FFPROBE || "ffprobe";
const STDERR_CHARS_MAX = 2000;

/** Runs a tool with `pieces` ({file, start, bytes}) on its standard input; answers what it said. */
async function run(tool, args, pieces) {
  const child = spawn(tool, args, { stdio: [pieces ? "pipe" : "ignore", "pipe", "pipe"] });
  let out = "";
  let err = "";
  child.stdout.on("data", (data) => (out += data));
  child.stderr.on("data", (data) => (err = (err + data).slice(-STDERR_CHARS_MAX)));
  const closed = once(child, "close");
  if (pieces) {
    // A decoder that has seen enough closes the pipe; its exit code says whether that was right.
    child.stdin.on("error", () => {});
    for (const { file, start = 0, bytes } of pieces) {
      const end = bytes === undefined ? undefined : start + bytes - 1;
      for await (const data of createReadStream(file, { start, end })) {
        if (child.stdin.destroyed) break;
        if (!child.stdin.write(data)) await Promise.race([once(child.stdin, "drain").catch(() => {}), closed]);
      }
    }
    child.stdin.end();
  }
  const [code] = await closed;
  return { code, out, err: err.trim() };
}

/** What ffprobe sees in the joined pieces: its one stream. */
export async function probe(pieces) {
  const entries = "stream=codec_type,codec_name,codec_tag_string,width,height,sample_rate,channels";
  const { code, out, err } = await run(FFPROBE, ["-v", "error", "-show_entries", entries, "-of", "json", "pipe:0"], pieces);
  let streams = [];
  try {
    streams = JSON.parse(out).streams ?? [];
  } catch {
    // Said by `complaint` below.
  }
  const complaint = code !== 0 || err ? `ffprobe exit ${code}: ${err}` : streams.length === 1 ? null : `ffprobe sees ${streams.length} streams`;
  return { stream: streams[0] ?? {}, complaint };
}

/** Decodes the joined pieces; strictly unless told otherwise. Answers frames and a complaint or null. */
export async function decode(pieces, { strict = true } = {}) {
  const args = ["-v", "error", "-nostats", ...(strict ? ["-xerror", "-err_detect", "explode"] : [])];
  args.push("-i", "pipe:0", "-map", "0", "-fps_mode", "passthrough", "-f", "null", "-progress", "pipe:1", "-");
  const { code, out, err } = await run(FFMPEG, args, pieces);
  const frames = Number([...out.matchAll(/^frame=(\d+)/gm)].at(-1)?.[1] ?? 0);
  return { frames, complaint: strict && (code !== 0 || err) ? `ffmpeg exit ${code}: ${err}` : null };
}
