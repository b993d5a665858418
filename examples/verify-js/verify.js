// Verifies what pg_ets gives away, from docs/formats.md alone. It does not judge JSON Schemas and rules.
import * as bytes from "./bytes.js";
import { Registry } from "./registry.js";

export { canonical, signEvent } from "./bytes.js";

const { canonical, hex, unhex } = bytes;
const DOCUMENT = "current_hash domain event_id key_id payload previous_hash public_key registry_version schema_version " +
  "sequence signature stream timestamp";
const BUNDLE = "checkpoint event format inclusion registry trust_root";
const MEMBERS = { document: DOCUMENT, "ets-proof-bundle/1": BUNDLE, "ets-stream-bundle/1": BUNDLE.replace("event", "events") };
const TRUST_ROOT = ["ledger_id", "origin", "root_public_key", "server_public_key"];
const OF_THE_SERVER = /^ets\.(verification|restore|anchoring|promotion)\//;

/**
 * A check of section 8 is [name, passed, evidence]. `passed` is null for what could not be checked. The evidence
 * shows what was computed from what, by name: text, bytes, or a list; `given` is what `computed` must equal.
 */
class Checks {
  list = [];
  async add(name, check) {
    // What a check stumbles over did not pass it.
    const [passed, evidence] = await Promise.resolve().then(check).catch((error) => [false, { error: error.message }]);
    this.list.push([name, passed === null ? null : passed === true, evidence ?? {}]);
  }
}

/** The value of a text as the ledger writes it, so that no duplicate member or inexact number hides in it. */
function parse(source) {
  const value = JSON.parse(source), compact = source.replace(/("(?:[^"\\]|\\.)*")|\s+/g, "$1");
  const format = value.event_id ? "document" : value.format, members = MEMBERS[format];
  if (!members) throw new Error("neither an event document nor a bundle");
  if (Object.keys(value).sort().join(" ") !== members) throw new Error("a member is missing, or one too many");
  if (canonical(value) !== compact) throw new Error("not the text that the ledger writes: member order, or how a number or string is written");
  return { value, format };
}

const isKeyId = async (event) => hex(await bytes.sha256(unhex(event.public_key))) === event.key_id;
const isHash = async (event) => hex(await bytes.eventHash(event.payload, unhex(event.previous_hash))) === event.current_hash;
const isSigned = (event) => bytes.verifySignature(unhex(event.public_key), unhex(event.current_hash), unhex(event.signature));
const every = async (list, holds) => (await Promise.all(list.map(holds))).every((held) => held === true);

/** What an event says by itself; of a stream bundle, of each, and the evidence is the last one's. */
async function checkEvents(checks, events) {
  const event = events.at(-1), previous = unhex(event.previous_hash), texts = events.map(({ payload }) => canonical(payload));
  // JSON.stringify writes U+0000 and lone surrogates as escapes, and nothing else so.
  const isText = (text) => !/(?<!\\)(\\\\)*\\u(0000|d[89a-f])/.test(text);
  await checks.add("canonical", () => [texts.every(isText), { text: texts.at(-1) }]);
  await checks.add("key_id", async () => [await every(events, isKeyId),
    { over: unhex(event.public_key), computed: await bytes.sha256(unhex(event.public_key)), given: event.key_id }]);
  await checks.add("hash", async () => [await every(events, isHash),
    { over: bytes.eventBytes(event.payload, previous), computed: await bytes.eventHash(event.payload, previous), given: event.current_hash }]);
  await checks.add("signature", async () => [await every(events, isSigned),
    { over: unhex(event.current_hash), public_key: event.public_key, signature: event.signature }]);
}

/** Whether events are a stream from its beginning. */
function checkChain(events, genesis) {
  const follows = (event, place) => place === 0 ? event.sequence === 1 && event.previous_hash === hex(genesis)
    : ["domain", "stream"].every((name) => event[name] === events[0][name]) && event.sequence === place + 1 &&
      event.previous_hash === events[place - 1].current_hash && event.event_id > events[place - 1].event_id &&
      event.timestamp >= events[place - 1].timestamp && event.registry_version >= events[place - 1].registry_version;
  return events.every(follows);
}

/** Applies the registry's events; false from the first one that breaks a rule. */
async function applyRegistry(registry, events, trust) {
  const genesis = await bytes.genesisHash(trust.ledger_id, "ets.registry", "main");
  if (!checkChain(events, genesis) || !TRUST_ROOT.every((name) => events[0].payload[name] === trust[name])) return false;
  for (const event of events) {
    const isSound = event.registry_version === event.sequence - 1 && await isKeyId(event) && await isSigned(event) &&
      (event.payload === undefined || await isHash(event));
    if (!isSound || !await registry.apply(event)) return false;
  }
  return true;
}

