// Events as they are sealed, and the state of the ledger.
import * as api from "./api.js";
import { at, el, link, table, time } from "./dom.js";
import { holds, sign } from "./listing.js";

const KEPT = 100;
/** How many of the last events are there to begin with. */
const RECENT = 10;

/** `signal` ends the feed when the reader goes elsewhere. */
export async function liveView(signal) {
  const { domains } = await api.domains();
  const list = el("ol", { class: "timeline" }), state = el("span", { role: "status" }, "connecting");
  const show = async (source, { signal: gone }) => {
    const event = JSON.parse(source), passed = await holds(event).catch(() => false);
    // The reader may have chosen another domain meanwhile.
    if (gone.aborted) return;
    list.prepend(el("li", {}, sign(passed), el("div", {}, link(at.event(event.event_id), event.event_id), " ", time(event.timestamp),
      el("div", { class: "quiet" }, `${event.stream} · ${event.sequence} · ${event.schema_version}`))));
    while (list.children.length > KEPT) list.lastChild.remove();
  };
  let feed;
  const listen = (domain) => {
    feed?.abort();
    feed = new AbortController();
    list.replaceChildren();
    // One after the other, so that they stay in their order.
    let shown = Promise.resolve();
    const own = feed;
    const size = domains.find((each) => each.domain === domain).tree_size, last = size === 0 ? undefined : Math.max(size - 1 - RECENT, 0);
    api.follow(domain, last, (source) => { shown = shown.then(() => show(source, own)).catch(() => {}); }, (words) => { state.textContent = words; }, AbortSignal.any([feed.signal, signal]));
  };
  const names = domains.map(({ domain }) => domain), first = names.find((name) => !name.startsWith("ets.")) ?? names[0];
  const choice = el("select", { id: "domain", onchange: () => listen(choice.value) },
    names.map((name) => el("option", { selected: name === first }, name)));
  if (first !== undefined) listen(first);
  return [
    el("h1", {}, "Live"),
    el("p", { class: "row" }, el("label", { for: "domain" }, "Domain"), choice, state),
    el("div", { role: "log", "aria-label": "New events" }, list),
  ];
}

const cell = (value) => value === null || value === undefined ? "—" : typeof value === "object" ? JSON.stringify(value) : String(value);

export async function statusView() {
  const { status, findings } = await api.status();
  const columns = Object.keys(findings[0] ?? {}), rows = findings.map((finding) => columns.map((name) =>
    name === "event_id" && finding[name] ? link(at.event(finding[name]), finding[name]) : cell(finding[name])));
  const found = [el("h2", {}, "Open findings"), rows.length === 0 ? el("p", { class: "quiet" }, "None.") : table("Open findings", columns, rows)];
  const items = table("Status", ["Item", "State", "Value"], status.map(({ item, state, value }) =>
    [item, el("span", { class: `badge ${state}` }, state), cell(value)]));
  return [
    el("h1", {}, "Status"),
    el("p", {}, "What the server says of itself. Only what this page verifies is more than its word."),
    // What is wrong comes first.
    rows.length > 0 ? [found, el("h2", {}, "Everything")] : null, items, rows.length > 0 ? null : found,
  ];
}
