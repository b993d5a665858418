"""The registry of a ledger (docs/formats.md, section 4): who may write what, at every version."""

import sys
from hashlib import sha256

REGISTRY, AUDIT = "ets.registry", "ets.audit"


def id_of(public_key):
    return sha256(bytes.fromhex(public_key)).hexdigest()


def matches(pattern, name):
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else pattern == name


def within(made, version):
    return made["since"] <= version < made.get("until", sys.maxsize)


class Registry:
    """What the registry's events make (section 4): keys, grants, who was the server when."""

    def __init__(self):
        self.keys, self.grants, self.servers, self.domains = {}, [], [], {REGISTRY, AUDIT}

    def is_live(self, key_id, version, time):
        key = self.keys.get(key_id)
        return key and within(key, version) and key.get("not_before", "") <= time <= key.get("not_after", "9999-13")

    def grants_of(self, key_id, domain, version):
        return [g for g in self.grants if (g["key_id"], g["domain"]) == (key_id, domain) and within(g, version)]

    def may(self, key_id, version, time, domain, schema, stream):
        admits = (matches(g["schemas"], schema) and matches(g["streams"], stream) for g in self.grants_of(key_id, domain, version))
        return bool(self.is_live(key_id, version, time)) and any(admits)

    def may_register(self, event, kind, payload):
        # What is not about one domain is root's; of a bare header the domain is not known.
        of_domain = kind in ("ets.grant", "ets.grant_revocation", "ets.schema", "ets.schema_retirement")
        subject = payload.get("domain") if payload else None
        return any(
            (g["schemas"], g["streams"]) == ("*", "*")
            or of_domain and matches(g["schemas"], event["schema_version"]) and (subject is None or matches(g["streams"], subject))
            for g in self.grants_of(event["key_id"], REGISTRY, event["sequence"] - 1)
        )

    def revoke(self, key_id, version):
        for made in [self.keys[key_id], *(g for g in self.grants if g["key_id"] == key_id)]:
            made.setdefault("until", version)
        for other in [other for other, key in self.keys.items() if key.get("rotated_from") == key_id]:
            self.revoke(other, version)

    def apply(self, event):
        n, signer, payload = event["sequence"], event["key_id"], event.get("payload")
        kind = event["schema_version"].split("/")[0]
        public_key = (payload or {}).get("public_key", "")
        key_id = id_of(public_key)
        if n == 1:
            for key in (payload["server_public_key"], payload["root_public_key"]):
                self.keys[root := id_of(key)] = {"public_key": key, "since": 1}
            self.servers.append((1, id_of(payload["server_public_key"])))
            self.grants.append({"key_id": root, "domain": REGISTRY, "schemas": "*", "streams": "*", "since": 1})
            return signer == root
        rotates_itself = kind == "ets.key_rotation" and signer == payload["key_id"]
        if not self.is_live(signer, n - 1, event["timestamp"]) or not (rotates_itself or self.may_register(event, kind, payload)):
            return False
        if kind == "ets.domain":
            self.domains.add(payload["domain"])
        elif kind == "ets.key":
            self.keys[key_id] = {**payload, "since": n}
        elif kind in ("ets.key_rotation", "ets.server_key"):
            old = payload.get("key_id") or self.servers[-1][1]
            ends = {"not_after": self.keys[old]["not_after"]} if rotates_itself and "not_after" in self.keys[old] else {}
            origin = {"rotated_from": old} if signer == old else {}
            self.keys[key_id] = {**ends, **payload, **origin, "since": n}
            for grant in [g for g in self.grants if g["key_id"] == old and within(g, n)]:
                self.grants.append({**grant, "key_id": key_id, "since": n})
                grant["until"] = n
            self.keys[old].setdefault("until", n)
            if not rotates_itself:
                self.servers.append((n, key_id))
        elif kind == "ets.key_revocation":
            self.revoke(payload["key_id"], n)
        elif kind == "ets.grant":
            self.grants.append({**payload, "since": n})
        elif kind == "ets.grant_revocation":
            for grant in self.grants_of(payload["key_id"], payload["domain"], n):
                if matches(payload["schemas"], grant["schemas"]) and matches(payload["streams"], grant["streams"]):
                    grant["until"] = n
        return True

    def server(self, version):
        return [key_id for since, key_id in self.servers if since <= version][-1]
