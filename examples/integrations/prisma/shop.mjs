// Places orders: a row of the application and a signed event of the ledger, in one
// transaction. Connection by libpq's variables, the key by ETS_KEY (PKCS #8 PEM).
//
//   node shop.mjs place|fail|again ORDER CENTS
import { createHash, createPrivateKey, createPublicKey, randomUUID, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { PrismaPg } from "@prisma/adapter-pg";
import { PrismaClient } from "@prisma/client";
import canonicalize from "canonicalize";

const { PGHOST: host, PGPORT: port, PGUSER: user, PGDATABASE: database, ETS_KEY } = process.env;
const prisma = new PrismaClient({ adapter: new PrismaPg({ host, port: Number(port), user, database }) });
const key = createPrivateKey(readFileSync(ETS_KEY));
// The last 32 bytes of the public key's DER are the key (RFC 8410).
const publicKey = createPublicKey(key).export({ type: "spki", format: "der" }).subarray(-32);

// Signs an event onto the head of its stream and appends it, in the transaction tx;
// answers its id. SHA-256 over the canonical payload (RFC 8785) and the hash before
// is what is signed; the server computes the same and verifies.
async function append(tx, payload, schemaVersion) {
  const canonical = canonicalize(payload);
  const [{ head_hash: previous }] = await tx.$queryRaw`SELECT head_hash FROM ets.head('orders', ${payload.order})`;
  const hash = createHash("sha256").update(canonical).update(previous).digest();
  const signature = sign(null, hash, key);
  const [{ event_id: eventId }] = await tx.$queryRaw`SELECT event_id FROM ets.append(${canonical}::jsonb, ${schemaVersion},
    ${publicKey}::bytea, ${previous}::bytea, ${signature}::bytea)`;
  return eventId;
}

// The SQLSTATE that PostgreSQL gave, wherever Prisma has put it.
const sqlstate = (error) => error?.meta?.driverAdapterError?.cause?.originalCode ?? error?.meta?.code;

// The whole transaction again where another event was faster (ET005) or PostgreSQL
// asks for it. Who asks again after a lost answer does so with the same request,
// finds the application's row, and with it the event.
async function place(requestId, order, cents, fails) {
  for (;;) {
    try {
      return await prisma.$transaction(async (tx) => {
        const placed = await tx.placed.findUnique({ where: { requestId } });
        if (placed) return placed.eventId;
        // With the request in it: two orders that are alike but for it are two events.
        const eventId = await append(tx, { request: requestId, order, cents }, "order/1.0.0");
        await tx.placed.create({ data: { requestId, orderId: order, cents, eventId } });
        if (fails) throw new Error("out of stock");
        return eventId;
      });
    } catch (error) {
      if (!["ET005", "40001", "40P01"].includes(sqlstate(error)) && error?.code !== "P2034") throw error;
    }
  }
}

const [command, order, cents] = process.argv.slice(2);
const requestId = randomUUID();
try {
  for (let i = 0; i < (command === "again" ? 2 : 1); i++) { // twice, as after a lost answer
    console.log(await place(requestId, order, Number(cents), command === "fail"));
  }
} finally {
  await prisma.$disconnect();
}
