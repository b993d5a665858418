// A bundle or document from a file: nothing of it leaves the page.
import { el } from "./dom.js";
import { banner, showSteps } from "./steps.js";
import { keyFor, remembered } from "./trust.js";
import { verify } from "./verify.js";

const LARGEST = 64 * 1024 * 1024;

/** The ledger that a text says it is of; malformed text fails in its verification. */
function ledgerOf(source) {
  try {
    return JSON.parse(source).trust_root.ledger_id;
  } catch {
    return undefined;
  }
}

export function fileView() {
  const result = el("div", { "aria-live": "polite" });
  const key = el("input", { id: "key", spellcheck: "false", autocomplete: "off", placeholder: "64 hexadecimal digits", "aria-describedby": "key-help" });
  const input = el("input", { id: "file", type: "file", accept: ".json,application/json" });
  let file = null;
  const run = async () => {
    if (file === null) return;
    if (file.size > LARGEST) return void result.replaceChildren(el("p", {}, "This file is larger than 64 MiB: use the program ets verify."));
    const source = await file.text(), told = key.value.trim().toLowerCase(), known = keyFor(ledgerOf(source));
    const checks = await verify(source, told || known);
    const whom = told ? "Held against the root key that you entered."
      : known ? `Held against the root key that this browser ${remembered().how === "told" ? "was told" : "saw first"} for this ledger.`
        : "No root key is known for this ledger: a bundle’s own root key is all there is, so it vouches for itself.";
    result.replaceChildren(el("h2", {}, file.name), checks.some(([name]) => name === "trust_root") ? el("p", {}, whom) : "", banner(checks), showSteps(checks));
  };
  const take = (files) => { if (files.length > 0) { [file] = files; run(); } };
  input.addEventListener("change", () => take(input.files));
  key.addEventListener("input", run);
  const over = (isOver) => (event) => { event.preventDefault(); box.classList.toggle("over", isOver); };
  const box = el("div", { class: "drop", ondragover: over(true), ondragleave: over(false), ondrop: (event) => {
    over(false)(event);
    take(event.dataTransfer.files);
  } }, el("p", {}, el("label", { for: "file" }, "Drop a proof bundle, a stream bundle or an event document here, or choose one:")), input);
  return [
    el("h1", {}, "Verify a file"),
    el("p", {}, "Nothing leaves this page, and the server is not asked."),
    box,
    el("p", {}, el("label", { for: "key" }, "Root key that somebody you trust told you"), key,
      el("small", { id: "key-help", class: "quiet" }, "Left empty: the key that this browser knows for the bundle’s ledger, if it knows one.")),
    result,
  ];
}