/** Why the event's key may append it, as one line, or undefined. */
function authority({ domain, stream, key_id: key, ...event }, registry, registered) {
  const version = event.registry_version;
  if (domain === "ets.registry") return registered.some((entry) => entry.current_hash === event.current_hash) ? "it is in the registry" : undefined;
  if (domain === "ets.audit") return registry.serverAt(version) === key && OF_THE_SERVER.test(event.schema_version) ? "the server's key" : undefined;
  const grant = registry.grantFor(key, version, event.timestamp, domain, event.schema_version, stream);
  return grant ? `grant of registry event ${grant.since}: domain ${domain}, schemas ${grant.schemas}, streams ${grant.streams}` : undefined;
}

async function verifyBundle(checks, bundle, rootKey) {
  const { checkpoint, trust_root: trust } = bundle, registry = new Registry(), registered = bundle.registry.events;
  const events = bundle.events ?? [bundle.event], event = events.at(-1), domain = event.domain;
  await checks.add("trust_root", () => [rootKey === undefined ? null : trust.root_public_key === rootKey,
    { given: trust.root_public_key, trusted: rootKey ?? "none: the bundle vouches for itself" }]);
  await checkEvents(checks, events);
  if (bundle.events || event.sequence === 1) {
    await checks.add("chain", async () => {
      const genesis = await bytes.genesisHash(trust.ledger_id, events[0].domain, events[0].stream);
      return [checkChain(events, genesis), { events: events.length, computed: genesis, given: events[0].previous_hash }];
    });
  }
  await checks.add("registry", async () => [await applyRegistry(registry, registered, trust),
    { events: registered.map((entry) => `${entry.sequence} ${entry.schema_version} ${entry.current_hash}`) }]);
  await checks.add("authority", () => {
    const reasons = events.map((each) => authority(each, registry, registered));
    return [!reasons.includes(undefined), { registry_version: event.registry_version, because: reasons.at(-1) ?? "nothing allows it" }];
  });
  const rootIn = (name) => checkpoint.domain_roots.find((root) => root.domain === name);
  const { leaf_index: index, path } = bundle.inclusion;
  await checks.add("inclusion", async () => {
    const own = rootIn(domain), leaf = await bytes.leafHash(event), { root, steps } = await bytes.climb(leaf, index, own.tree_size, path.map(unhex));
    return [root !== null && hex(root) === own.root, { header: canonical(bytes.headerOf(event)), leaf, leaf_index: index,
      tree_size: own.tree_size, path: steps, computed: root ?? "the path does not end at a root", given: own.root }];
  });
  await checks.add("registry_inclusion", async () => {
    const all = rootIn("ets.registry"), first = await bytes.treeRoot(await Promise.all(registered.map(bytes.leafHash)));
    return [await bytes.continues(registered.length, first, all.tree_size, unhex(all.root), bundle.registry.consistency.map(unhex)),
      { leaves: registered.length, computed: first, tree_size: all.tree_size, root: all.root, consistency: bundle.registry.consistency }];
  });
  const over = bytes.metaRootBytes(checkpoint), metaRoot = await bytes.sha256(over);
  await checks.add("meta_root", () => {
    const names = checkpoint.domain_roots.map((root) => root.domain), ascend = names.every((name, place) => place === 0 || names[place - 1] < name);
    const last = events.every((each) => each.event_id <= checkpoint.checkpoint_event_id);
    return [hex(metaRoot) === checkpoint.meta_root && ascend && [...registry.domains].every(rootIn) && last,
      { over, computed: metaRoot, given: checkpoint.meta_root }];
  });
  await checks.add("note", async () => {
    const [body, signatures] = (checkpoint.note ?? "").split("\n\n"), name = `${trust.origin}/${domain}`, own = rootIn(domain);
    const stated = `${name}\n${own.tree_size}\n${bytes.base64(unhex(own.root))}\nets-metaroot ${bytes.base64(metaRoot)}`;
    const key = registry.keys.get(registry.serverAt(registered.length));
    const line = signatures?.split("\n").find((each) => each.startsWith(`— ${name} `));
    const signature = line === undefined ? new Uint8Array() : bytes.unbase64(line.split(" ").at(-1)).slice(4);
    return [body === stated && key.until === undefined && await bytes.verifySignature(unhex(key.public_key), bytes.utf8(`${body}\n`), signature),
      { text: checkpoint.note ?? "none", expected: stated, public_key: key.public_key, signature }];
  });
}

/**
 * The checks of section 8 on an event document, a proof bundle or a stream bundle, as [name, passed, evidence].
 * `rootKey`, in hex, is what somebody you trust told you; without one a bundle vouches for itself.
 */
export async function verify(source, rootKey) {
  const checks = new Checks();
  let parsed;
  await checks.add("format", () => { parsed = parse(source); return [true, { format: parsed.format, characters: source.length }]; });
  if (parsed?.format === "document") await checkEvents(checks, [parsed.value]);
  else if (parsed) {
    // What no check looked at, because the bundle has another shape, is one that failed.
    await verifyBundle(checks, parsed.value, rootKey).catch((error) => checks.add("format", () => { throw error; }));
  }
  return checks.list;
}
