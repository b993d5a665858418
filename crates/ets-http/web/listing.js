// Domains, streams, the events of a stream, and what a search finds.
import * as api from "./api.js";
import { eventHash, hex, unhex, verifySignature } from "./bytes.js";
import { at, el, facts, hash, link, number, paged, table, time } from "./dom.js";
import { plotSection } from "./plot.js";

/** Whether an event hashes, is signed, and follows the one before it, if that is known. */
export async function holds(event, before) {
  const isHashed = hex(await eventHash(event.payload, unhex(event.previous_hash))) === event.current_hash;
  const isSigned = await verifySignature(unhex(event.public_key), unhex(event.current_hash), unhex(event.signature));
  return isHashed && isSigned && (before === undefined || before.current_hash === event.previous_hash);
}

export const sign = (passed) => el("span", { class: `check ${passed ? "passed" : "failed"}`, title: passed ? "hash and signature hold" : "hash, signature or chain is wrong" },
  passed ? "✓" : "✗", el("span", { class: "hidden" }, passed ? "holds" : "does not hold"));

export async function domainsView() {
  const { domains } = await api.domains();
  const rows = domains.map((each) => [link(at.domain(each.domain), each.domain), number(each.tree_size), hash(each.root_hash),
    each.checkpoint_id ? link(at.checkpoint(each.checkpoint_id), each.checkpoint_id) : "never sealed"]);
  return [
    el("h1", {}, "Domains"),
    table("Domains", ["Domain", "Sealed events", "Root", "Checkpoint"], rows),
    await plotSection(),
  ];
}

export async function domainView(domain) {
  const { domains } = await api.domains(), own = domains.find((each) => each.domain === domain);
  const read = async (after) => {
    const { streams, next } = await api.streams(domain, after);
    return { next, rows: streams.map((each) => [link(at.stream(domain, each.stream), each.stream), number(each.sequence),
      link(at.event(each.event_id), "last event"), hash(each.event_hash)]) };
  };
  return [
    el("h1", {}, "Domain ", el("code", { class: "id" }, domain)),
    own ? facts([["Sealed events", number(own.tree_size)], ["Root", el("code", { class: "whole" }, own.root_hash ?? "none yet")],
      ["Checkpoint", own.checkpoint_id ? link(at.checkpoint(own.checkpoint_id), own.checkpoint_id) : "never sealed"]]) : null,
    el("h2", {}, "Streams"),
    await paged("Streams", ["Stream", "Events", "Newest", "Head"], read, "No stream has an event yet."),
  ];
}

const COLUMNS = ["Check", "Sequence", "Event", "Schema", "Time", "Key", "Hash"];

async function row(event, before, isNext = true) {
  return [sign(isNext && await holds(event, before).catch(() => false)), event.sequence, link(at.event(event.event_id), event.event_id),
    event.schema_version, time(event.timestamp), hash(event.key_id), hash(event.current_hash)];
}

export async function streamView(domain, stream) {
  let last;
  const read = async (after) => {
    const { events, next } = await api.events(domain, stream, after), rows = [];
    for (const event of events) {
      const isNext = event.domain === domain && event.stream === stream && event.sequence === (last?.sequence ?? 0) + 1;
      rows.push(await row(event, last, isNext));
      last = event;
    }
    return { rows, next };
  };
  return [
    el("h1", {}, "Stream ", el("code", { class: "id" }, stream)),
    el("p", {}, "in domain ", link(at.domain(domain), domain), ". Hash, signature and chain of each row are checked here."),
    await paged("Events", COLUMNS, read, "This stream has no event."),
  ];
}

/** A single find is shown itself. */
export async function searchView(query) {
  const { events } = await api.search(query);
  if (events.length === 1) {
    location.replace(at.event(events[0].event_id));
    return [];
  }
  return [
    el("h1", {}, "Search"),
    events.length === 0 ? el("p", {}, "No event has the id or the hash ", el("code", { class: "whole" }, query), ".")
      : table("Events found", COLUMNS, await Promise.all(events.map((event) => row(event)))),
  ];
}
