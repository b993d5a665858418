// What the explorer decides in the browser, decided here in Node: `node --test tests/explorer`.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as bytes from "../../crates/ets-http/web/bytes.js";
import { chooseCryptography, verifyInJavaScript } from "../../crates/ets-http/web/ed25519.js";
import { sha256, sha512 } from "../../crates/ets-http/web/sha2.js";
import { verify } from "../../crates/ets-http/web/verify.js";

const file = (path) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const json = (path) => JSON.parse(file(path));
const example = (name) => file(`docs/examples/${name}.json`);
const ROOT_KEY = json("docs/examples/trust-file.json").root_public_key;
const WEB_CRYPTO = { ...bytes.primitives };

/** The checks of a kind of verdict: true, false or null. */
const named = (checks, verdict) => checks.filter(([, passed]) => passed === verdict).map(([name]) => name);
const failed = async (source, rootKey = ROOT_KEY) => named(await verify(source, rootKey), false);
/** The example with one value changed, as the ledger would write it. */
function changed(name, change) {
  const value = JSON.parse(example(name));
  change(value);
  return bytes.canonical(value);
}

for (const [name, checks] of [["proof-bundle", 12], ["stream-bundle", 13], ["event-document", 5]]) {
  test(`the example ${name} passes every check`, async () => {
    const list = await verify(example(name), ROOT_KEY);
    assert.deepEqual([named(list, false), named(list, null), list.length], [[], [], checks]);
  });
}

test("without a root key that somebody told, a bundle is no more than its own word", async () => {
  const list = await verify(example("proof-bundle"));
  assert.deepEqual([named(list, false), named(list, null)], [[], ["trust_root"]]);
  assert.deepEqual(await failed(example("proof-bundle"), "00".repeat(32)), ["trust_root"]);
});

test("what is changed fails where it stands, and nothing else does", async () => {
  const cases = [
    [["hash"], (bundle) => { bundle.event.payload.amount = 13; }],
    [["canonical", "hash"], (bundle) => { bundle.event.payload.order = "\ud800"; }],
    [["signature", "inclusion"], (bundle) => { bundle.event.signature = bundle.event.signature.replace(/^7f/, "7e"); }],
    [["inclusion"], (bundle) => { bundle.event.timestamp = "2026-02-02T02:40:11.111104Z"; }],
    [["inclusion"], (bundle) => { bundle.inclusion.path[1] = bundle.inclusion.path[0]; }],
    [["authority", "inclusion", "note"], (bundle) => { bundle.event.domain = "agents"; }],
    [["meta_root", "note"], (bundle) => { bundle.checkpoint.domain_roots[0].tree_size = 1; }],
    [["note"], (bundle) => { bundle.checkpoint.note = bundle.checkpoint.note.replace("jcmlq", "jcmlr").replace("eM8v", "eM8w").replace("N1fC", "N1fD").replace("10il5", "10il6"); }],
    [["registry_inclusion"], (bundle) => { bundle.registry.consistency.pop(); }],
    [["trust_root", "registry", "authority", "note"], (bundle) => { bundle.trust_root.root_public_key = "11".repeat(32); }],
    [["format"], (bundle) => { bundle.event2 = bundle.event; }],
  ];
  for (const [names, change] of cases) assert.deepEqual(await failed(changed("proof-bundle", change)), names);
});

test("a stream whose events are out of order has no chain", async () => {
  assert.deepEqual(await failed(changed("stream-bundle", (bundle) => { bundle.events.splice(0, 1); })), ["chain"]);
  const wrong = await failed(changed("stream-bundle", (bundle) => { bundle.events[0].payload.amount = 1; }));
  assert.deepEqual(wrong, ["hash"]);
});

test("text that hides another reading is refused, white space is not", async () => {
  const source = example("event-document");
  const hidden = [
    source.replace('"amount":12.5', '"amount":12.50'), source.replace('"amount":12.5', '"amount":1,"amount":12.5'),
    source.replace('"amount":12.5', '"amount":12.500000000000000001'), `${source}x`, "", "[]", "null", "{}", "7",
  ];
  for (const text of hidden) assert.deepEqual(await failed(text), ["format"], text.slice(0, 40));
  assert.deepEqual(await failed(JSON.stringify(JSON.parse(source), null, 2)), []);
});

