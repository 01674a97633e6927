// The client with a driven clock: generated schedules, and their invariants.

import { test } from "node:test";
import { Worker } from "node:worker_threads";

test("in generated schedules each send settles once, in order, and the entries equal the log", async () => {
  const schedules = Number(process.env.SCHEDULES ?? 1_200);
  const first = Number(process.env.SEED ?? 1);
  const last = first + (process.env.SEED ? 1 : schedules);
  // In worker threads, because the test runner tracks every promise of this one, which is slow.
  await Promise.all([0, 1].map((part) => new Promise((resolve, reject) => {
    const worker = new Worker(new URL("schedule.js", import.meta.url), { workerData: { first: first + part, last, step: 2 } });
    worker.on("error", reject).on("exit", resolve);
  })));
});
