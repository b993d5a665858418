// Prints, a JSON line each, realistic Zod schemas: as JSON Schema, with values
// and Zod's own verdict on each. tests/zod.rs compares the ledger's.
import * as z from "zod";
import { mutants } from "./mutants.mjs";

const Address = z.object({
  street: z.string().min(1).max(120),
  city: z.string().min(1),
  postcode: z.string().regex(/^[0-9A-Z -]{3,10}$/),
  country: z.enum(["DE", "FR", "GB", "US"]),
});
const address = { street: "High Street 1", city: "Leeds", postcode: "LS1 4AP", country: "GB" };

const Order = z.object({
  id: z.uuid(),
  customer: z.object({ name: z.string().min(1).max(80), email: z.email(), phone: z.e164().optional() }),
  lines: z.array(z.object({
    sku: z.string().regex(/^[A-Z]{3}-\d{4}$/),
    quantity: z.int().min(1).max(999),
    price: z.int().nonnegative(),
  })).min(1).max(20),
  ship_to: Address,
  bill_to: Address.nullable(),
  status: z.enum(["draft", "placed", "paid", "shipped"]),
  placed_at: z.iso.datetime(),
  note: z.string().max(200).nullish(),
});
const order = {
  id: "0190f8c4-2b5e-7c3a-9d41-6f1e2a3b4c5d",
  customer: { name: "Ada", email: "ada@example.com", phone: "+4915112345678" },
  lines: [{ sku: "ABC-0001", quantity: 2, price: 1999 }, { sku: "XYZ-9999", quantity: 1, price: 0 }],
  ship_to: address,
  bill_to: null,
  status: "placed",
  placed_at: "2026-11-23T10:00:00Z",
};

const Payment = z.discriminatedUnion("method", [
  z.object({ method: z.literal("card"), last_digits: z.string().length(4), amount: z.int().positive() }),
  z.object({ method: z.literal("transfer"), reference: z.string().min(1), amount: z.int().positive() }),
  z.strictObject({ method: z.literal("cash"), amount: z.int().positive().multipleOf(5) }),
]);

const Category = z.object({
  name: z.string().min(1),
  get children() {
    return z.array(Category);
  },
});

