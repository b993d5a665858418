// The ledger as an application sees it: register, sign and append, prove.
import { createHash } from "node:crypto";
import canonicalize from "canonicalize";
import { DatabaseError, type Client } from "pg";
import * as z from "zod";
import type { Key } from "./key.js";

export interface EventType {
  schemaVersion: string;
  domain: string;
  schema: z.ZodType;
  streamPointer: string;
  schemaPointer: string;
}

export interface Appended {
  event_id: string;
  stream: string;
  sequence: string; // bigint
}

/** Registers domain and schema where they are not registered yet. An administrator's work. */
export async function register(client: Client, type: EventType): Promise<void> {
  const domains = await client.query("SELECT FROM ets.domain WHERE domain = $1", [type.domain]);
  if (domains.rowCount === 0) await client.query("SELECT ets.create_domain($1)", [type.domain]);
  const schemas = await client.query("SELECT FROM ets.schema_version WHERE name = $1", [type.schemaVersion]);
  if (schemas.rowCount === 0) {
    // "input": what is submitted, before defaults and transforms. What has no
    // JSON Schema (a Date, a Map) throws here; see docs/zod.md.
    const schema = z.toJSONSchema(type.schema, { io: "input" });
    await client.query("SELECT ets.register_schema($1, $2, $3, $4, $5)",
      [type.schemaVersion, type.domain, JSON.stringify(schema), type.streamPointer, type.schemaPointer]);
  }
}

/** Lets a key append to a domain. An administrator's work, too. */
export async function registerKey(client: Client, key: Key, owner: string, domain: string): Promise<void> {
  const known = await client.query("SELECT FROM ets.signing_key WHERE key_id = ets.key_id($1)", [key.publicKey]);
  if (known.rowCount !== 0) return;
  await client.query("SELECT ets.register_key($1, $2)", [key.publicKey, owner]);
  await client.query("SELECT ets.grant_authority(ets.key_id($1), $2)", [key.publicKey, domain]);
}

/** Signs a payload onto its stream's head and appends it. */
export async function append(client: Client, type: EventType, key: Key, payload: unknown): Promise<Appended> {
  for (;;) {
    const { rows: [prepared] } = await client.query(
      "SELECT previous_hash, current_hash FROM ets.prepare($1, $2)", [JSON.stringify(payload), type.schemaVersion]);
    // Sign what you mean, not what you are told: the hash is computed here.
    const hash = createHash("sha256").update(canonicalize(payload)!).update(prepared.previous_hash).digest();
    if (!hash.equals(prepared.current_hash)) throw new Error("the server hashes another payload");
    try {
      const { rows: [event] } = await client.query(
        "SELECT event_id, stream, sequence FROM ets.append($1, $2, $3, $4, $5)",
        [JSON.stringify(payload), type.schemaVersion, key.publicKey, prepared.previous_hash, key.sign(hash)]);
      return event;
    } catch (error) {
      // ET005: another event came first. Sign again, onto the new head.
      if (!(error instanceof DatabaseError && error.code === "ET005")) throw error;
    }
  }
}

/** Seals what is committed, and gives the proof of an event: verifiable without this database. */
export async function prove(client: Client, eventId: string): Promise<string> {
  await client.query("SELECT ets.seal()");
  const { rows: [row] } = await client.query("SELECT ets.proof_bundle($1)::text AS bundle", [eventId]);
  return row.bundle;
}
