// Appends and seals over time, as bars and marks.
import * as api from "./api.js";
import { el, number, problem, svg } from "./dom.js";

const HEIGHT = 100;
const SPANS = [[1, "Hour"], [24, "Day"], [168, "Week"]];

/** The time of a bar; beyond an hour with the day, or nobody knows whose half past four it is. */
const clock = (text, hours) => new Date(text).toLocaleString("en-GB",
  { ...(hours > 1 && { day: "numeric", month: "short" }), hour: "2-digit", minute: "2-digit", timeZone: "UTC" });

function drawing(buckets, hours) {
  const most = Math.max(1, ...buckets.map(({ appends }) => appends)), sum = (name) => buckets.reduce((total, bucket) => total + bucket[name], 0);
  const bars = buckets.map(({ from, appends, seals }, place) => {
    const height = appends === 0 ? 0 : Math.max(2, (appends / most) * (HEIGHT - 12));
    return svg("g", {}, svg("title", {}, `${clock(from, hours)}: ${appends} appends, ${seals} seals`),
      svg("rect", { class: "hover", x: place, y: 0, width: 1, height: HEIGHT }),
      svg("rect", { class: "bar", x: place + 0.12, y: HEIGHT - 8 - height, width: 0.76, height }),
      seals > 0 ? svg("rect", { class: "seal", x: place + 0.12, y: HEIGHT - 5, width: 0.76, height: 5 }) : null);
  });
  const label = `${number(sum("appends"))} appends and ${number(sum("seals"))} seals, at most ${number(most)} appends in one bar`;
  return el("figure", {},
    svg("svg", { viewBox: `0 0 ${buckets.length} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label }, bars),
    el("div", { class: "axis" }, el("span", {}, `${clock(buckets[0].from, hours)} UTC`), el("span", {}, "now")),
    el("figcaption", {}, el("span", { class: "key bar" }), ` ${number(sum("appends"))} appends `,
      el("span", { class: "key seal" }), ` ${number(sum("seals"))} seals · highest bar ${number(most)}`));
}

/** The plot, and buttons for how far back it goes. */
export async function plotSection() {
  const place = el("div", { class: "plot" });
  const draw = async (hours) => {
    const { buckets } = await api.activity(hours);
    place.replaceChildren(buckets.length === 0 ? el("p", { class: "quiet" }, "Nothing yet.") : drawing(buckets, hours));
  };
  const buttons = SPANS.map(([hours, name]) => el("button", { type: "button", "aria-pressed": String(hours === 24), onclick: () => {
    buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(SPANS[index][0] === hours)));
    draw(hours).catch((error) => place.replaceChildren(problem(error)));
  } }, name));
  await draw(24).catch((error) => place.replaceChildren(problem(error)));
  return el("section", {}, el("h2", {}, "Appends and seals"), el("div", { class: "buttons", role: "group", "aria-label": "Time shown" }, buttons), place);
}
