// Screenshots, written to the folder SCREENSHOTS, or to a temporary folder.

import { mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const FOLDER = process.env.SCREENSHOTS ?? join(tmpdir(), "meetme-chat-screenshots");

const path = (name) => {
  mkdirSync(FOLDER, { recursive: true });
  return join(FOLDER, `${name}.png`);
};

/** Takes a screenshot of a page, without animations. */
export const picture = (page, name) => page.screenshot({ path: path(name), animations: "disabled" });

/** Takes one screenshot of several pages side by side. */
export async function sideBySide(browser, pages, name) {
  const shots = await Promise.all(pages.map((page) => page.screenshot({ animations: "disabled" })));
  const images = shots.map((shot) => `<img src="data:image/png;base64,${shot.toString("base64")}">`).join("");
  const page = await browser.newPage({ viewport: { width: 1800, height: 720 } });
  await page.setContent(
    `<style>body{margin:0;display:inline-flex;align-items:flex-start;gap:24px;padding:24px;background:#c9cfdf}img{border-radius:12px;box-shadow:0 8px 30px #0004}</style>${images}`,
  );
  await page.locator("body").screenshot({ path: path(name) });
  await page.close();
}
