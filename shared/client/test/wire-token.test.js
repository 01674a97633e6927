// The client on real WebSockets, against a server that fails on command: tokens.

import assert from "node:assert/strict";
import { setTimeout as after } from "node:timers/promises";

import { SignedOut } from "../src/index.js";
import { TIMING as USUAL } from "../src/timing.js";
import { scenario, texts } from "./clients.js";
import { times, token, until } from "./server.js";

/** Returns a token callback that counts its calls and takes `ms`. */
function issuer(user, { ms = 0, ...claims } = {}) {
  const issue = async ({ signal }) => {
    issue.signals.push(signal);
    issue.calls++;
    issue.maxRunning = Math.max(issue.maxRunning, ++issue.running);
    await after(ms);
    issue.running--;
    return token(user, claims);
  };
  return Object.assign(issue, { calls: 0, running: 0, maxRunning: 0, signals: [] });
}

scenario("the token callback is called once at a time, however many requests need a token", { withAuth: true }, async (world) => {
  const { server } = world;
  const issue = issuer("ann", { ms: 80 });
  const ann = await world.online("ann", { token: issue });
  for (const peer of ["ben", "cat", "dan"]) ann.with(peer);
  await until(() => server.requests.length >= 3, "the conversations were read");
  for (const { token: old } of [...server.allConnections]) server.revoked.add(old);
  server.cut("ann");
  for (const peer of ["eve", "fay"]) ann.with(peer);
  ann.tab.show();
  await ann.until("online");
  await ann.with("ben").conversation.send("hi").done;
  assert.equal(issue.maxRunning, 1);
});

scenario("the token is refreshed before it expires, by its lifetime and not by this machine's clock", { withAuth: true }, async (world) => {
  const { server } = world;
  const issue = issuer("ann", { lifetime: 1, issued: 1_000_000_000 });
  const ann = await world.online("ann", { token: issue, timing: { tokenMargin: 200 } });
  const start = server.allConnections[0].opened;
  assert.equal(USUAL.tokenMargin, 60_000);
  await until(() => server.allConnections.length >= 2, "there is a connection with a new token", 1_500);
  const wait = server.allConnections[1].opened - start;
  assert.ok(wait > 700 && wait < 1_000, `after ${wait} ms`);
  assert.notEqual(server.allConnections[1].token, server.allConnections[0].token);
  await ann.with("ben").conversation.send("hi").done;
  assert.deepEqual(ann.states.map(({ state }) => state).filter((state) => state !== "idle"), ["connecting", "online"]);
  assert.ok(issue.calls <= 4, `${issue.calls} calls`);
});

scenario("a token that cannot be parsed is used until the server rejects it", { withAuth: true }, async (world) => {
  const { server } = world;
  const good = token("ann");
  server.onHandshake = () => undefined;
  const ann = await world.online("ann", { token: async () => good.replace(/\.signed$/, ".") });
  await ann.with("ben").conversation.send("hi").done;
  assert.equal(server.handshakes.length, 1);
});

scenario("SignedOut signs out at once", { withAuth: true }, async (world) => {
  const { server } = world;
  let out = false;
  const issue = issuer("ann");
  const callback = async (call) => {
    if (out) throw new SignedOut();
    return issue(call);
  };
  const ann = await world.online("ann", { token: callback });
  const view = ann.with("ben");
  await view.conversation.send("hi").done;
  out = true;
  server.onFrame = () => ({ error: { code: "token_expired", retryable: true } });
  const entry = view.conversation.send("too late");
  await ann.until("signed-out");
  const before = server.handshakes.length;
  await after(250);
  assert.deepEqual([server.handshakes.length, issue.calls], [before, 1]);
  assert.equal(view.entry("too late").key, entry.key, "the typed message is kept");
});

