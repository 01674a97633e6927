// Starts the whole chat as a process, for tests in Node: the gateway and the functions, with a new database name.
// `cargo test -p tests --test client` builds the programs and passes their paths in environment variables.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as after } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const HELP = "run these tests by `cargo test -p tests --test client`";
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 20_000;

/** Limits that no test reaches. Tests of the limits pass their own as flags, which take precedence. */
const UNLIMITED = ["MessageRate=1000", "MessageBurst=1000000", "MarkRate=1000", "MarkBurst=1000000", "GroupRate=1000", "GroupBurst=1000000", "SocketsPerUser=100000", "HandshakeRate=1000", "HandshakeBurst=1000000", "HistoryRate=1000", "HistoryBurst=1000000"];

/** Running processes, which are killed when this one exits. */
const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

/** A running chat. */
export class Stack {
  /** URL of the WebSocket API with its stage: `ws://127.0.0.1:…/prod`. */
  ws = "";
  /** URL of the HTTP API. */
  http = "";
  /** URL of the Invoke API and of `/_local`. */
  functions = "";
  /** Tokens by user, with `--auth`. */
  tokens = {};
  /** URLs of the page that sign a user in, by user, with `--auth`. */
  links = {};

  constructor(child) {
    this.child = child;
    this.output = "";
    this.exited = new Promise((resolve) => child.once("close", resolve));
  }

  /** Returns the log so far. */
  log() {
    return this.output;
  }

  /** Replaces all faults. `put({})` ends them. */
  put(faults) {
    return this.#request("PUT", "/_local/faults", faults);
  }

  /** Posts to a path under `/_local`. */
  post(path, body) {
    return this.#request("POST", path, body);
  }

  /** Breaks all connections, without a close frame. */
  cut() {
    return this.post("/_local/cut");
  }

  /** Kills the processes of a function, by its logical id. */
  kill(name) {
    return this.post("/_local/kill", { function: name });
  }

  async #request(method, path, body) {
    const response = await fetch(this.functions + path, { method, body: body && JSON.stringify(body) });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  }

  /** Stops the chat as Ctrl-C does, and returns the log. */
  async stop() {
    this.child.kill("SIGINT");
    const exited = await Promise.race([this.exited.then(() => true), after(STOP_TIMEOUT_MS, false, { ref: false })]);
    if (!exited) {
      this.child.kill("SIGKILL");
      throw new Error(`the chat did not stop within ${STOP_TIMEOUT_MS} ms:\n${this.output}`);
    }
    return this.output;
  }
}

/** Starts a chat and waits until it is ready. `flags` are passed to the program; `uri` is that of the database server. */
export async function startChat({ flags = [], env = {}, database, uri = process.env.MONGODB_URI } = {}) {
  const program = process.env.CHAT_LOCAL ?? resolve(ROOT, "target/debug/chat-local");
  if (!uri) throw new Error(`MONGODB_URI is not set: ${HELP}`);
  if (!existsSync(program)) throw new Error(`there is no ${program}: ${HELP}`);
  const parameters = UNLIMITED.flatMap((parameter) => ["--parameter", parameter]);
  const child = spawn(
    program,
    [
      ...["--template", resolve(ROOT, "infra/template.yaml")],
      ...["--binaries", process.env.BINARIES ?? resolve(ROOT, "target/debug")],
      ...["--ws-port", "--http-port"].flatMap((port) => (flags.includes(port) ? [] : [port, "0"])),
      ...["--database", database ?? `client_${randomBytes(8).toString("hex")}`],
      ...parameters,
      ...flags,
    ],
    { env: { ...process.env, MONGODB_URI: uri, ...env }, stdio: ["ignore", "pipe", "pipe"] },
  );
  running.add(child);
  const stack = new Stack(child);
  stack.exited.then(() => running.delete(child));
  child.on("error", (error) => (stack.output += `${error}\n`));
  child.stderr.setEncoding("utf8").on("data", (text) => (stack.output += text));
  try {
    read(stack, await screen(stack));
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
  return stack;
}

/** Returns the lines of the start-up screen before `ready`. */
function screen(stack) {
  return new Promise((resolve, reject) => {
    const fail = (why) => reject(new Error(`the chat ${why}:\n${stack.output}`));
    const timer = setTimeout(() => fail(`was not ready within ${START_TIMEOUT_MS} ms`), START_TIMEOUT_MS);
    const lines = [];
    // Lines are still read after `ready`, so that the pipe does not fill up.
    createInterface({ input: stack.child.stdout }).on("line", (line) => {
      if (line !== "ready") return lines.push(line);
      clearTimeout(timer);
      resolve(lines);
    });
    stack.exited.then(() => {
      clearTimeout(timer);
      fail("exited before it was ready");
    });
  });
}

/** Reads URLs, tokens and links from the start-up screen. */
function read(stack, lines) {
  const address = (label) => {
    const line = lines.find((line) => line.trimStart().startsWith(`${label} `));
    const found = /\S+:\/\/\S+/.exec(line ?? "");
    if (!found) throw new Error(`the start-up screen names no ${label}:\n${lines.join("\n")}`);
    return found[0];
  };
  Object.assign(stack, { ws: address("WebSocket"), http: address("HTTP"), functions: address("Functions") });
  let user;
  for (const line of lines) {
    user = /^ +as (.*):$/.exec(line)?.[1] ?? user;
    const token = /^ +TOKEN='(.*)'$/.exec(line)?.[1];
    if (token) stack.tokens[user] = token;
  }
  for (const line of lines) {
    const link = /http:\/\/\S+#token=(\S+)/.exec(line);
    const owner = link && Object.keys(stack.tokens).find((user) => stack.tokens[user] === decodeURIComponent(link[1]));
    if (owner) stack.links[owner] = link[0];
  }
}