/** Zod and the ledger agree on every value. */
const agree = {
  order: [Order, order, { ...order, bill_to: address, note: null }],
  payment: [Payment,
    { method: "card", last_digits: "4242", amount: 100 },
    { method: "transfer", reference: "R1", amount: 1 },
    { method: "cash", amount: 25 }],
  category: [Category, { name: "a", children: [{ name: "b", children: [] }, { name: "c", children: [] }] }],
  strict: [z.strictObject({ a: z.string(), b: z.boolean().optional() }), { a: "x" }, { a: "x", b: true }],
  loose: [z.looseObject({ a: z.string() }), { a: "x", more: [1] }],
  catchall: [z.object({ a: z.string() }).catchall(z.number()), { a: "x", n: 1, m: 2.5 }],
  partial: [Address.partial(), {}, address],
  pick: [Address.pick({ city: true, country: true }), { city: "Rome", country: "FR" }],
  extend: [Address.extend({ floor: z.int32() }), { ...address, floor: -1 }],
  intersection: [z.intersection(z.object({ a: z.string() }), z.object({ b: z.int() })), { a: "x", b: 1 }],
  union: [z.union([z.string().min(2), z.int(), z.null()]), "ab", 7, null],
  tuple: [z.tuple([z.string(), z.number(), z.boolean()]), ["a", 1.5, true]],
  tuple_rest: [z.tuple([z.string()]).rest(z.int()), ["a"], ["a", 1, 2]],
  record: [z.record(z.string().regex(/^[a-z]+$/), z.int()), {}, { a: 1, bc: 2 }],
  record_enum: [z.record(z.enum(["read", "write"]), z.boolean()), { read: true, write: false }],
  record_partial: [z.partialRecord(z.enum(["read", "write"]), z.boolean()), {}, { read: true }],
  literal: [z.literal(["yes", "no", 1, true, null]), "yes", 1, true, null],
  native_enum: [z.enum({ Low: 1, High: 2 }), 1, 2],
  bounds: [z.number().gt(0).lte(100), 0.5, 100],
  cents: [z.number().multipleOf(0.01), 19.99, 0.1, -3],
  int32: [z.int32(), 2147483647, -2147483648],
  uint32: [z.uint32(), 4294967295, 0],
  defaults: [
    z.object({ limit: z.int().default(10), tags: z.array(z.string()).default([]), on: z.boolean().prefault(true) }),
    {}, { limit: 5, tags: ["a"], on: false }],
  transform: [z.object({ n: z.string().regex(/^\d+$/).transform(Number) }), { n: "12" }],
  pipe: [z.string().transform(text => text.length).pipe(z.number()), "abc"],
  readonly: [z.object({ a: z.string() }).readonly(), { a: "x" }],
  branded: [z.object({ id: z.string().brand("Id") }), { id: "x" }],
  json: [z.json(), { a: [1, null, "x"] }],
  template: [z.templateLiteral(["v", z.int().nonnegative(), ".", z.enum(["alpha", "beta"])]), "v1.beta", "v20.alpha"],
  nonempty: [z.array(z.string()).nonempty(), ["a"]],
  length: [z.array(z.int()).length(3), [1, 2, 3]],
  string_rules: [z.string().startsWith("ord_").endsWith("_x").includes("-"), "ord_-_x"],
  length_beyond_16_bits: [z.string().max(2), "ab", "😀😀", "😀😀😀"],
  lowercase: [z.string().lowercase(), "abc"],
  email: [z.email(), "ada@example.com", "a.b+c@sub.example.org"],
  uuid: [z.uuid(), order.id, "2c5ea4c0-4067-11e9-8bad-9b1deb4d3b7d"],
  uuidv7: [z.uuidv7(), order.id],
  datetime: [z.iso.datetime(), "2026-11-23T10:00:00Z", "2026-02-28T23:59:59.123Z"],
  datetime_offset: [z.iso.datetime({ offset: true }), "2026-11-23T10:00:00+02:00", "2026-11-23T10:00:00Z"],
  datetime_local: [z.iso.datetime({ local: true }), "2026-11-23T10:00:00Z", "2026-11-23T10:00:00"],
  time: [z.iso.time(), "10:00:00", "23:59:59.5"],
  date: [z.iso.date(), "2026-11-23", "2024-02-29"],
  ipv4: [z.ipv4(), "192.0.2.1"],
  ipv6: [z.ipv6(), "2001:db8::1"],
  cidrv4: [z.cidrv4(), "192.0.2.0/24"],
  base64: [z.base64(), "aGVsbG8=", ""],
  base64url: [z.base64url(), "aGVsbG8"],
  ulid: [z.ulid(), "01ARZ3NDEKTSV4RRFFQ69G5FAV"],
  nanoid: [z.nanoid(), "V1StGXR8_Z5jdHi6B-myT"],
  e164: [z.e164(), "+4915112345678"],
  sha256: [z.hash("sha256"), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
};

const secret = z.object({ password: z.string(), again: z.string() });

/** What Zod checks and its JSON Schema does not say, or says otherwise. */
const differ = {
  refine_object: [secret.refine(o => o.password === o.again), { password: "a", again: "a" }, { password: "a", again: "b" }],
  refine_unique: [z.array(z.int()).refine(list => new Set(list).size === list.length), [1, 2], [1, 1]],
  super_refine: [z.string().superRefine((text, ctx) => {
    if (text !== [...text].reverse().join("")) ctx.addIssue({ code: "custom" });
  }), "abba", "abc"],
  regex_flags: [z.string().regex(/^abc$/i), "abc", "ABC", "aBc"],
  trim: [z.string().trim().min(1), " x ", "   "],
  to_lower_case: [z.string().toLowerCase().regex(/^[a-z]+$/), "abc", "ABC"],
  catch: [z.object({ n: z.int().catch(0) }), { n: 1 }, { n: "one" }],
  coerce: [z.object({ n: z.coerce.number() }), { n: 1 }, { n: "12" }],
  stringbool: [z.stringbool(), "true", "off", "maybe"],
  url: [z.url(), "https://example.com/a?b=c", "https://example.com/a b", "https://例え.jp/"],
};

/** Patterns with look-ahead have no linear-time evaluation: not registered. */
const lookahead = {
  duration: [z.iso.duration(), "P1DT2H"],
  hostname: [z.hostname(), "example.com"],
  emoji: [z.emoji(), "😀"],
};

/** Types of JavaScript that JSON does not have: Zod refuses to export them. */
const unrepresentable = {
  bigint: z.bigint(),
  date: z.date(),
  custom: z.custom(() => true),
  map: z.map(z.string(), z.int()),
  nan: z.nan(),
  set: z.set(z.string()),
  symbol: z.symbol(),
  undefined: z.undefined(),
  void: z.void(),
};

function print(line) {
  console.log(JSON.stringify(line));
}

for (const [part, schemas] of Object.entries({ agree, differ, lookahead })) {
  for (const [name, [schema, ...examples]] of Object.entries(schemas)) {
    const values = [...examples, ...mutants(name, examples, 40)];
    const cases = values.map(value => ({ value, accepted: schema.safeParse(value).success }));
    print({ part, name, schema: z.toJSONSchema(schema, { io: "input" }), cases });
  }
}
for (const [name, schema] of Object.entries(unrepresentable)) {
  let error = null;
  try {
    z.toJSONSchema(z.object({ field: schema }), { io: "input" });
  } catch (refusal) {
    error = refusal.message;
  }
  print({ part: "unrepresentable", name, error });
}