scenario("a rejected token is replaced once, and a second rejection signs out", { withAuth: true }, async (world) => {
  const { server } = world;
  const issue = issuer("ann");
  server.onHandshake = () => ({ status: 401 });
  server.onHistory = () => ({ status: 401 });
  const ann = world.client("ann", { token: issue });
  ann.chat.connect();
  await ann.until("signed-out");
  assert.ok(issue.calls === 2, `${issue.calls} calls`);
  assert.equal(ann.chat.state.error.code, "unauthorized");
  const before = server.handshakes.length;
  await after(250);
  assert.equal(server.handshakes.length, before);
  assert.ok(before >= 2, "two handshakes in a row were rejected before the history was requested");
});

scenario("a rejected token is replaced, and the client goes online with the new one", { withAuth: true }, async (world) => {
  const { server } = world;
  const issue = issuer("ann");
  const stale = token("ann");
  server.revoked.add(stale);
  const ann = world.client("ann", { token: async (call) => (issue.calls++ ? issue(call) : stale) });
  ann.chat.connect();
  await ann.until("online");
  await ann.with("ben").conversation.send("hi").done;
});

scenario("rejected handshakes are tried again if the history accepts the token", { withAuth: true }, async (world) => {
  const { server } = world;
  server.onHandshake = () => (server.handshakes.length <= 5 ? { status: 500 } : undefined);
  const ann = world.client("ann", { token: issuer("ann") });
  ann.chat.connect();
  await ann.until("online");
  assert.equal(server.handshakes.length, 6);
});

scenario("a slow token callback does not block an open connection", { withAuth: true }, async (world) => {
  const { server } = world;
  let slow = false;
  let slowCalls = 0;
  const issue = issuer("ann", { lifetime: 1 });
  const callback = (call) => (slow ? (slowCalls++, new Promise(() => {})) : issue(call));
  const ann = await world.online("ann", { token: callback, timing: { tokenMargin: 500 } });
  const view = ann.with("ben");
  slow = true;
  await until(() => slowCalls > 0, "the token is being refreshed", 1_500);
  for (const text of texts("hi", 5)) await view.conversation.send(text).done;
  server.post("ben", "ann", "push");
  await view.shows([...texts("hi", 5), "push"]);
  assert.equal(ann.state, "online");
  assert.equal(server.allConnections.length, 1);
});

scenario("a token callback that never returns is aborted by its signal and called again", { withAuth: true }, async (world) => {
  const signals = [];
  const callback = ({ signal }) => {
    signals.push(signal);
    return signals.length < 3 ? new Promise(() => {}) : Promise.resolve(token("ann"));
  };
  const ann = world.client("ann", { token: callback, timing: { token: 80 } });
  const entry = ann.with("ben").conversation.send("typed");
  ann.chat.connect();
  await ann.until("online");
  await entry.done;
  assert.ok(signals[0].aborted && signals[1].aborted);
});

scenario("a token callback that fails is called again, with delays", { withAuth: true }, async (world) => {
  let calls = 0;
  const callback = async () => {
    if (++calls < 4) throw new Error("no network");
    return token("ann");
  };
  const ann = world.client("ann", { token: callback });
  ann.chat.connect();
  await ann.until("online");
  assert.equal(calls, 4);
  assert.ok(ann.states.some(({ state }) => state === "waiting"));
});

scenario("token_expired with close code 1000 leads to a new token, not to the state replaced", { withAuth: true }, async (world) => {
  const { server } = world;
  const issue = issuer("ann");
  server.onFrame = times(1, { error: { code: "token_expired", retryable: true } });
  const ann = await world.online("ann", { token: issue });
  await ann.with("ben").conversation.send("hi").done;
  await ann.with("ben").shows(["hi"]);
  assert.equal(issue.calls, 2);
  assert.equal(server.allConnections.length, 2);
  assert.ok(!ann.states.some(({ state }) => state === "replaced"));
});

scenario("a 401 of the history gets a new token once, while the connection stays", { withAuth: true }, async (world) => {
  const { server } = world;
  const issue = issuer("ann");
  const ann = await world.online("ann", { token: issue });
  server.onHistory = times(1, { status: 401 });
  server.post("ben", "ann", "hi", { push: false });
  await ann.with("ben").shows(["hi"]);
  assert.equal(issue.calls, 2);
  assert.equal(ann.state, "online");
});
