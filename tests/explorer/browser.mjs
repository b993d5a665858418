// The explorer in Chromium, on a ledger of tests/explorer.rs, which starts this and does to the ledger what is asked.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { ask, barriers, change, close, complaints, given, go, open, settled, steps, verdict } from "./page.mjs";

const event = (id) => `#/event/${id}`;
const PROOF = "**/api/merkle/proof/**";
const WIDTHS = { desktop: { width: 1200, height: 900 }, phone: { width: 390, height: 844 } };

after(close);

test("from the domains to an event that this browser verifies", async () => {
  const page = await open("");
  assert.match(await page.textContent("#origin"), /test\.example/);
  assert.match(await page.textContent("#trust"), /first time/);
  assert.match(await page.getAttribute("figure svg", "aria-label"), /[1-9]\d* appends and [1-9]\d* seals/);
  await page.click("text=orders");
  await settled(page);
  await page.getByRole("link", { name: given.stream, exact: true }).click();
  await page.waitForSelector(`h1:has-text("Stream")`);
  assert.equal(await page.locator("tbody .check.passed").count(), given.events.length);
  assert.equal(await page.locator("tbody .check.failed").count(), 0);
  await page.click(`text=${given.events[1]}`);
  await page.waitForSelector(".steps");
  assert.deepEqual([await verdict(page), await steps(page, "failed"), await steps(page, "unknown")], ["MATCH", [], []]);
  assert.equal((await steps(page, "passed")).length, 14);
  assert.match(await page.textContent(".banner"), /All 14 steps hold.*Schema and rules are not judged here/);
  await page.reload();
  await settled(page);
  assert.match(await page.textContent("#trust"), /the same as when first seen/);
});

test("each step shows its bytes", async () => {
  const page = await open(event(given.events[1]));
  for (const name of await steps(page, "passed")) {
    await page.click(`[data-check=${name}] summary`);
    assert.notEqual((await page.textContent(`[data-check=${name}] .facts`)).trim(), "", name);
  }
  const [computed, stated] = await page.locator("[data-check=hash] .facts > div > dd > code").allTextContents();
  assert.match(computed, /^[0-9a-f]{64}$/);
  assert.equal(computed, stated);
  assert.match(await page.textContent("[data-check=hash] .dump"), /^0000 {2}7b 22/);
  assert.equal(await page.locator("[data-check=inclusion] tbody tr").count() > 0, true);
});

test("the keyboard reaches everything", async () => {
  const page = await open(event(given.events[1]));
  await page.focus("a[rel=prev]");
  await page.keyboard.press("Enter");
  await page.waitForSelector(`h1:has-text("${given.events[0]}")`);
  assert.deepEqual(await steps(page, "failed"), []);
  assert.ok((await steps(page, "passed")).includes("chain"), "a first event hangs on the genesis hash");
  assert.equal(await page.locator("a[rel=prev]").count(), 0);
  await page.focus("[data-check=signature] summary");
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("[data-check=signature] details[open]").count(), 1);
  // From the beginning of the content, where a new view puts the focus, to the first step.
  await page.reload();
  await settled(page);
  const focused = () => page.evaluate(() => document.activeElement.closest("[data-check]")?.dataset.check);
  for (let count = 0; count < 20 && await focused() === undefined; count++) await page.keyboard.press("Tab");
  assert.equal(await focused(), "format");
});

const other = (digit) => digit === "0" ? "1" : "0";
/** Changes one value of the bundle's event, or of what `within` names. */
const edited = (name, edit, within = "event") => (text) => {
  const bundle = JSON.parse(text);
  bundle[within][name] = edit(bundle[within][name]);
  return text.replace(JSON.stringify(JSON.parse(text)[within]), JSON.stringify(bundle[within]));
};

for (const [what, edit, red] of [
  ["payload", edited("payload", (payload) => ({ ...payload, amount: 987 })), ["hash"]],
  ["signature", edited("signature", (digits) => other(digits[0]) + digits.slice(1)), ["signature", "inclusion"]],
  ["timestamp", edited("timestamp", (text) => text.replace(/\dZ$/, (end) => `${other(end[0])}Z`)), ["inclusion"]],
  ["path", edited("path", (path) => [...path.slice(1), path[0]], "inclusion"), ["inclusion"]],
  ["MetaRoot", edited("meta_root", (digits) => other(digits[0]) + digits.slice(1), "checkpoint"), ["meta_root"]],
  ["checkpoint's signature", edited("note", (note) => note.replace(/.{12}=*\n$/, (end) => `AAAAAAAA${end.slice(8)}`), "checkpoint"), ["note"]],
  ["number's form", (text) => text.replace(/"amount":[\d.]+/, "$&.0"), ["format"]],
]) {
  test(`a server that changes the ${what} is caught at the right step`, async () => {
    const page = await open(event(given.events[1]), { before: change(PROOF, edit) });
    assert.equal(await verdict(page), "MISMATCH");
    assert.deepEqual(await steps(page, "failed"), red);
    assert.ok(await page.locator(`[data-check=${red[0]}] details[open]`).count(), "it is open where it failed");
  });
}

