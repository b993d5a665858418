// Section 1 of docs/formats.md: the bytes of pg_ets, with nothing but WebCrypto, in browsers and in Node.

/** What does the cryptography; whoever has no WebCrypto can put something else here. */
export const primitives = {
  /** The 32 bytes of SHA-256. */
  sha256: async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)),
  /** Whether a cofactorless verifier that compares encodings accepts the signature. */
  async ed25519(publicKey, message, signature) {
    const key = await crypto.subtle.importKey("raw", publicKey, "Ed25519", true, ["verify"]);
    return crypto.subtle.verify("Ed25519", key, signature, message);
  },
};

export const utf8 = (string) => new TextEncoder().encode(string);
export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
export function unhex(digits) {
  if (typeof digits !== "string" || !/^([0-9a-f]{2})*$/.test(digits)) throw new Error("not lower-case hex");
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}
export const base64 = (bytes) => btoa(String.fromCharCode(...bytes));
export const unbase64 = (coded) => Uint8Array.from(atob(coded), (character) => character.charCodeAt(0));
export const same = (a, b) => hex(a) === hex(b);

export function join(...parts) {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  parts.reduce((place, part) => (joined.set(part, place), place + part.length), 0);
  return joined;
}
export const sha256 = async (...parts) => primitives.sha256(join(...parts));

function unsigned(number, length) {
  if (!Number.isSafeInteger(number) || number < 0) throw new Error("not a size");
  return unhex(number.toString(16).padStart(2 * length, "0"));
}
const uint32 = (number) => unsigned(number, 4);
const uint64 = (number) => unsigned(number, 8);
const encode = (value) => typeof value === "string" ? encode(utf8(value)) : join(uint32(value.length), value);

/** The RFC 8785 text of a value: JSON.stringify writes strings and numbers as it wants them. */
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const members = Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`);
  return `{${members.join(",")}}`;
}

export const headerOf = ({ payload, ...header }) => header;
export const eventBytes = (payload, previous) => join(utf8(canonical(payload)), previous);
export const eventHash = (payload, previous) => sha256(eventBytes(payload, previous));
export const leafHash = (event) => sha256([0], utf8(canonical(headerOf(event))));
const node = (left, right) => sha256([1], left, right);
export const genesisHash = (...place) => sha256(...["ETS genesis", "1.1", ...place].map(encode));

/** What a MetaRoot is the SHA-256 of. */
export function metaRootBytes({ version, checkpoint_event_id: last, domain_roots: roots }) {
  const domains = roots.flatMap((root) => [encode(root.domain), uint64(root.tree_size), encode(unhex(root.root))]);
  return join(encode(version), encode(last), uint32(roots.length), ...domains);
}

// The points of small order in all their encodings, without the sign bit.
const SMALL_ORDER = new Set([
  ...["01", "00"].map((low) => low + "00".repeat(31)),
  ...["ec", "ed", "ee"].map((low) => `${low}${"ff".repeat(30)}7f`),
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
]);
const isSmallOrder = (point) => SMALL_ORDER.has(hex([...point.slice(0, 31), point[31] & 127]));

export async function verifySignature(publicKey, message, signature) {
  if (publicKey.length !== 32 || signature.length !== 64) return false;
  if (isSmallOrder(publicKey) || isSmallOrder(signature.slice(0, 32))) return false;
  return primitives.ed25519(publicKey, message, signature);
}

/** An event's hash, and its signature by a PKCS#8 key: what ets.append wants. */
export async function signEvent(payload, previous, pkcs8) {
  const key = await crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", false, ["sign"]);
  const hash = await eventHash(payload, previous);
  return { hash, signature: new Uint8Array(await crypto.subtle.sign("Ed25519", key, hash)) };
}

const halve = (a, b) => [Math.floor(a / 2), Math.floor(b / 2)];
const isPowerOfTwo = (number) => number === 1 || (number % 2 === 0 && isPowerOfTwo(number / 2));

/** The root that a path leads to (RFC 9162, section 2.1.3.2) or null, and each step on the way. */
export async function climb(leaf, index, size, path) {
  let [fn, sn, root] = [index, size - 1, leaf];
  const steps = [];
  if (fn > sn) return { root: null, steps };
  for (const hash of path) {
    if (sn === 0) return { root: null, steps };
    const isLeft = fn % 2 === 1 || fn === sn;
    root = await (isLeft ? node(hash, root) : node(root, hash));
    while (isLeft && fn % 2 === 0 && fn !== 0) [fn, sn] = halve(fn, sn);
    [fn, sn] = halve(fn, sn);
    steps.push({ side: isLeft ? "left" : "right", hash, node: root });
  }
  return { root: sn === 0 ? root : null, steps };
}

/** Whether a tree continues another (RFC 9162, section 2.1.4.2). */
export async function continues(first, firstRoot, size, root, path) {
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

export async function treeRoot(leaves) {
  if (leaves.length < 2) return leaves[0] ?? sha256();
  let left = 1;
  while (left * 2 < leaves.length) left *= 2;
  return node(await treeRoot(leaves.slice(0, left)), await treeRoot(leaves.slice(left)));
}
