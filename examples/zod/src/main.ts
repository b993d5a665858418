import { writeFileSync } from "node:fs";
import pg from "pg";
import { Key } from "./key.js";
import { append, prove, register, registerKey } from "./ledger.js";
import { Order, orderEvent } from "./order.js";

const client = new pg.Client(); // PGHOST, PGDATABASE, PGUSER …
await client.connect();
const key = Key.at("actor.pem");
await register(client, orderEvent);
await registerKey(client, key, "shop backend", orderEvent.domain);

const order: Order = Order.parse({
  schema: "shop-order/1.0.0",
  order: "0190f8c4-2b5e-7c3a-9d41-6f1e2a3b4c5d",
  customer: { name: "Ada", email: "ada@example.com" },
  lines: [{ sku: "ABC-0001", quantity: 2, price_cents: 1999 }],
  status: "placed",
});
const event = await append(client, orderEvent, key, order);
console.log(`appended ${event.event_id} to stream ${event.stream}, sequence ${event.sequence}`);

// Zod refuses in the application, with a message for its user …
const wrong = structuredClone(order);
wrong.lines[0]!.quantity = 0;
const parsed = Order.safeParse(wrong);
console.log(`refused before signing: ${parsed.error!.issues[0]!.path.join(".")}`);
// … and the ledger refuses whoever does not ask Zod.
try {
  await append(client, orderEvent, key, wrong);
} catch (error) {
  if (!(error instanceof pg.DatabaseError)) throw error;
  const { violations } = JSON.parse(error.detail!);
  console.log(`refused by the ledger: ${error.code} ${violations[0].instance_pointer}`);
}

writeFileSync("order.bundle.json", await prove(client, event.event_id));
const { rows: [trust] } = await client.query("SELECT ets.trust_root() ->> 'root_public_key' AS root");
console.log(`proved: ets verify --root-key ${trust.root} order.bundle.json`);
await client.end();