test("another event's proof is not this one's", async () => {
  const other = await fetch(`${given.base}/api/merkle/proof/${given.events[0]}`).then((answer) => answer.text());
  const page = await open(event(given.events[1]), { before: change(PROOF, () => other) });
  assert.deepEqual([await verdict(page), await steps(page, "failed")], ["MISMATCH", ["asked"]]);
});

test("a row that is left out of a stream's list is missed", async () => {
  const without = (text) => JSON.stringify({ next: null, events: JSON.parse(text).events.filter(({ sequence }) => sequence !== 2) });
  const before = change("**/api/ledger/events**", without);
  const list = await open(`#/stream/orders/${encodeURIComponent(given.stream)}`, { before });
  assert.equal(await list.locator("tbody tr:nth-child(2) .check.failed").count(), 1);
  const page = await open(event(given.events[2]), { before });
  assert.deepEqual([await verdict(page), await steps(page, "failed")], ["MISMATCH", ["neighbours"]]);
});

test("an event that is not sealed yet is verified as far as it goes", async () => {
  const page = await open(event(given.unsealed), { expected: [/409/] });
  assert.deepEqual([await verdict(page), await steps(page, "unknown")], ["UNVERIFIABLE", ["inclusion"]]);
  assert.ok((await steps(page, "passed")).includes("signature"));
});

test("what a payload says stays text", async () => {
  const page = await open(event(given.events[3]));
  assert.match(await page.textContent("pre[aria-label=Payload]"), /<img src=x onerror=alert\(1\)>/);
  assert.equal(await page.locator("main img, main b").count(), 0);
});

test("a proof can be kept, and verified again from the file", async () => {
  const page = await open(event(given.events[1])), waiting = page.waitForEvent("download");
  await page.click("text=Save this proof");
  const download = await waiting;
  assert.equal(download.suggestedFilename(), `${given.events[1]}.bundle.json`);
  assert.equal(readFileSync(await download.path(), "utf8"), await (await page.request.get(`${given.base}/api/merkle/proof/${given.events[1]}`)).text());
});

test("a server that wants a token is given one", async () => {
  const guard = (page) => page.route("**/api/**", (call) => call.request().headers().authorization === "Bearer opensesame" ? call.continue()
    : call.fulfill({ status: 401, contentType: "application/problem+json", body: '{"title":"A token is needed","status":401}' }));
  const page = await open("", { before: guard, expected: [/401/] });
  assert.match(await page.textContent(".problem"), /A token is needed/);
  await page.fill("#token", "opensesame");
  await page.press("#token", "Enter");
  await page.waitForSelector("h1:has-text('Domains')");
});

test("an event is found by its id and by its hash", async () => {
  const page = await open("");
  for (const [query, found] of [[given.events[0], given.events[0]], [given.hash.toUpperCase(), given.events[1]]]) {
    await page.fill("#query", query);
    await page.press("#query", "Enter");
    await page.waitForSelector(`h1:has-text("${found}")`);
  }
  await page.fill("#query", "0".repeat(64));
  await page.press("#query", "Enter");
  await page.waitForSelector("text=No event has the id or the hash");
});

test("every checkpoint continues the one before", async () => {
  const page = await open("#/checkpoints");
  const count = await page.locator(".timeline > li").count();
  assert.ok(count >= 2);
  assert.equal(await page.locator(".timeline .check.passed").count(), count);
  await page.click(".timeline a");
  await page.waitForSelector("tbody .check");
  assert.deepEqual([await page.locator(".check.failed").count(), await verdict(page)], [0, "MATCH"]);
  assert.match(await page.textContent("tbody"), /\d+ more/);
  // A root that is not the one before, grown.
  const lying = (text) => JSON.stringify({ proof: JSON.parse(text).proof.map((digits) => other(digits[0]) + digits.slice(1)) });
  const deceived = await open(new URL(page.url()).hash, { before: change("**/api/ledger/consistency**", lying) });
  assert.ok(await deceived.locator("tbody .check.failed").count() > 0);
});

test("status and findings are shown", async () => {
  const page = await open("#/status");
  assert.ok(await page.locator("tbody .badge").count() > 3);
});

