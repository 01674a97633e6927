// A program that uses the library up to a point and closes it. Node must then exit by itself.
// `node exits.js POINT SOCKET_URL HISTORY_URL`

import { createRequire } from "node:module";

import { Chat } from "../src/index.js";
import { TIMING } from "./clients.js";
import { until } from "./server.js";

const { WebSocket } = createRequire(import.meta.url)("ws");
const [, , point, socketUrl, historyUrl] = process.argv;
const never = () => new Promise(() => {});
const timing = { ...TIMING, handOverMin: 30, handOverMax: 30, connect: 60_000, token: 60_000, request: 60_000 };
const chat = new Chat({ socketUrl, historyUrl, user: "ann", WebSocket, timing, ...(point === "token" && { token: never }) });
const conversation = chat.with("ben");
const is = (state) => until(() => chat.state.state === state, state);
conversation.onChange(() => {});

if (point !== "constructed") chat.connect();
if (["online", "hand-over", "stalled", "history", "online with a dead peer"].includes(point)) await is("online");
if (point === "waiting") await is("waiting");
if (point === "hand-over") await new Promise((resolve) => setTimeout(resolve, 100));
if (point === "stalled") conversation.send("hi");
if (!point.startsWith("connect()")) await new Promise((resolve) => setTimeout(resolve, 20));
await chat.close();
console.log("closed");
