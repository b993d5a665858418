// A browser with the explorer in it. What it complains of is collected, and so is what it asks of other hosts.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

/** What tests/explorer.rs made: base address, ids of events, files, the root key. */
export const given = JSON.parse(process.env.EXPLORER);

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const complaints = [];
/** Ends the browser, and stops listening, or this program would never end. */
export async function close() {
  asked.close();
  process.stdin.destroy();
  await browser.close();
}
// Whatever hangs, hangs no longer than this.
setTimeout(() => { process.stdout.write("not ok: out of time\n"); process.exit(1); }, 540_000).unref();

/** A new page in a browser of its own, and `expected`, patterns of complaints that the test provokes. */
export async function open(address, { expected = [], before, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options }), page = await context.newPage();
  const complain = (text) => { if (!expected.some((pattern) => pattern.test(text))) complaints.push(text); };
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) complain(message.text()); });
  page.on("pageerror", (error) => complain(String(error)));
  page.on("request", (request) => { if (!request.url().startsWith(`${given.base}/`)) complaints.push(`asked ${request.url()}`); });
  await before?.(page);
  await page.goto(`${given.base}/${address}`);
  await settled(page);
  return page;
}

/** Until the view is there. */
export const settled = (page) => page.waitForSelector("main:not([aria-busy]) h1");

export async function go(page, address) {
  await page.goto(`${given.base}/${address}`);
  await settled(page);
}

export const verdict = (page) => page.textContent(".banner strong");

/** The names of the steps with a verdict. */
export const steps = (page, named) => page.$$eval(`[data-verdict=${named}]`, (list) => list.map((step) => step.dataset.check));

/** What axe finds that keeps people out: missing names, weak contrast, wrong roles. */
export async function barriers(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] }));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")}`);
}

const asked = createInterface({ input: process.stdin }), answers = asked[Symbol.asyncIterator]();

/** Asks tests/explorer.rs to do something to the ledger, and waits until it is done. */
export async function ask(what) {
  process.stdout.write(`@${what}\n`);
  return (await answers.next()).value;
}

/** Lets the answers to a route through, changed. */
export const change = (route, edit) => (page) => page.route(route, async (call) => {
  const response = await call.fetch(), body = await response.text();
  await call.fulfill({ response, body: edit(body) });
});