test("nothing that lacks a part makes verification stumble", async () => {
  const paths = (value, path = []) => value === null || typeof value !== "object" ? [path]
    : [path, ...Object.keys(value).flatMap((name) => paths(value[name], [...path, name]))];
  const all = paths(JSON.parse(example("proof-bundle"))).filter((path) => path.length > 0);
  assert.ok(all.length > 200);
  for (const path of all.filter((path) => path.at(-1) !== "checkpoint_id")) {
    // A schema's payload may be left out of a bundle.
    const mayGo = /^registry,events,[26],payload$/.test(path);
    for (const replacement of [...(mayGo ? [] : [undefined]), null, 7, "x", [], {}]) {
      const source = changed("proof-bundle", (bundle) => {
        const parent = path.slice(0, -1).reduce((value, name) => value[name], bundle), last = path.at(-1);
        if (replacement !== undefined) parent[last] = replacement;
        else if (Array.isArray(parent)) parent.splice(last, 1);
        else delete parent[last];
      });
      if (source === example("proof-bundle").trim()) continue;
      assert.notDeepEqual(await failed(source), [], `${path.join("/")} = ${JSON.stringify(replacement)}`);
    }
  }
});

test("what each step computes can be shown", async () => {
  const evidence = Object.fromEntries((await verify(example("proof-bundle"), ROOT_KEY)).map(([name, , shown]) => [name, shown]));
  const { event, checkpoint } = JSON.parse(example("proof-bundle"));
  for (const name of ["key_id", "hash", "meta_root"]) {
    const { over, computed, given } = evidence[name];
    assert.equal(createHash("sha256").update(over).digest("hex"), given);
    assert.equal(bytes.hex(computed), given);
  }
  assert.equal(evidence.canonical.text, bytes.canonical(event.payload));
  assert.deepEqual(evidence.inclusion.path.map(({ side }) => side).length, 3);
  assert.equal(bytes.hex(evidence.inclusion.path.at(-1).node), checkpoint.domain_roots.find(({ domain }) => domain === event.domain).root);
});

test("the hashes of older browsers are those of Node", () => {
  for (let length = 0; length < 300; length++) {
    const message = Uint8Array.from({ length }, (_, place) => (place * 37 + length) % 256);
    for (const [name, hash] of [["sha256", sha256], ["sha512", sha512]]) {
      assert.equal(bytes.hex(hash(message)), createHash(name).update(message).digest("hex"), `${name} of ${length} bytes`);
    }
  }
});

test("Ed25519 in JavaScript is the browser's, on everybody's corner cases", async () => {
  const wycheproof = json("tests/vectors/ed25519/wycheproof_ed25519_test.json").testGroups.flatMap(({ publicKey, tests }) =>
    tests.map(({ msg, sig, result }) => ({ key: publicKey.pk, sig, message: bytes.unhex(msg), expected: result === "valid" })));
  const cctv = json("tests/vectors/ed25519/cctv_ed25519vectors.json").map(({ key, sig, msg }) => ({ key, sig, message: bytes.utf8(msg) }));
  const spec = json("tests/vectors/ed25519/speccheck_cases.json").map(({ message, pub_key: key, signature: sig }) => ({ key, sig, message: bytes.unhex(message) }));
  const verdicts = async () => {
    const list = [];
    for (const { key, sig, message } of [...wycheproof, ...cctv, ...spec]) list.push(await bytes.verifySignature(bytes.unhex(key), message, bytes.unhex(sig)).catch(() => false));
    return list;
  };
  const native = await verdicts();
  bytes.primitives.ed25519 = verifyInJavaScript;
  const inJavaScript = await verdicts();
  Object.assign(bytes.primitives, WEB_CRYPTO);
  assert.deepEqual(inJavaScript, native);
  assert.deepEqual(native.slice(0, wycheproof.length), wycheproof.map(({ expected }) => expected));
  assert.ok(native.slice(wycheproof.length).includes(true) && native.slice(wycheproof.length).includes(false));
});

test("a browser without WebCrypto, or without its Ed25519, verifies all the same", async () => {
  const lacking = { importKey: () => Promise.reject(new Error("Ed25519?")) };
  for (const [subtle, says] of [[crypto.subtle, /^WebCrypto$/], [lacking, /lacks/], [null, /TLS/]]) {
    assert.match(await chooseCryptography(subtle), says);
    assert.deepEqual(await failed(example("proof-bundle")), []);
    assert.deepEqual(await failed(changed("proof-bundle", (bundle) => { bundle.event.payload.amount = 13; })), ["hash"]);
  }
  Object.assign(bytes.primitives, WEB_CRYPTO);
});
