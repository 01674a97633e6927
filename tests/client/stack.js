// The whole chat as a process of its own, for tests in Node: the gateway with the functions, on a database of a name
// of its own. `cargo test -p tests --test client` builds what it needs and says where it is.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as after } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const HOW = "run these tests by `cargo test -p tests --test client`";
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 20_000;

/** Limits that no test reaches; a test of limits gives others as flags, which win. */
const UNLIMITED = ["MessageRate=1000", "MessageBurst=1000000", "SocketsPerUser=100000"];

/** Processes that run, to be killed if this one ends first. */
const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

/** A running chat. */
export class Stack {
  /** Address of the WebSocket API with its stage: `ws://127.0.0.1:…/prod`. */
  ws = "";
  /** Address of the HTTP API. */
  http = "";
  /** Address of the Invoke API and of the faults. */
  functions = "";
  /** Tokens by user, with `--auth`. */
  tokens = {};
  /** Links to the page that sign a user in, by user, with `--auth`. */
  links = {};

  constructor(child) {
    this.child = child;
    this.written = "";
    this.ended = new Promise((resolve) => child.once("close", resolve));
  }

  /** What the chat has logged until now. */
  log() {
    return this.written;
  }

  /** Sets the faults in force: the whole of them, so `put({})` ends all. */
  put(faults) {
    return this.#ask("PUT", "/_local/faults", faults);
  }

  /** `post("/_local/cut")` and the like. */
  post(path, body) {
    return this.#ask("POST", path, body);
  }

  /** Breaks all connections, without a close frame. */
  cut() {
    return this.post("/_local/cut");
  }

  /** Kills the processes of a function, by its logical id. */
  kill(name) {
    return this.post("/_local/kill", { function: name });
  }

  async #ask(method, path, body) {
    const response = await fetch(this.functions + path, { method, body: body && JSON.stringify(body) });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  }

  /** Stops everything as Ctrl-C does, and returns the log. */
  async stop() {
    this.child.kill("SIGINT");
    const ended = await Promise.race([this.ended.then(() => true), after(STOP_TIMEOUT_MS, false, { ref: false })]);
    if (!ended) {
      this.child.kill("SIGKILL");
      throw new Error(`the chat did not stop within ${STOP_TIMEOUT_MS} ms:\n${this.written}`);
    }
    return this.written;
  }
}

/** Starts a chat and waits until it is ready. `flags` are those of `cargo local`, `uri` that of the database's server. */
export async function startChat({ flags = [], env = {}, database, uri = process.env.MONGODB_URI } = {}) {
  const program = process.env.CHAT_LOCAL ?? resolve(ROOT, "target/debug/chat-local");
  if (!uri) throw new Error(`MONGODB_URI is not set: ${HOW}`);
  if (!existsSync(program)) throw new Error(`there is no ${program}: ${HOW}`);
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
  stack.ended.then(() => running.delete(child));
  child.on("error", (error) => (stack.written += `${error}\n`));
  child.stderr.setEncoding("utf8").on("data", (text) => (stack.written += text));
  try {
    read(stack, await screen(stack));
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
  return stack;
}

/** The start-up screen up to `ready`. */
function screen(stack) {
  return new Promise((resolve, reject) => {
    const fail = (why) => reject(new Error(`the chat ${why}:\n${stack.written}`));
    const timer = setTimeout(() => fail(`was not ready within ${START_TIMEOUT_MS} ms`), START_TIMEOUT_MS);
    const lines = [];
    // The lines go on to be read after `ready`, lest the pipe fills up.
    createInterface({ input: stack.child.stdout }).on("line", (line) => {
      if (line !== "ready") return lines.push(line);
      clearTimeout(timer);
      resolve(lines);
    });
    stack.ended.then(() => {
      clearTimeout(timer);
      fail("ended before it was ready");
    });
  });
}

/** Takes addresses, tokens and links from the lines of the start-up screen. */
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
