// Whom this browser believes: the root key that it was told, or saw first.

const PLACE = "pg_ets trust root";

/** {ledger_id, origin, root_public_key, how}, `how` being `told` or `seen`; or null. */
export function remembered() {
  try {
    return JSON.parse(localStorage.getItem(PLACE));
  } catch {
    return null;
  }
}

const keep = (root, how) => localStorage.setItem(PLACE, JSON.stringify({ ...root, how }));

/** Remembers what the server says of itself the first time; whether it says the same since then. */
export function meet(root) {
  const known = remembered();
  if (known === null) keep(root, "seen");
  return known === null ? "first" : known.root_public_key === root.root_public_key && known.ledger_id === root.ledger_id ? "same" : "changed";
}

/** The key that somebody told: from now on the one that counts. */
export const tell = (root, key) => keep({ ...root, root_public_key: key }, "told");

/** Forgets, so that the next answer is a first one. */
export const forget = () => localStorage.removeItem(PLACE);

/** The root key to hold a bundle of the ledger `id` against, or undefined. */
export function keyFor(id) {
  const known = remembered();
  return known?.ledger_id === id ? known.root_public_key : undefined;
}
