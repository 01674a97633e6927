// The browser of the tests: CHROME, else one on the PATH, else the one of @sparticuz/chromium.

import { accessSync, constants } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";

// `import` would ignore NODE_PATH, where the packages are.
const require = createRequire(import.meta.url);
const NAMES = ["chromium", "chromium-browser", "google-chrome"];
const MISSING =
  "There is no browser for the tests of the page: set CHROME to the path of a Chromium, install `chromium` or " +
  "`google-chrome`, or `npm install playwright-core @sparticuz/chromium`.";

/** Starts the browser. All tests of a file share it, with separate contexts. */
export async function launch() {
  const { chromium } = load("playwright-core");
  const executablePath = process.env.CHROME ?? onPath() ?? (await fromPackage());
  return chromium.launch({ executablePath, args: ["--no-sandbox"] });
}

/** Returns a package of the tests. */
export function load(name) {
  try {
    return require(name);
  } catch (error) {
    if (error.code !== "MODULE_NOT_FOUND") throw error;
    throw new Error(`There is no npm package ${name}: run these tests by \`cargo test -p tests --test client\`.`);
  }
}

/** Returns the path of a file of a package. `choose` picks it from the manifest. */
export function find(name, choose) {
  const manifest = load(`${name}/package.json`);
  return join(dirname(require.resolve(`${name}/package.json`)), choose(manifest));
}

function onPath() {
  const folders = (process.env.PATH ?? "").split(delimiter);
  return NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find(isExecutable);
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function fromPackage() {
  try {
    const chromium = require("@sparticuz/chromium");
    return await (chromium.default ?? chromium).executablePath();
  } catch (error) {
    if (error.code !== "MODULE_NOT_FOUND") throw error;
    throw new Error(MISSING);
  }
}
