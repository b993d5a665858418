// Section 4 of docs/formats.md: keys and grants, as the events of the registry make them.
import { hex, sha256, unhex } from "./bytes.js";

const matches = (pattern, name) => pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : pattern === name;
const within = (made, version) => made.since <= version && version < (made.until ?? Infinity);

/** The registry that its events make (section 4): keys, grants, and who was the server when. */
export class Registry {
  keys = new Map(); grants = []; servers = []; domains = new Set(["ets.registry", "ets.audit"]);

  live(id, version, time) {
    const key = this.keys.get(id);
    return key && within(key, version) && (key.not_before ?? "") <= time && time <= (key.not_after ?? "9999-13") ? key : null;
  }
  /** The grant by which a key may append, or undefined. */
  grantFor(id, version, time, domain, schema, stream) {
    return this.live(id, version, time) && this.grants.find((grant) => grant.key_id === id && within(grant, version) &&
      grant.domain === domain && matches(grant.schemas, schema) && matches(grant.streams, stream));
  }
  serverAt(version) { return this.servers.findLast((each) => each.since <= version).id; }
  register(id, publicKey, since, more) { this.keys.set(id, { public_key: publicKey, since, ...more }); }

  async apply({ sequence: n, key_id: signer, timestamp, schema_version: kind, payload }) {
    const idOf = async (key) => hex(await sha256(unhex(key)));
    if (n === 1) {
      const [root, server] = [await idOf(payload.root_public_key), await idOf(payload.server_public_key)];
      this.register(server, payload.server_public_key, 1);
      this.register(root, payload.root_public_key, 1);
      this.grants.push({ key_id: root, domain: "ets.registry", schemas: "*", streams: "*", since: 1 });
      this.servers.push({ id: server, since: 1 });
      return signer === root;
    }
    // What is not about one domain is root's; of a bare header the domain is not known.
    const subject = /^ets\.(grant|grant_revocation|schema|schema_retirement)\//.test(kind) ? payload?.domain ?? null : undefined;
    const mayRegister = this.grants.some((grant) => grant.key_id === signer && grant.domain === "ets.registry" && within(grant, n - 1) &&
      (`${grant.schemas} ${grant.streams}` === "* *" || (subject !== undefined && matches(grant.schemas, kind) &&
        (subject === null || matches(grant.streams, subject)))));
    const rotatesItself = kind === "ets.key_rotation/1.0.0" && signer === payload.key_id;
    if (!this.live(signer, n - 1, timestamp) || !(mayRegister || rotatesItself)) return false;
    const handOver = (from, to) => this.grants.filter((grant) => grant.key_id === from && within(grant, n)).forEach((grant) => {
      this.grants.push({ ...grant, key_id: to, since: n }); grant.until = n;
    });
    const revoke = (id) => {
      this.keys.get(id).until ??= n;
      this.grants.filter((grant) => grant.key_id === id).forEach((grant) => grant.until ??= n);
      this.keys.forEach((key, next) => { if (key.rotated_from === id) revoke(next); });
    };
    switch (kind.split("/")[0]) {
      case "ets.domain": this.domains.add(payload.domain); break;
      case "ets.key": this.register(await idOf(payload.public_key), payload.public_key, n, payload); break;
      case "ets.key_rotation": case "ets.server_key": {
        const old = payload.key_id ?? this.servers.at(-1).id, id = await idOf(payload.public_key);
        const { not_after } = { ...(rotatesItself && this.keys.get(old)), ...payload };
        this.register(id, payload.public_key, n, { not_after, rotated_from: signer === old ? old : undefined });
        handOver(old, id);
        this.keys.get(old).until ??= n;
        if (!rotatesItself) this.servers.push({ id, since: n });
        break;
      }
      case "ets.key_revocation": revoke(payload.key_id); break;
      case "ets.grant": this.grants.push({ ...payload, since: n }); break;
      case "ets.grant_revocation":
        this.grants.filter((grant) => grant.key_id === payload.key_id && grant.domain === payload.domain && within(grant, n) &&
          matches(payload.schemas, grant.schemas) && matches(payload.streams, grant.streams)).forEach((grant) => grant.until ??= n);
    }
    return true;
  }
}
