// The package that npm packs: its files, its use in every kind of project, and its size.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";

const require = createRequire(import.meta.url);
const run = promisify(execFile);

/** Size limit of the library in a bundle, minified and gzipped. */
const MAX_BUNDLE_BYTES = 20 * 1_024;

const HOME = fileURLToPath(new URL("..", import.meta.url));
const tsc = join(dirname(require.resolve("typescript/package.json")), require("typescript/package.json").bin.tsc);

let folder; // A temporary folder.
let source; // A copy of the library's folder, with the types generated.
let project; // A project that has installed the package.
let files; // Paths of the files in the package.

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "meetme-chat-"));
  source = join(folder, "client");
  await cp(HOME, source, { recursive: true, filter: (path) => !/(node_modules|[/\\]types)$/.test(path) });
  await npm(source, "run", "types");
  const [packed] = JSON.parse(await npm(source, "pack", "--json", "--ignore-scripts", "--pack-destination", folder));
  files = packed.files.map(({ path }) => path);
  project = join(folder, "project");
  await mkdir(project);
  await write("package.json", JSON.stringify({ name: "project", private: true }));
  await npm(project, "install", join(folder, packed.filename));
});

after(() => rm(folder, { recursive: true, force: true }));

test("the package contains only sources, types and README, and has no dependencies", async () => {
  const others = files.filter((path) => !/^(src\/[\w-]+\.js|types\/[\w-]+\.d\.ts(\.map)?|package\.json|README\.md|LICENSE)$/.test(path));
  assert.deepEqual(others, []);
  for (const path of ["src/index.js", "types/index.d.ts", "README.md"]) assert.ok(files.includes(path), `${path} is missing`);
  const manifest = JSON.parse(await readFile(join(project, "node_modules/meetme-chat/package.json"), "utf8"));
  for (const kind of ["dependencies", "peerDependencies", "optionalDependencies", "bundledDependencies"]) {
    assert.deepEqual(Object.keys(manifest[kind] ?? {}), [], kind);
  }
  assert.deepEqual(Object.keys(manifest.scripts ?? {}).filter((name) => /^(pre|post)?install$/.test(name)), []);
  const [condition] = Object.keys(manifest.exports["."]);
  assert.equal(condition, "types", "`types` comes first, or some resolvers do not see it");
});

test("the sources import only files of the package", async () => {
  const { inputs } = (await bundle({ entryPoints: [join(project, "node_modules/meetme-chat/src/index.js")], packages: "external" })).metafile;
  const imports = Object.values(inputs).flatMap((input) => input.imports);
  assert.ok(imports.length > 0);
  assert.deepEqual(imports.filter(({ external, path }) => external || !path.includes("meetme-chat/src/")), []);
});

test("an ES module can import the package", async () => {
  await write("main.mjs", `import { Chat, ChatError, SignedOut, indexedDbStorage } from "meetme-chat";\n${TRY}`);
  assert.equal(await node("main.mjs"), "idle function function function\n");
});

test("a CommonJS module can load the package by import()", async () => {
  await write(
    "main.cjs",
    `import("meetme-chat").then(({ Chat, ChatError, SignedOut, indexedDbStorage }) => {\n${TRY}\n});`,
  );
  assert.equal(await node("main.cjs"), "idle function function function\n");
});

