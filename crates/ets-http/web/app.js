// The page: which view an address shows, and whom it trusts.
import * as api from "./api.js";
import { checkpointView, checkpointsView } from "./checkpoints.js";
import { el, hash, problem } from "./dom.js";
import { chooseCryptography } from "./ed25519.js";
import { eventView } from "./event.js";
import { fileView } from "./file.js";
import { domainView, domainsView, searchView, streamView } from "./listing.js";
import { liveView, statusView } from "./live.js";
import * as trust from "./trust.js";

const main = document.getElementById("main"), query = document.getElementById("query"), notice = document.getElementById("trust");

/** Name, view, and the entry of the navigation that it belongs to. */
const VIEWS = {
  "": [domainsView, "#/"], domain: [domainView, "#/"], stream: [streamView, "#/"], event: [eventView, "#/"], search: [searchView, "#/"],
  checkpoints: [checkpointsView, "#/checkpoints"], checkpoint: [checkpointView, "#/checkpoints"],
  live: [(signal) => liveView(signal), "#/live"], status: [statusView, "#/status"], verify: [fileView, "#/verify"],
};

/** Asks for the token that the server wants, and tries again. */
function askForToken() {
  const input = el("input", { id: "token", type: "password", autocomplete: "off" });
  const send = (event) => { event.preventDefault(); api.setToken(input.value); start(); };
  return el("form", { onsubmit: send }, el("label", { for: "token" }, "Token for reading"), input, el("button", {}, "Use it"));
}

let leaving = new AbortController();

async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving, [name, ...places] = location.hash.replace(/^#\/?/, "").split("/");
  const [view, entry] = VIEWS[name] ?? VIEWS[""];
  document.querySelectorAll("nav[aria-label=Views] a").forEach((link) => {
    if (link.getAttribute("href") === entry) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  });
  main.setAttribute("aria-busy", "true");
  let parts;
  try {
    const given = places.map(decodeURIComponent);
    parts = await (name === "live" ? view(signal) : view(...given));
  } catch (error) {
    parts = [el("h1", {}, "This cannot be shown"), problem(error), error.status === 401 ? askForToken() : null];
  }
  // Who has gone on elsewhere does not want to see it any more.
  if (signal.aborted) return;
  main.removeAttribute("aria-busy");
  main.replaceChildren(...parts.flat(2).filter((part) => part !== null && part !== undefined));
  const heading = main.querySelector("h1");
  document.title = `${heading?.textContent ?? "Ledger"} · Ledger explorer`;
  main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

/** Says whom the page trusts, and loudly if the server is another than it was. */
function tellTrust(root, met) {
  document.getElementById("origin").textContent = root.origin;
  const known = trust.remembered();
  if (met === "changed") {
    const accept = () => { trust.forget(); trust.meet(root); start(); };
    notice.className = "changed";
    notice.replaceChildren(el("p", {}, el("strong", {}, "The root key changed. "), "This browser knows ", hash(known.root_public_key), " of ", known.origin,
      "; the server now says ", hash(root.root_public_key), ". Everything below is held against the key that is known. "),
    el("button", { type: "button", onclick: accept }, "Trust the new key instead"));
    return;
  }
  const input = el("input", { id: "told", spellcheck: "false", autocomplete: "off", pattern: "[0-9a-f]{64}", required: true, placeholder: "64 hexadecimal digits" });
  const tell = (event) => { event.preventDefault(); trust.tell(root, input.value.trim()); start(); };
  const how = known.how === "told" ? "as you were told" : met === "first" ? "seen now for the first time: nobody vouches for it yet" : "the same as when first seen";
  notice.className = "";
  notice.replaceChildren(el("details", {}, el("summary", {}, "Root key ", hash(root.root_public_key), `, ${how}`),
    el("p", {}, el("code", { class: "whole" }, root.root_public_key)),
    el("form", { onsubmit: tell }, el("label", { for: "told" }, "Root key that somebody you trust told you"), input, el("button", {}, "Remember"))));
}

async function start() {
  await api.trustRoot().then((root) => tellTrust(root, trust.meet(root))).catch(() => notice.replaceChildren());
  await show();
}

document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const wanted = query.value.trim().toLowerCase();
  if (wanted) location.hash = `#/search/${encodeURIComponent(wanted)}`;
});
window.addEventListener("hashchange", show);
// A file that misses its place must not replace the page.
["dragover", "drop"].forEach((kind) => window.addEventListener(kind, (event) => event.preventDefault()));

document.getElementById("cryptography").textContent = await chooseCryptography();
await start();
