// Serves one folder over HTTP on a free loopback port, with byte ranges, as a plain web server
// would. It never looks inside what it serves.
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import path from "node:path";

const TYPES = {
  ".m3u8": "application/vnd.apple.mpegurl",
  ".mpd": "application/dash+xml",
  ".mp4": "video/mp4",
  ".m4s": "video/iso.segment",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".json": "application/json",
};

/** Starts the server; answers `{ url, close }`. */
export async function serveTree(root) {
  const base = path.resolve(root);
  const server = createServer((request, response) => {
    answer(base, request, response).catch(() => response.destroy());
  });
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}

async function answer(base, request, response) {
  const { pathname } = new URL(request.url, "http://localhost");
  const file = path.join(base, decodeURIComponent(pathname));
  const inside = file.startsWith(base + path.sep);
  const found = inside ? await stat(file).catch(() => null) : null;
  if (!found?.isFile()) return void response.writeHead(404).end();
  const headers = {
    "content-type": TYPES[path.extname(file)] ?? "application/octet-stream",
    "accept-ranges": "bytes",
    "cache-control": "no-store",
  };
  const range = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? "");
  let [start, end, status] = [0, found.size - 1, 200];
  if (range && (range[1] || range[2])) {
    start = range[1] ? Number(range[1]) : Math.max(0, found.size - Number(range[2]));
    end = range[1] && range[2] ? Math.min(Number(range[2]), found.size - 1) : found.size - 1;
    if (start > end) return void response.writeHead(416, { "content-range": `bytes */${found.size}` }).end();
    status = 206;
    headers["content-range"] = `bytes ${start}-${end}/${found.size}`;
  }
  headers["content-length"] = found.size === 0 ? 0 : end - start + 1;
  response.writeHead(status, headers);
  if (request.method === "HEAD" || found.size === 0) return void response.end();
  createReadStream(file, { start, end }).on("error", () => response.destroy()).pipe(response);
}