for (const [resolution, module] of [["node16", "node16"], ["bundler", "esnext"]]) {
  test(`TypeScript accepts correct use of the package and reports mistakes (moduleResolution ${resolution})`, async () => {
    const options = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom,dom.iterable", "--types", ""];
    const check = (file) => run(process.execPath, [tsc, ...options, "--module", module, "--moduleResolution", resolution, file], { cwd: project });
    await write("good.mts", GOOD);
    await check("good.mts").catch(({ stdout }) => assert.fail(stdout));
    await write("bad.mts", BAD);
    const { stdout } = await check("bad.mts").then(() => assert.fail("no mistake was found"), (error) => error);
    const lines = BAD.split("\n").flatMap((line, index) => (line.includes("// wrong") ? [index + 1] : []));
    const reported = new Set([...stdout.matchAll(/^bad\.mts\((\d+),/gm)].map(([, line]) => Number(line)));
    assert.deepEqual([...reported].sort((a, b) => a - b), lines, stdout);
  });
}

test("the sources pass the strict type check", async () => {
  await run(process.execPath, [tsc, "-p", source, "--noEmit"]).catch(({ stdout }) => assert.fail(stdout));
  const { stdout } = await run(process.execPath, [tsc, "-p", source, "--showConfig"]);
  const { compilerOptions } = JSON.parse(stdout);
  assert.ok(compilerOptions.strict && compilerOptions.checkJs, stdout);
});

test("the bundle is within its size limit, minified and gzipped", async (t) => {
  const { outputFiles } = await bundle({ stdin: { contents: 'export * from "meetme-chat";', resolveDir: project }, minify: true });
  const bytes = compressedSize(outputFiles[0].contents);
  t.diagnostic(`minified and gzipped: ${bytes} bytes`);
  assert.ok(bytes <= MAX_BUNDLE_BYTES, `${bytes} bytes`);
});

test("no module loads types.js, which is for the type checker only", async () => {
  const modules = await loadedModules();
  const present = (await readdir(join(source, "src"))).filter((name) => name.endsWith(".js"));
  assert.deepEqual(present.filter((name) => !modules.includes(name)), ["types.js"]);
});

const TRY = `
const chat = new Chat({ socketUrl: "ws://127.0.0.1:9/?user_id={user}", historyUrl: "", user: "a", WebSocket: class {} });
console.log(chat.state.state, typeof ChatError, typeof SignedOut, typeof indexedDbStorage);
`;

const GOOD = `
import { Chat, ChatError, SignedOut, indexedDbStorage } from "meetme-chat";

const chat = new Chat({
  socketUrl: "wss://ws.example.com/prod",
  historyUrl: "https://api.example.com",
  user: "prof@example.com",
  storage: indexedDbStorage("ann"),
  async token({ signal }) {
    const response = await fetch("/session/token", { signal });
    if (response.status === 401) throw new SignedOut();
    return response.text();
  },
});
const stopState: () => void = chat.onState(({ state, retryAt, error }) => {
  if (state === "waiting") console.log(retryAt?.toFixed(), error?.code);
});
const conversation = chat.with("student@example.com");
const stop = conversation.onChange(({ entries, unread, more, newest }) => {
  for (const { key, text, state, error, seq, own } of entries) {
    if (state === "failed" && own) console.log(key.length, text.length, error?.retryable, seq?.toFixed());
  }
  console.log(unread + newest, more);
});
const entry = conversation.send("At 3PM?");
try {
  await entry.done;
} catch (error) {
  if (error instanceof ChatError) console.log(error.code, error.retryable, error.retryAfterMs?.toFixed());
}
entry.retry();
entry.discard();
const { more }: { more: boolean } = await conversation.older(50);
conversation.markRead();
conversation.typing();
if (conversation.canChange) {
  await conversation.edit(entry, "At 4PM?");
  await conversation.remove(entry);
}
for (const { edited, deleted, change } of conversation.snapshot.entries) {
  if (change?.state === "failed") change.retry();
  console.log(edited && !deleted, change?.kind === "edit", change?.error?.code);
}
for await (const message of conversation.all()) console.log(message.text);
for await (const conversation of chat.conversations()) console.log(conversation.peer, conversation.unread, conversation.last?.text);
await chat.moreConversations(20);
chat.onConversations(({ conversations, unread, more }) => conversations.map(({ id, newest, presence }) => [id, newest, presence?.lastSeen?.length, unread, more]));
chat.onSettings((settings) => console.log(settings?.receipts === true));
const { presence }: { presence: boolean } = await chat.setSettings({ receipts: false });
console.log(presence, conversation.snapshot.firstUnread?.toFixed(), conversation.snapshot.readByPeer.toFixed());
const group = await chat.createGroup({ title: "Study group", users: ["student@example.com"], history: "all" });
await group.invite(["prof@example.com"]);
await group.setRole("prof@example.com", "owner");
await group.removeMember("student@example.com");
const { title, members = [], role, isMember, isGroup } = group.snapshot;
console.log(title.length, members.map(({ id, role }) => id + role), role === "owner", isMember && isGroup);
for (const { event } of group.snapshot.entries) if (event?.kind === "join") console.log(event.users.join());
const cursors: string[] = [];
for await (const { conversation, text, cursor } of chat.all({ cursor: cursors.at(-1) })) cursors.push(cursor, conversation.id, text);
await conversation.mute();
await conversation.block().catch((error: ChatError) => console.log(error.code));
await conversation.unblock();
console.log(conversation.snapshot.muted || conversation.snapshot.blocked);
await group.rename("Exam").catch((error: ChatError) => console.log(error.code));
await group.leave();
const persistent: boolean = chat.persistent;
console.log(persistent, more, conversation.id, conversation.peer);
stop();
stopState();
chat.connect();
await chat.close();
await chat.forget();
`;

const BAD = `
import { Chat } from "meetme-chat";
const unnamed = new Chat({ socketUrl: "wss://example.com", historyUrl: "" }); // wrong: no user
const chat = new Chat({ socketUrl: "wss://example.com", historyUrl: "", user: "a" });
const conversation = chat.with(7); // wrong: a user id is a text
conversation.send({ text: "At 3PM?" }); // wrong: so is a message
conversation.edit("At 3PM?", "At 4PM?"); // wrong: an entry is edited
chat.onState(({ state }) => console.log(state === "flying")); // wrong: there is no such state
conversation.onChange(({ entries }) => entries.push()); // wrong: a snapshot is read only
conversation.setRole("a", "king"); // wrong: there is no such role
chat.createGroup({ users: ["a"] }); // wrong: a group has a title
chat.all("12 direct:1:a:b"); // wrong: the cursor is an option
console.log(conversation.send("a").sequence, unnamed); // wrong: no such field
`;

/** Writes a file of the project. */
function write(name, text) {
  return writeFile(join(project, name), text);
}

/** Runs a file of the project and returns its output. */
async function node(name) {
  return (await run(process.execPath, [name], { cwd: project })).stdout;
}

/** Runs npm offline, with its own cache and with the type checker on its PATH. */
async function npm(cwd, ...flags) {
  const path = [join(tsc, "../../../.bin"), process.env.PATH].join(delimiter);
  const env = { ...process.env, PATH: path, npm_config_cache: join(folder, "npm"), npm_config_update_notifier: "false" };
  const { stdout } = await run("npm", [...flags, "--offline", "--no-audit", "--no-fund", "--loglevel", "error"], { cwd, env });
  return stdout;
}

/** Bundles a module with its imports. */
function bundle(options) {
  return require("esbuild").build({ bundle: true, write: false, metafile: true, format: "esm", target: "es2022", logLevel: "silent", ...options });
}

/** Returns the names of the modules that a page loads. */
async function loadedModules() {
  const { metafile } = await bundle({ entryPoints: [join(source, "src/index.js")] });
  return Object.keys(metafile.inputs).map((path) => path.split("/").at(-1));
}

function compressedSize(contents) {
  return gzipSync(contents, { level: 9 }).length;
}
