// An event type: what the application checks, and what the ledger will.
import * as z from "zod";

export const Order = z.strictObject({
  schema: z.literal("shop-order/1.0.0"),
  order: z.uuid(),
  customer: z.object({ name: z.string().min(1).max(80), email: z.email() }),
  lines: z.array(z.object({
    sku: z.string().regex(/^[A-Z]{3}-[0-9]{4}$/),
    quantity: z.int().min(1).max(999),
    // Minor units: the ledger refuses numbers that a double does not hold exactly.
    price_cents: z.int().nonnegative(),
  })).min(1),
  status: z.enum(["placed", "paid", "shipped"]),
});

export type Order = z.infer<typeof Order>;

/** What the ledger is told of it. */
export const orderEvent = {
  schemaVersion: "shop-order/1.0.0",
  domain: "shop",
  schema: Order,
  // The payload names its stream and its schema version: so both are signed.
  streamPointer: "/order",
  schemaPointer: "/schema",
};
