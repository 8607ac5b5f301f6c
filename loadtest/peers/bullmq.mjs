// BullMQ on Redis, add and process one job: the figures that `framemill loadtest bench queue`
// prints of the farm. Run by bullmq.sh, which starts Redis and installs what is imported here.
//
// In the same process: adders, and a worker that does nothing. Usage: bullmq.mjs PORT [JOBS] [PARALLEL]

import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";
import { setTimeout as pause } from "node:timers/promises";

const [port, jobs = 2000, parallel = 16] = process.argv.slice(2).map(Number);
const SAMPLES = 500;
const ROUNDS = 3;
const connect = () => new Redis({ host: "127.0.0.1", port, maxRetriesPerRequest: null });
// About as much as a chunk's record holds.
const data = { source: "https://media.example.net/a-feature-film.mp4", spec: "x".repeat(1000) };

const queue = new Queue("bench", { connection: connect() });
let started = () => {};
let completed = () => {};
const worker = new Worker("bench", async (job) => started(job.data.serial), { connection: connect(), concurrency: parallel });
worker.on("completed", () => completed());
await Promise.all([queue.waitUntilReady(), worker.waitUntilReady()]);

let serial = 0;
const add = () => queue.add("job", { ...data, serial: serial++ }, { removeOnComplete: true });

async function throughput() {
  let left = jobs;
  const all = new Promise((resolve) => (completed = () => --left === 0 && resolve()));
  const begun = performance.now();
  let toAdd = jobs;
  const adder = async () => {
    while (toAdd-- > 0) await add();
  };
  await Promise.all(Array.from({ length: parallel }, adder));
  await all;
  return jobs / ((performance.now() - begun) / 1000);
}

async function idle() {
  const samples = [];
  for (let n = 0; n < SAMPLES; n++) {
    await pause(20);
    const begun = new Promise((resolve) => (started = () => resolve(performance.now())));
    const ended = new Promise((resolve) => (completed = resolve));
    const at = performance.now();
    await add();
    samples.push((await begun) - at);
    await ended;
  }
  started = () => {};
  return samples.sort((a, b) => a - b);
}

const samples = await idle();
const percentile = (percent) => samples[Math.ceil((samples.length * percent) / 100) - 1];
const rates = [];
for (let round = 0; round < ROUNDS; round++) rates.push(await throughput());
const report = {
  peer: "bullmq",
  jobs,
  parallel,
  jobs_per_s: rates,
  median_jobs_per_s: [...rates].sort((a, b) => a - b)[Math.floor(ROUNDS / 2)],
  idle_add_to_process: { p50_ms: percentile(50), p99_ms: percentile(99), max_ms: samples.at(-1), samples: SAMPLES },
};
console.log(JSON.stringify(report));
await worker.close();
await queue.close();
process.exit(0);
