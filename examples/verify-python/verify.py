"""Verifies a proof bundle of pg_ets, and signs events: from docs/formats.md alone.

Needs rfc8785 and cryptography. Does not judge JSON Schemas and rules.
"""

import base64
import json
from hashlib import sha256

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from registry import AUDIT, REGISTRY, Registry

unhex = bytes.fromhex
# The points of small order in all their encodings, without the sign bit.
SMALL_ORDER = {unhex(low + "00" * 31) for low in ("01", "00")}
SMALL_ORDER |= {unhex(low + "ff" * 30 + "7f") for low in ("ec", "ed", "ee")}
SMALL_ORDER |= {
    unhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    unhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
}


def digest(*parts):
    return sha256(b"".join(parts)).digest()


def encode(value):
    value = value.encode() if isinstance(value, str) else value
    return len(value).to_bytes(4, "big") + value


def event_hash(payload, previous):
    return digest(rfc8785.dumps(payload), previous)


def leaf_hash(event):
    return digest(b"\0", rfc8785.dumps({name: value for name, value in event.items() if name != "payload"}))


def node(left, right):
    return digest(b"\1", left, right)


def is_small_order(point):
    return point[:31] + bytes([point[31] & 127]) in SMALL_ORDER


def is_signature(public_key, message, signature):
    if len(signature) != 64 or is_small_order(public_key) or is_small_order(signature[:32]):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
        return True
    except InvalidSignature:
        return False


def is_signed(event):
    key = unhex(event["public_key"])
    signed = is_signature(key, unhex(event["current_hash"]), unhex(event["signature"]))
    return digest(key).hex() == event["key_id"] and signed


def sign(payload, previous, pem):
    """An event's hash, and its signature by a PKCS #8 key: what ets.append wants."""
    current = event_hash(payload, previous)
    signature = load_pem_private_key(pem, None).sign(current)
    return {"payload": rfc8785.dumps(payload).decode(), "current_hash": current.hex(), "signature": signature.hex()}


def root_of_path(leaf, index, size, path):
    """The root that a path leads to (RFC 9162, section 2.1.3.2)."""
    fn, sn, root = index, size - 1, leaf
    for sibling in path:
        if fn > sn or sn == 0:
            return None
        if fn & 1 or fn == sn:
            root = node(sibling, root)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            root = node(root, sibling)
        fn, sn = fn >> 1, sn >> 1
    return root if sn == 0 and fn == 0 else None


def continues(first, first_root, size, root, path):
    """Whether a tree continues another (RFC 9162, section 2.1.4.2)."""
    if first in (0, size):
        return not path and (first == 0 or first_root == root)
    if first > size or not path:
        return False
    path = path if first & (first - 1) else [first_root, *path]
    fn, sn = first - 1, size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            old, new = node(sibling, old), node(sibling, new)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            new = node(new, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and old == first_root and new == root


def tree_root(leaves):
    if len(leaves) < 2:
        return leaves[0] if leaves else digest()
    left = 1 << (len(leaves) - 1).bit_length() - 1
    return node(tree_root(leaves[:left]), tree_root(leaves[left:]))


def verify(text, root_key):
    """The checks of section 8 as (name, passed); root_key is what somebody you trust told you, in hex."""
    bundle, registry = json.loads(text), Registry()
    # As the ledger writes it, so that no duplicate member or inexact number hides in it.
    if bundle.get("format") != "ets-proof-bundle/1" or rfc8785.dumps(bundle) != text.strip():
        return [("format", False)]
    event, checkpoint, trust = bundle["event"], bundle["checkpoint"], bundle["trust_root"]
    events = bundle["registry"]["events"]
    checks = [("format", True), ("trust_root", trust["root_public_key"] == root_key)]
    checks.append(("hash", event_hash(event["payload"], unhex(event["previous_hash"])).hex() == event["current_hash"]))
    checks.append(("signature", is_signed(event)))

    genesis = ("ETS genesis", "1.1", trust["ledger_id"], REGISTRY, "main")
    previous = digest(*map(encode, genesis)).hex()
    is_sound = trust.items() <= events[0]["payload"].items()
    for place, entry in enumerate(events, 1):
        is_next = (entry["sequence"], entry["previous_hash"]) == (place, previous)
        hashes = "payload" not in entry or event_hash(entry["payload"], unhex(previous)).hex() == entry["current_hash"]
        is_sound = is_sound and is_next and hashes and is_signed(entry) and registry.apply(entry)
        previous = entry["current_hash"]
    checks.append(("registry", is_sound))

    domain, version = event["domain"], event["registry_version"]
    if domain == REGISTRY:
        authority = any(entry["current_hash"] == event["current_hash"] for entry in events)
    elif domain == AUDIT:
        authority = registry.server(version) == event["key_id"]
    else:
        place = (domain, event["schema_version"], event["stream"])
        authority = registry.may(event["key_id"], version, event["timestamp"], *place)
    checks.append(("authority", authority))

    roots = {root["domain"]: (root["tree_size"], unhex(root["root"])) for root in checkpoint["domain_roots"]}
    (size, root), (all_size, all_root) = roots[domain], roots[REGISTRY]
    inclusion, path = bundle["inclusion"], [unhex(hash) for hash in bundle["inclusion"]["path"]]
    checks.append(("inclusion", root_of_path(leaf_hash(event), inclusion["leaf_index"], size, path) == root))
    leaves, path = [leaf_hash(entry) for entry in events], [unhex(hash) for hash in bundle["registry"]["consistency"]]
    checks.append(("registry_inclusion", continues(len(leaves), tree_root(leaves), all_size, all_root, path)))

    ordered = [encode(name) + size.to_bytes(8, "big") + encode(root) for name, (size, root) in roots.items()]
    head = encode(checkpoint["version"]) + encode(checkpoint["checkpoint_event_id"]) + len(roots).to_bytes(4, "big")
    meta_root = digest(head, *ordered)
    is_whole = registry.domains <= roots.keys() and event["event_id"] <= checkpoint["checkpoint_event_id"]
    checks.append(("meta_root", is_whole and meta_root.hex() == checkpoint["meta_root"]))

    name, b64 = f"{trust['origin']}/{domain}", lambda hash: base64.b64encode(hash).decode()
    body, _, signatures = checkpoint.get("note", "").partition("\n\n")
    stated = f"{name}\n{size}\n{b64(root)}\nets-metaroot {b64(meta_root)}"
    key = registry.keys[registry.server(len(events))]
    lines = [line.split(" ")[2] for line in signatures.splitlines() if line.startswith(f"— {name} ")]
    is_by_server = any(is_signature(unhex(key["public_key"]), f"{body}\n".encode(), base64.b64decode(line)[4:]) for line in lines)
    checks.append(("note", body == stated and "until" not in key and is_by_server))
    return checks
