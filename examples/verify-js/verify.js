// Verifies a proof bundle of pg_ets, and signs events: from docs/formats.md alone, with nothing
// but WebCrypto, in browsers and in Node. It does not judge JSON Schemas and rules.

const text = new TextEncoder();
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const unhex = (digits) => Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const base64 = (coded) => Uint8Array.from(atob(coded), (character) => character.charCodeAt(0));
const join = (...parts) => Uint8Array.from(parts.flatMap((part) => [...part]));
const same = (a, b) => hex(a) === hex(b);
const sha256 = async (...parts) => new Uint8Array(await crypto.subtle.digest("SHA-256", join(...parts)));

const uint32 = (number) => unhex(number.toString(16).padStart(8, "0"));
const uint64 = (number) => unhex(number.toString(16).padStart(16, "0"));
const encode = (value) => typeof value === "string" ? encode(text.encode(value)) : join(uint32(value.length), value);

/** The RFC 8785 text of a value: JSON.stringify writes strings and numbers as it wants them. */
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const members = Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`);
  return `{${members.join(",")}}`;
}

export const eventHash = (payload, previous) => sha256(text.encode(canonical(payload)), previous);
const leafHash = ({ payload, ...header }) => sha256([0], text.encode(canonical(header)));
const node = (left, right) => sha256([1], left, right);
export const genesisHash = (...place) => sha256(...["ETS genesis", "1.1", ...place].map(encode));

// The points of small order in all their encodings, without the sign bit.
const SMALL_ORDER = new Set([
  ...["01", "00"].map((low) => low + "00".repeat(31)),
  ...["ec", "ed", "ee"].map((low) => `${low}${"ff".repeat(30)}7f`),
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
]);
const isSmallOrder = (point) => SMALL_ORDER.has(hex([...point.slice(0, 31), point[31] & 127]));

export async function verifySignature(publicKey, message, signature) {
  if (signature.length !== 64 || isSmallOrder(publicKey) || isSmallOrder(signature.slice(0, 32))) return false;
  const key = await crypto.subtle.importKey("raw", publicKey, "Ed25519", true, ["verify"]);
  return crypto.subtle.verify("Ed25519", key, signature, message);
}

/** An event's hash, and its signature by a PKCS#8 key: what ets.append wants. */
export async function signEvent(payload, previous, pkcs8) {
  const key = await crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", false, ["sign"]);
  const hash = await eventHash(payload, previous);
  return { hash, signature: new Uint8Array(await crypto.subtle.sign("Ed25519", key, hash)) };
}

const halve = (a, b) => [Math.floor(a / 2), Math.floor(b / 2)];
const isPowerOfTwo = (number) => number === 1 || (number % 2 === 0 && isPowerOfTwo(number / 2));

/** The root that a path leads to (RFC 9162, section 2.1.3.2). */
async function rootOf(leaf, index, size, path) {
  let [fn, sn, root] = [index, size - 1, leaf];
  if (fn > sn) return null;
  for (const hash of path) {
    if (sn === 0) return null;
    if (fn % 2 === 1 || fn === sn) {
      root = await node(hash, root);
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = halve(fn, sn);
    } else root = await node(root, hash);
    [fn, sn] = halve(fn, sn);
  }
  return sn === 0 ? root : null;
}

/** Whether a tree continues another (RFC 9162, section 2.1.4.2). */
async function continues(first, firstRoot, size, root, path) {
  if (first === 0 || first === size) return path.length === 0 && (first === 0 || same(firstRoot, root));
  if (first > size || path.length === 0) return false;
  const hashes = isPowerOfTwo(first) ? [firstRoot, ...path] : path;
  let [fn, sn] = [first - 1, size - 1];
  while (fn % 2 === 1) [fn, sn] = halve(fn, sn);
  let [fr, sr] = [hashes[0], hashes[0]];
  for (const hash of hashes.slice(1)) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      [fr, sr] = [await node(hash, fr), await node(hash, sr)];
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = halve(fn, sn);
    } else sr = await node(sr, hash);
    [fn, sn] = halve(fn, sn);
  }
  return sn === 0 && same(fr, firstRoot) && same(sr, root);
}

async function treeRoot(leaves) {
  if (leaves.length < 2) return leaves[0] ?? sha256();
  let left = 1;
  while (left * 2 < leaves.length) left *= 2;
  return node(await treeRoot(leaves.slice(0, left)), await treeRoot(leaves.slice(left)));
}
async function isSigned(event) {
  const [key, hash] = [unhex(event.public_key), unhex(event.current_hash)];
  return hex(await sha256(key)) === event.key_id && verifySignature(key, hash, unhex(event.signature));
}

const matches = (pattern, name) => pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : pattern === name;
const within = (made, version) => made.since <= version && version < (made.until ?? Infinity);

/** The registry that its events make (section 4): keys, grants, and who was the server when. */
class Registry {
  keys = new Map(); grants = []; servers = []; domains = new Set(["ets.registry", "ets.audit"]);

  live(id, version, time) {
    const key = this.keys.get(id);
    return key && within(key, version) && (key.not_before ?? "") <= time && time <= (key.not_after ?? "9999-13") ? key : null;
  }
  may(id, version, time, domain, schema, stream) {
    return this.live(id, version, time) !== null && this.grants.some((grant) => grant.key_id === id && within(grant, version) &&
      grant.domain === domain && matches(grant.schemas, schema) && matches(grant.streams, stream));
  }
  register(id, publicKey, since, more) { this.keys.set(id, { public_key: publicKey, since, ...more }); }

  async apply({ sequence: n, key_id: signer, timestamp, schema_version: kind, payload }) {
    const idOf = async (key) => hex(await sha256(unhex(key)));
    if (n === 1) {
      const [root, server] = [await idOf(payload.root_public_key), await idOf(payload.server_public_key)];
      this.register(server, payload.server_public_key, 1);
      this.register(root, payload.root_public_key, 1);
      this.grants.push({ key_id: root, domain: "ets.registry", schemas: "*", streams: "*", since: 1 });
      this.servers.push({ id: server, since: 1 });
      return signer === root;
    }
    // What is not about one domain is root's; of a bare header the domain is not known.
    const subject = /^ets\.(grant|grant_revocation|schema|schema_retirement)\//.test(kind) ? payload?.domain ?? null : undefined;
    const mayRegister = this.grants.some((grant) => grant.key_id === signer && grant.domain === "ets.registry" && within(grant, n - 1) &&
      (`${grant.schemas} ${grant.streams}` === "* *" || (subject !== undefined && matches(grant.schemas, kind) &&
        (subject === null || matches(grant.streams, subject)))));
    const rotatesItself = kind === "ets.key_rotation/1.0.0" && signer === payload.key_id;
    if (!this.live(signer, n - 1, timestamp) || !(mayRegister || rotatesItself)) return false;
    const handOver = (from, to) => this.grants.filter((grant) => grant.key_id === from && within(grant, n)).forEach((grant) => {
      this.grants.push({ ...grant, key_id: to, since: n }); grant.until = n;
    });
    const revoke = (id) => {
      this.keys.get(id).until ??= n;
      this.grants.filter((grant) => grant.key_id === id).forEach((grant) => grant.until ??= n);
      this.keys.forEach((key, next) => { if (key.rotated_from === id) revoke(next); });
    };
    switch (kind.split("/")[0]) {
      case "ets.domain": this.domains.add(payload.domain); break;
      case "ets.key": this.register(await idOf(payload.public_key), payload.public_key, n, payload); break;
      case "ets.key_rotation": case "ets.server_key": {
        const old = payload.key_id ?? this.servers.at(-1).id, id = await idOf(payload.public_key);
        const { not_after } = { ...(rotatesItself && this.keys.get(old)), ...payload };
        this.register(id, payload.public_key, n, { not_after, rotated_from: signer === old ? old : undefined });
        handOver(old, id);
        this.keys.get(old).until ??= n;
        if (!rotatesItself) this.servers.push({ id, since: n });
        break;
      }
      case "ets.key_revocation": revoke(payload.key_id); break;
      case "ets.grant": this.grants.push({ ...payload, since: n }); break;
      case "ets.grant_revocation":
        this.grants.filter((grant) => grant.key_id === payload.key_id && grant.domain === payload.domain && within(grant, n) &&
          matches(payload.schemas, grant.schemas) && matches(payload.streams, grant.streams)).forEach((grant) => grant.until ??= n);
    }
    return true;
  }
}

/** The checks of section 8 as [name, passed]; `rootKey` in hex is what somebody you trust told you. */
export async function verify(bundleText, rootKey) {
  const bundle = JSON.parse(bundleText), { event, checkpoint, trust_root: trust } = bundle, registry = new Registry();
  // As the ledger writes it, so that no duplicate member or inexact number hides in it.
  if (bundle.format !== "ets-proof-bundle/1" || canonical(bundle) !== bundleText.trim()) return [["format", false]];
  const checks = [["format", true], ["trust_root", trust.root_public_key === rootKey]];
  const check = async (name, passed) => checks.push([name, (await passed) === true]);
  await check("hash", same(await eventHash(event.payload, unhex(event.previous_hash)), unhex(event.current_hash)));
  await check("signature", isSigned(event));
  let previous = hex(await genesisHash(trust.ledger_id, "ets.registry", "main"));
  let sound = Object.keys(trust).every((name) => bundle.registry.events[0].payload[name] === trust[name]);
  for (const [place, entry] of bundle.registry.events.entries()) {
    sound &&= entry.sequence === place + 1 && entry.previous_hash === previous && await isSigned(entry) && await registry.apply(entry) &&
      (entry.payload === undefined || same(await eventHash(entry.payload, unhex(previous)), unhex(entry.current_hash)));
    previous = entry.current_hash;
  }
  await check("registry", sound);
  const { domain, stream, schema_version: schema, registry_version: version } = event;
  const server = (at) => registry.servers.findLast((each) => each.since <= at).id;
  await check("authority", domain === "ets.registry" ? bundle.registry.events.some((entry) => entry.current_hash === event.current_hash)
    : domain === "ets.audit" ? server(version) === event.key_id
      : registry.may(event.key_id, version, event.timestamp, domain, schema, stream));
  const rootIn = (name) => checkpoint.domain_roots.find((root) => root.domain === name);
  const own = rootIn(domain), { leaf_index: index, path } = bundle.inclusion;
  const included = await rootOf(await leafHash(event), index, own.tree_size, path.map(unhex));
  await check("inclusion", included !== null && hex(included) === own.root);
  const leaves = await Promise.all(bundle.registry.events.map(leafHash)), all = rootIn("ets.registry");
  await check("registry_inclusion", continues(leaves.length, await treeRoot(leaves), all.tree_size, unhex(all.root), bundle.registry.consistency.map(unhex)));
  const roots = checkpoint.domain_roots.flatMap((root) => [encode(root.domain), uint64(root.tree_size), encode(unhex(root.root))]);
  const metaRoot = await sha256(encode(checkpoint.version), encode(checkpoint.checkpoint_event_id), uint32(checkpoint.domain_roots.length), ...roots);
  await check("meta_root", hex(metaRoot) === checkpoint.meta_root && [...registry.domains].every(rootIn) && event.event_id <= checkpoint.checkpoint_event_id);
  const [body, signatures] = (checkpoint.note ?? "").split("\n\n"), name = `${trust.origin}/${domain}`;
  const stated = `${name}\n${own.tree_size}\n${btoa(String.fromCharCode(...unhex(own.root)))}\nets-metaroot ${btoa(String.fromCharCode(...metaRoot))}`;
  const key = registry.keys.get(server(leaves.length)), line = signatures?.split("\n").find((line) => line.startsWith(`— ${name} `));
  await check("note", body === stated && line !== undefined && key.until === undefined &&
    verifySignature(unhex(key.public_key), text.encode(`${body}\n`), base64(line.split(" ")[2]).slice(4)));
  return checks;
}
