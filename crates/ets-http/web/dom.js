// Elements. Text goes in as text nodes, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An element; an attribute `onclick` is a listener, a false or undefined one is left out. */
export const el = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
export const svg = (name, attributes = {}, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

const inPath = encodeURIComponent;

/** Addresses of the views. */
export const at = {
  domain: (domain) => `#/domain/${inPath(domain)}`,
  stream: (domain, stream) => `#/stream/${inPath(domain)}/${inPath(stream)}`,
  event: (id) => `#/event/${inPath(id)}`,
  checkpoint: (id) => `#/checkpoint/${inPath(id)}`,
};

export const link = (href, ...children) => el("a", { href }, ...children);

/** A hash, shortened for the eye and whole for the copy and the screen reader. */
export const hash = (digits) => digits ? el("code", { class: "hash", title: digits }, `${digits.slice(0, 8)}…${digits.slice(-6)}`) : "—";

export const time = (text) => el("time", { datetime: text, title: text }, text.replace("T", " ").replace(/\.\d+Z$/, " UTC"));

export const number = (value) => Number(value).toLocaleString("en");

/** A table in a box of its own that scrolls sideways on a phone. */
export function table(caption, columns, rows) {
  const head = el("tr", {}, columns.map((column) => el("th", { scope: "col" }, column)));
  const body = rows.map((cells) => el("tr", {}, cells.map((cell) => el("td", {}, cell))));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", {}, el("caption", { class: "hidden" }, caption), el("thead", {}, head), el("tbody", {}, body)));
}

/** Names and what they stand for. */
export const facts = (pairs) =>
  el("dl", { class: "facts" }, pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));

/**
 * Rows that come page by page: `read(cursor)` answers {rows, next}. Shows the first
 * page, and a button for each further one.
 */
export async function paged(caption, columns, read, empty) {
  const { rows, next } = await read(undefined);
  if (rows.length === 0) return el("p", { class: "quiet" }, empty);
  const box = table(caption, columns, rows), body = box.querySelector("tbody");
  const button = el("button", { type: "button" }, "More");
  let cursor = next;
  const more = async () => {
    button.disabled = true;
    const page = await read(cursor).catch((error) => ({ error }));
    button.disabled = false;
    if (page.error) return button.after(problem(page.error));
    body.append(...page.rows.map((cells) => el("tr", {}, cells.map((cell) => el("td", {}, cell)))));
    cursor = page.next;
    if (cursor === null || cursor === undefined) button.remove();
  };
  button.addEventListener("click", more);
  return el("div", {}, box, cursor === null || cursor === undefined ? null : button);
}

/** What the server refused, or why it could not be reached. */
export const problem = (error) => el("div", { class: "problem", role: "alert" },
  el("p", {}, el("strong", {}, error.message)),
  error.hint ? el("p", {}, error.hint) : null,
  error.detail ? el("pre", {}, error.detail) : null);
