// The client in a world without real time: generated schedules with invariants.

import { test } from "node:test";
import { Worker } from "node:worker_threads";

test("whatever happens, each send ends once, in order, and what is shown is the log", async () => {
  const schedules = Number(process.env.SCHEDULES ?? 1_200);
  const first = Number(process.env.SEED ?? 1);
  const last = first + (process.env.SEED ? 1 : schedules);
  // In threads of their own: the test runner watches every promise of this one.
  await Promise.all([0, 1].map((part) => new Promise((resolve, reject) => {
    const worker = new Worker(new URL("schedule.js", import.meta.url), { workerData: { first: first + part, last, step: 2 } });
    worker.on("error", reject).on("exit", resolve);
  })));
});
