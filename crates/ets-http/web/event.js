// An event, verified here, with its neighbours in the chain.
import * as api from "./api.js";
import { canonical, eventHash, hex, unhex } from "./bytes.js";
import { at, el, facts, hash, link, problem, time } from "./dom.js";
import { banner, layout, showSteps } from "./steps.js";
import { remembered } from "./trust.js";
import { verify } from "./verify.js";

/** Whether an event stands at `sequence` of the same stream and hashes to what it says. */
const stands = async (event, { domain, stream }, sequence) => event !== undefined && event.domain === domain && event.stream === stream &&
  event.sequence === sequence && hex(await eventHash(event.payload, unhex(event.previous_hash))) === event.current_hash;

/** The events before and after, of which each is undefined if there is none. */
async function neighbours({ domain, stream, sequence }) {
  const { events } = await api.events(domain, stream, Math.max(sequence - 2, 0), 3);
  const of = (place) => events.find((event) => event.sequence === place);
  return { before: of(sequence - 1), after: of(sequence + 1) };
}

async function checkNeighbours(event, around) {
  if (around.error) return ["neighbours", null, { because: around.error }];
  const { before, after } = around, { sequence } = event;
  const follows = sequence === 1 || (await stands(before, event, sequence - 1) && before.current_hash === event.previous_hash);
  const isFollowed = after === undefined || (await stands(after, event, sequence + 1) && after.previous_hash === event.current_hash);
  return ["neighbours", follows && isFollowed, {
    before: before?.current_hash ?? (sequence === 1 ? "none: this is the first of its stream" : "the server has none"),
    previous_hash: event.previous_hash, current_hash: event.current_hash,
    after: after?.previous_hash ?? "none yet: this is the last of its stream",
  }];
}

/** The event in a text, or null if the text cannot be read; what is wrong with it its verification says. */
function eventIn(source) {
  try {
    const value = JSON.parse(source);
    return value.event ?? value;
  } catch {
    return null;
  }
}

/** What there is to verify: the bundle, or what stands for it, and why there is none. */
async function obtain(id) {
  try {
    return { source: await api.bundleText(id) };
  } catch (refusal) {
    if (refusal.sqlstate === "ET012") return { source: await api.eventText(id), refusal };
    // A row that the server itself refuses may still be listed.
    const { events } = await api.search(id).catch(() => ({ events: [] }));
    if (events.length === 0) throw refusal;
    return { source: canonical(events[0]), refusal };
  }
}

const step = (event, rel, words) => event ? el("a", { href: at.event(event.event_id), rel }, words) : el("span", { class: "quiet" }, words);

const save = (name, text) => el("a", { class: "button", download: name, href: URL.createObjectURL(new Blob([text], { type: "application/json" })) }, "Save this proof");

const where = (event) => facts([
  ["Domain", link(at.domain(event.domain), event.domain)],
  ["Stream", link(at.stream(event.domain, event.stream), event.stream)],
  ["Sequence", event.sequence],
  ["Schema", event.schema_version],
  ["Time", time(event.timestamp)],
  ["Key", hash(event.key_id)],
  ["Judged by registry version", event.registry_version],
  ["Hash", el("code", { class: "whole" }, event.current_hash)],
]);

/** The checks of what a server gave for `id`: another event, however well proved, is not the one that was asked for. */
async function checksOf(id, source, event, around) {
  const checks = await verify(source, remembered()?.root_public_key);
  if (event === null) return checks;
  const asked = ["asked", event.event_id === id, { asked: id, given: event.event_id ?? "no event" }];
  const place = checks.findIndex(([name]) => name === "signature") + 1, [format, ...others] = checks;
  if (place === 0) return [format, asked, ...others];
  const chained = await checkNeighbours(event, around).catch(({ message }) => ["neighbours", false, { error: message }]);
  return [format, asked, ...checks.slice(1, place), chained, ...checks.slice(place)];
}

export async function eventView(id) {
  const { source, refusal } = await obtain(id), event = eventIn(source);
  const around = event && await neighbours(event).catch(({ message }) => ({ error: message }));
  const checks = await checksOf(id, source, event, around);
  if (refusal) checks.push(["inclusion", null, { because: refusal.message }]);
  return [
    el("h1", {}, "Event ", el("code", { class: "id" }, id)),
    around && el("nav", { class: "around", "aria-label": "Neighbours in the stream" },
      step(around.before, "prev", "← Event before"), step(around.after, "next", "Event after →")),
    banner(checks),
    refusal && refusal.sqlstate !== "ET012" ? [el("p", {}, "The server does not prove this event:"), problem(refusal)] : null,
    event && [where(event), el("h2", {}, "Payload"), layout(event.payload ?? null)],
    el("h2", {}, "Verified in this browser"), showSteps(checks),
    refusal ? null : el("p", {}, save(`${id}.bundle.json`, source)),
  ];
}
