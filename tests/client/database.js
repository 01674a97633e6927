// A database server of a test's own.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { connect } from "node:net";

import { until } from "../../shared/client/test/server.js";

/** Starts a database server for one test, which can stop and restart it. */
export async function startDatabase(t) {
  const command = process.env.DATABASE_COMMAND;
  assert.ok(command, "DATABASE_COMMAND is not set: run these tests by `cargo test -p tests --test client`");
  const [program, ...flags] = JSON.parse(command);
  const port = Number(flags[flags.indexOf("--port") + 1]);
  let child;
  const database = {
    uri: `mongodb://127.0.0.1:${port}/?directConnection=true`,
    async start() {
      child = spawn(program, flags, { stdio: "ignore" });
      process.on("exit", () => child.kill("SIGKILL"));
      await until(() => listens(port), "the database listens", 20_000);
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((resolve) => child.once("close", resolve));
      child.kill("SIGKILL");
      await ended;
    },
  };
  t.after(() => database.stop());
  await database.start();
  return database;
}

function listens(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