test("new events come in as they are sealed", async () => {
  const page = await open("#/live");
  await page.waitForSelector("text=listening");
  await page.waitForSelector(`.timeline >> text=${given.events[3]}`);
  const id = await ask("append");
  await page.waitForSelector(`.timeline >> text=${id}`, { timeout: 30_000 });
  assert.equal(await page.locator(`li:has-text("${id}") .check.passed`).count(), 1);
  assert.equal(await page.locator(".timeline .check.failed").count(), 0);
  await page.selectOption("#domain", "ets.registry");
  await page.waitForSelector(".timeline >> text=ets.grant/1.0.0");
  assert.equal(await page.locator(`.timeline >> text=${id}`).count(), 0);
});

test("a file is verified without the server", async () => {
  const page = await open("#/verify"), asked = [];
  page.on("request", (request) => { if (!request.url().includes("/assets/")) asked.push(request.url()); });
  await page.setInputFiles("#file", given.bundle);
  await page.waitForSelector(".steps");
  assert.equal(await verdict(page), "MATCH");
  assert.match(await page.textContent("main"), /saw first for this ledger/);
  const dropped = await page.evaluateHandle((text) => {
    const data = new DataTransfer();
    data.items.add(new File([text], "dropped.json"));
    return data;
  }, readFileSync(given.foreign, "utf8"));
  await page.dispatchEvent(".drop", "drop", { dataTransfer: dropped });
  await page.waitForSelector("h2:has-text('dropped.json')");
  assert.deepEqual([await verdict(page), await steps(page, "unknown")], ["UNVERIFIABLE", ["trust_root"]]);
  assert.match(await page.textContent("main"), /it vouches for itself/);
  await page.fill("#key", given.foreign_key);
  await page.waitForSelector(".banner.match");
  await page.fill("#key", "0".repeat(64));
  await page.waitForSelector(".banner.mismatch");
  assert.deepEqual([await steps(page, "failed"), asked], [["trust_root"], []]);
});

test("a server with another root key than before is not believed", async () => {
  const known = JSON.stringify({ ledger_id: given.ledger, origin: "test.example/ets", root_public_key: "ab".repeat(32), how: "seen" });
  const before = (page) => page.addInitScript((value) => { localStorage["pg_ets trust root"] ??= value; }, known);
  const page = await open(event(given.events[1]), { before });
  assert.match(await page.textContent("#trust"), /The root key changed/);
  assert.deepEqual([await verdict(page), await steps(page, "failed")], ["MISMATCH", ["trust_root"]]);
  await page.click("text=Trust the new key instead");
  await page.waitForSelector(".banner.match");
});

for (const [lacking, remove, says] of [
  ["Ed25519", () => { SubtleCrypto.prototype.importKey = () => Promise.reject(new DOMException("", "NotSupportedError")); }, /JavaScript for Ed25519/],
  ["WebCrypto", () => { Object.defineProperty(crypto, "subtle", { value: undefined }); }, /TLS/],
]) {
  test(`a browser without ${lacking} verifies in JavaScript`, async () => {
    const before = (page) => page.addInitScript(remove);
    const page = await open(event(given.events[1]), { before });
    assert.equal(await verdict(page), "MATCH");
    assert.match(await page.textContent("#cryptography"), says);
  });
}

for (const [name, viewport] of Object.entries(WIDTHS)) {
  for (const colorScheme of ["light", "dark"]) {
    test(`nobody is kept out: ${name}, ${colorScheme}`, async () => {
      const page = await open("", { viewport, colorScheme, reducedMotion: "reduce" });
      const views = ["", "#/domain/orders", `#/stream/orders/${encodeURIComponent(given.stream)}`, event(given.events[1]), "#/checkpoints", "#/checkpoint/1", "#/live", "#/status", "#/verify"];
      for (const view of views) {
        await go(page, view);
        assert.deepEqual(await barriers(page), [], view);
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${view} is wider than the screen`);
      }
    });
  }
}

test("pictures for the documentation", async () => {
  for (const [name, address, options] of [
    ["explorer-domains", "", {}], ["explorer-event", event(given.events[1]), {}],
    ["explorer-phone", event(given.events[1]), { viewport: WIDTHS.phone }],
    ["explorer-dark", "#/checkpoint/2", { colorScheme: "dark" }],
    ["explorer-tampered", event(given.events[1]), { before: change(PROOF, edited("payload", (payload) => ({ ...payload, amount: 987 }))) }],
  ]) {
    const page = await open(address, { reducedMotion: "reduce", ...options });
    if (name === "explorer-tampered") await page.locator("[data-check=hash]").scrollIntoViewIfNeeded();
    await page.screenshot({ path: `${given.pictures}/${name}.png` });
  }
});

test("what a superuser changes in the database turns red", async () => {
  await ask("tamper");
  const page = await open(event(given.events[1]), { expected: [/422/, /409/] });
  assert.deepEqual([await verdict(page), await steps(page, "failed")], ["MISMATCH", ["hash"]]);
});

test("the browser complained of nothing, and asked nobody else", () => assert.deepEqual(complaints, []));
