// Opens report pages in headless Chromium at 1280 and 400 pixels, light and dark: no console message, no request beyond the file itself, every chart
// visible, no sideways scrolling of the page, everything reachable by keyboard, and axe-core without serious findings.
// Usage: node check.mjs OUT_FOLDER PAGE.html...   Writes OUT_FOLDER/result.json and screenshots; exit 1 when a check fails.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [out, ...pages] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf-8");
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
mkdirSync(out, { recursive: true });

async function check(browser, page, width, scheme) {
  // bypassCSP lets axe run: the page's own policy forbids every script.
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme, bypassCSP: true });
  const tab = await context.newPage();
  const messages = [], requests = [];
  tab.on("console", (message) => messages.push(`${message.type()}: ${message.text()}`));
  tab.on("pageerror", (error) => messages.push(`error: ${error.message}`));
  tab.on("dialog", async (dialog) => { messages.push(`dialog: ${dialog.message()}`); await dialog.dismiss(); });
  const url = pathToFileURL(resolve(page)).href;
  tab.on("request", (request) => { if (request.url().split("#")[0] !== url) requests.push(request.url()); });
  await tab.goto(url, { waitUntil: "load" });
  const seen = await tab.evaluate(() => ({
    charts: [...document.querySelectorAll("figure svg")].map((svg) => { const box = svg.getBoundingClientRect(); return [svg.getAttribute("aria-label")?.slice(0, 40), Math.round(box.width), Math.round(box.height)]; }),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    scripts: document.scripts.length,
    handlers: [...document.querySelectorAll("*")].filter((node) => [...node.attributes].some((item) => item.name.startsWith("on"))).length,
    foreign: [...document.querySelectorAll("iframe, object, embed, img, form, base")].length,
  }));
  await tab.keyboard.press("Tab");
  const first = await tab.evaluate(() => document.activeElement?.className);
  const name = `${basename(page, ".html")}-${width}-${scheme}`;
  await tab.evaluate(() => { document.activeElement?.blur(); window.scrollTo(0, 0); });
  await tab.screenshot({ path: join(out, `${name}.png`) });
  await tab.screenshot({ path: join(out, `${name}-full.png`), fullPage: true });
  await tab.evaluate(() => document.querySelectorAll("details").forEach((node) => { node.open = true; }));
  const opened = await tab.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  await tab.evaluate(axe);
  const found = await tab.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const violations = found.violations.map((item) => ({ id: item.id, impact: item.impact, nodes: item.nodes.length, first: item.nodes[0].html.slice(0, 160) }));
  await context.close();
  const problems = [
    ...messages.map((text) => `console: ${text}`),
    ...requests.map((text) => `request: ${text}`),
    ...violations.filter((item) => ["serious", "critical"].includes(item.impact)).map((item) => `axe ${item.id} (${item.impact}) x${item.nodes}: ${item.first}`),
    ...seen.charts.filter(([, w, h]) => w < 100 || h < 80).map(([label]) => `chart not visible: ${label}`),
    ...(Math.max(seen.overflow, opened) > 0 ? [`the page scrolls sideways by ${Math.max(seen.overflow, opened)} px`] : []),
    ...(seen.scripts || seen.handlers || seen.foreign ? ["the page holds scripts, handlers or foreign elements"] : []),
    ...(first === "skip" ? [] : ["the first key stop is not the skip link"]),
  ];
  return { page: basename(page), width, scheme, charts: seen.charts.length, violations, problems };
}

const browser = await chromium.launch({ executablePath, args: flags });
const results = [];
for (const page of pages) {
  for (const width of [1280, 400]) for (const scheme of ["light", "dark"]) results.push(await check(browser, page, width, scheme));
}
await browser.close();
writeFileSync(join(out, "result.json"), JSON.stringify(results, null, 1) + "\n");
for (const row of results) {
  const minor = row.violations.length - row.problems.filter((text) => text.startsWith("axe")).length;
  console.log(`${row.problems.length ? "FAIL" : "ok  "} ${row.page} ${row.width}px ${row.scheme}: ${row.charts} charts, axe ${row.violations.length} (${minor} below serious)`);
  for (const problem of row.problems) console.log(`     ${problem}`);
}
process.exit(results.some((row) => row.problems.length) ? 1 : 0);
