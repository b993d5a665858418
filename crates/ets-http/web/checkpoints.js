// Checkpoints: each MetaRoot is computed here, and each tree shown to continue the one before.
import * as api from "./api.js";
import { continues, hex, metaRootBytes, sha256, unhex } from "./bytes.js";
import { at, el, facts, hash, link, number, table, time } from "./dom.js";
import { sign } from "./listing.js";
import { banner, showSteps } from "./steps.js";

/** The statement whose hash the MetaRoot is; the listing calls a root `root_hash`. */
const statement = ({ checkpoint_event_id, domain_roots }) => ({
  version: "1.1", checkpoint_event_id, domain_roots: domain_roots.map((each) => ({ ...each, root: each.root_hash })),
});

async function checkMetaRoot(checkpoint) {
  const over = metaRootBytes(statement(checkpoint)), computed = await sha256(over);
  return ["meta_root", hex(computed) === checkpoint.meta_root, { over, computed, given: checkpoint.meta_root }];
}

/** Whether a domain's tree continues the one that it had in the checkpoint before. */
async function checkGrowth({ domain, tree_size: size, root_hash: root }, before) {
  const first = before?.domain_roots.find((each) => each.domain === domain);
  if (first === undefined) return ["new in this checkpoint", true];
  if (first.tree_size === size) return ["as it was", first.root_hash === root];
  if (first.tree_size === 0) return [`${number(size)} more`, true];
  const { proof } = await api.consistency(domain, first.tree_size, size);
  const isMore = await continues(first.tree_size, unhex(first.root_hash), size, unhex(root), proof.map(unhex)).catch(() => false);
  return [`${number(size - first.tree_size)} more`, isMore];
}

const item = async (checkpoint) => {
  const [, passed] = await checkMetaRoot(checkpoint).catch(() => ["", false]);
  const events = checkpoint.domain_roots.reduce((total, { tree_size }) => total + tree_size, 0);
  return el("li", {}, sign(passed), el("div", {}, link(at.checkpoint(checkpoint.checkpoint_id), `Checkpoint ${checkpoint.checkpoint_id}`), " ",
    time(checkpoint.created_at), el("div", { class: "quiet" }, `${number(events)} events in ${checkpoint.domain_roots.length} domains · MetaRoot `, hash(checkpoint.meta_root))));
};

export async function checkpointsView() {
  const list = el("ol", { class: "timeline" }), button = el("button", { type: "button" }, "Earlier");
  let before;
  const more = async () => {
    const { checkpoints, next } = await api.checkpoints(before);
    list.append(...await Promise.all(checkpoints.map(item)));
    before = next;
    button.hidden = next === null || next === undefined;
  };
  button.addEventListener("click", more);
  await more();
  return [
    el("h1", {}, "Checkpoints"),
    list.children.length === 0 ? el("p", { class: "quiet" }, "Nothing is sealed yet.")
      : el("p", {}, "Newest first. Each MetaRoot was computed again from the roots of all domains."),
    list, button,
  ];
}

export async function checkpointView(id) {
  const { checkpoints } = await api.checkpoints(Number(id) + 1, 2);
  const [checkpoint, before] = checkpoints;
  if (String(checkpoint?.checkpoint_id) !== id) throw new Error(`There is no checkpoint ${id}.`);
  const checks = [await checkMetaRoot(checkpoint)];
  const rows = await Promise.all(checkpoint.domain_roots.map(async (each) => {
    const [words, passed] = await checkGrowth(each, before).catch((error) => [error.message, false]);
    return [link(at.domain(each.domain), each.domain), number(each.tree_size), hash(each.root_hash), [sign(passed), " ", words]];
  }));
  return [
    el("h1", {}, `Checkpoint ${id}`),
    facts([["Sealed", time(checkpoint.created_at)], ["Last event", link(at.event(checkpoint.checkpoint_event_id), checkpoint.checkpoint_event_id)],
      ["MetaRoot", el("code", { class: "whole" }, checkpoint.meta_root)]]),
    el("h2", {}, "Domains"),
    table("Domains", ["Domain", "Events", "Root", before ? `Since checkpoint ${before.checkpoint_id}` : "Since the beginning"], rows),
    el("h2", {}, "Verified in this browser"), banner(checks), showSteps(checks),
  ];
}
