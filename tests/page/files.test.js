// The files of the page: types, names, and what they must not contain.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { find, launch } from "./browser.js";

const SITE = fileURLToPath(new URL("../../functions/page/site", import.meta.url));
const CLIENT = fileURLToPath(new URL("../../shared/client/src", import.meta.url));
const TYPES = fileURLToPath(new URL("types.d.ts", import.meta.url));

const texts = async (folder = SITE) => Promise.all((await readdir(folder)).map(async (name) => [name, await readFile(join(folder, name), "utf8")]));

it("the modules pass the strict type check together with the library", async () => {
  const folder = await mkdtemp(join(tmpdir(), "meetme-page-"));
  try {
    // The page's modules import the library from the folder `client` beside them.
    await cp(SITE, folder, { recursive: true });
    await cp(CLIENT, join(folder, "client"), { recursive: true });
    await cp(TYPES, join(folder, "types.d.ts"));
    const compilerOptions = { strict: true, checkJs: true, noEmit: true, target: "es2023", lib: ["es2023", "dom", "dom.iterable"], module: "esnext", moduleResolution: "bundler", types: [] };
    await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.js", "types.d.ts"] }));
    const tsc = find("typescript", ({ bin }) => bin.tsc);
    const { stdout } = await promisify(execFile)(process.execPath, [tsc, "-p", folder]).catch((error) => error);
    assert.equal(stdout, "");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

it("no module makes markup from text or loads anything from another origin", async () => {
  for (const [name, text] of await texts()) {
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|\bstyle="/, name);
    const addresses = text.match(/\b(?:href|src)="[^"]*"|@import|url\(|from "[^"]*"|import\("/g) ?? [];
    for (const address of addresses) assert.match(address, /="(page\/[\w.]+|#|data:[^"]*)"$|^from "\.\/(client\/)?[\w.]+"$/, name);
  }
});

// The modules are served as one script, in which a global name of one module hides that of the browser in all others.
it("no module declares a global name of the browser", async () => {
  const sources = [...(await texts()), ...(await texts(CLIENT))].map(([, text]) => text).join("\n");
  const declarations = sources.matchAll(/^(?:export )?(?:async function|function|class|const|let) (\w+|\{[^}]*\}|\[[^\]]*\])/gm);
  const names = [...declarations].flatMap(([, declared]) => declared.match(/\w+/g));
  assert.ok(names.includes("Chat") && names.includes("openConversation"), "declarations are found");
  const browser = await launch();
  try {
    const page = await browser.newPage();
    assert.deepEqual(await page.evaluate((names) => names.filter((name) => name in globalThis), names), []);
  } finally {
    await browser.close();
  }
});
