// The steps of a verification, each with the bytes that it is about.
import { canonical, hex } from "./bytes.js";
import { el, facts, table } from "./dom.js";

/** Of each check: what it is called, what must hold, and what it means if it does not. */
const STEPS = {
  format: ["Form", "The text is as the ledger writes it: no member hidden twice, no number that reads in two ways."],
  asked: ["Event asked for", "What the server gave is the event that this page is about, and not another one, however well proved."],
  trust_root: ["Root key", "The root key is the one that this browser was told, or saw first."],
  canonical: ["Canonical form", "The payload has one canonical text (RFC 8785), and this is it."],
  key_id: ["Key id", "key_id = SHA-256( public key )"],
  hash: ["Event hash", "current_hash = SHA-256( canonical payload ‖ previous_hash )"],
  signature: ["Signature", "The key signed current_hash (Ed25519)."],
  chain: ["Chain", "The first event hangs on the hash of ledger, domain and stream; each later one on the event before it."],
  neighbours: ["Neighbours", "The event before hashes to this one’s previous_hash; the one after names this one’s current_hash."],
  registry: ["Registry", "Keys and grants follow from the root key: every event of the registry is chained, signed, and allowed."],
  authority: ["Authority", "By that registry, the key was allowed to append this."],
  inclusion: ["Leaf and path", "leaf = SHA-256( 0x00 ‖ header ), and the path leads from it to the domain’s root."],
  registry_inclusion: ["Registry’s tree", "These registry events are the beginning of the registry’s tree in the same checkpoint."],
  meta_root: ["MetaRoot", "meta_root = SHA-256( version, last event, every domain’s size and root )"],
  note: ["Checkpoint’s signature", "The server’s key signed the domain’s size and root, and the MetaRoot."],
};

const LABELS = {
  over: "Bytes hashed or signed", computed: "Computed here", given: "Stated", text: "Text", expected: "Text computed here", public_key: "Public key",
  header: "Header", path: "Path, from the leaf up", because: "Because", trusted: "Trusted", asked: "Asked for", error: "What went wrong",
};
const label = (name) => LABELS[name] ?? `${name[0].toUpperCase()}${name.slice(1).replaceAll("_", " ")}`;

const SHOWN = 512;

/** Sixteen bytes a line: place, hex, text. */
function dump(bytes) {
  const lines = [];
  for (let from = 0; from < Math.min(bytes.length, SHOWN); from += 16) {
    const row = bytes.slice(from, from + 16), text = Array.from(row, (byte) => byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·");
    lines.push(`${from.toString(16).padStart(4, "0")}  ${hex(row).replace(/../g, "$& ").padEnd(48)} ${text.join("")}`);
  }
  if (bytes.length > SHOWN) lines.push(`… and ${bytes.length - SHOWN} more bytes`);
  return el("pre", { class: "dump", tabindex: "0", "aria-label": `${bytes.length} bytes` }, lines.join("\n"));
}

/** A value in full, and from where on it differs from another. */
function against(value, other) {
  if (other === undefined || value === other) return el("code", { class: "whole" }, value);
  const from = Array.from(value).findIndex((character, place) => character !== other[place]), place = from < 0 ? value.length : from;
  return el("code", { class: "whole" }, value.slice(0, place), el("mark", {}, value.slice(place)));
}

const asText = (value) => value instanceof Uint8Array ? hex(value) : String(value);

/** One piece of evidence: bytes long enough get a dump, a path a table, a list its lines. */
function shown(name, value, all) {
  if (name === "over" && value.length > 32) return dump(value);
  if (name === "path") {
    return table("Path", ["Side", "Hash beside", "Node above"],
      value.map((step) => [step.side, el("code", {}, hex(step.hash)), el("code", {}, hex(step.node))]));
  }
  if (Array.isArray(value)) return el("ol", { class: "list" }, value.map((item) => el("li", {}, el("code", {}, asText(item)))));
  if (["text", "header", "expected"].includes(name)) return el("pre", { tabindex: "0", "aria-label": label(name) }, value);
  const other = { computed: "given", given: "computed" }[name], text = asText(value);
  return other && all[other] !== undefined ? against(text, asText(all[other])) : el("code", { class: "whole" }, text);
}

const VERDICTS = new Map([[true, ["passed", "✓"]], [false, ["failed", "✗"]], [null, ["unknown", "?"]]]);

function step([name, passed, evidence]) {
  const [verdict, sign] = VERDICTS.get(passed), [title, meaning] = STEPS[name] ?? [label(name), ""];
  const inside = Object.entries(evidence).map(([part, value]) => [label(part), shown(part, value, evidence)]);
  const summary = el("summary", {}, el("span", { class: "sign", "aria-hidden": "true" }, sign), el("span", { class: "title" }, title),
    el("span", { class: "verdict" }, verdict), el("span", { class: "meaning" }, meaning));
  return el("li", { "data-check": name, "data-verdict": verdict },
    el("details", { open: passed === false }, summary, facts(inside)));
}

/** The verdict of DESIGN section 9 on a list of checks. */
export function verdictOf(checks) {
  if (checks.some(([, passed]) => passed === false)) return "MISMATCH";
  return checks.some(([, passed]) => passed === null) ? "UNVERIFIABLE" : "MATCH";
}

const titles = (checks, verdict) => checks.filter(([, passed]) => passed === verdict).map(([name]) => STEPS[name]?.[0] ?? name).join(", ");

function sentence(checks) {
  switch (verdictOf(checks)) {
    case "MATCH": {
      const hold = checks.length === 1 ? "The step holds" : `All ${checks.length} steps hold`, isEvent = checks.some(([name]) => name === "hash");
      return `${hold}, computed in this browser.${isEvent ? " Schema and rules are not judged here." : ""}`;
    }
    case "MISMATCH": return `This does not hold: ${titles(checks, false)}.`;
    default: return `What could be checked holds. Open: ${titles(checks, null)}.`;
  }
}

export function banner(checks) {
  const verdict = verdictOf(checks);
  return el("p", { class: `banner ${verdict.toLowerCase()}`, role: "status" }, el("strong", {}, verdict), ` ${sentence(checks)}`);
}

/** Each step, opened where it failed. */
export const showSteps = (checks) => el("ol", { class: "steps", "aria-label": "Steps of the verification" }, checks.map(step));

/** A payload, or anything else that JSON can say, laid out for the eye. */
export const layout = (value) => el("pre", { tabindex: "0", "aria-label": "Payload" }, JSON.stringify(JSON.parse(canonical(value)), null, 2));
