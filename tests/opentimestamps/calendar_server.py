"""A calendar that speaks the real protocol, of the reference library's own parts, and
the block chain that it commits to: blocks of the least difficulty.

It prints its URL, and serves the protocol's POST /digest and GET /timestamp/COMMITMENT. A
line on standard input is how to answer from now on, or `mine`; it is answered with a line:
the header of the new block. It ends when its standard input does.
"""

import os
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bitcoin.core import CBlockHeader
from opentimestamps.core.notary import (
    BitcoinBlockHeaderAttestation,
    PendingAttestation,
    UnknownAttestation,
)
from opentimestamps.core.op import OpAppend, OpPrepend, OpSHA256
from opentimestamps.core.serialize import BytesSerializationContext
from opentimestamps.core.timestamp import Timestamp, cat_sha256d, make_merkle_tree

EASIEST = 0x207FFFFF
MINED_AT = 1_800_000_000

waiting = []  # timestamps of commitments that are in no block
fulfilled = {}  # commitment: its timestamp, up to the block
height = 900_000
mode = "well"


def to_bytes(timestamp):
    context = BytesSerializationContext()
    timestamp.serialize(context)
    return context.getbytes()


def promise(digest, calendar):
    """The path from a digest to the commitment, as a calendar makes it; and that commitment."""
    timestamp = Timestamp(digest)
    after = timestamp.ops.add(OpPrepend(struct.pack(">L", int(time.time()))))
    commitment = after.ops.add(OpAppend(os.urandom(8)))
    commitment.attestations.add(PendingAttestation(calendar))
    return timestamp, Timestamp(commitment.msg)


def mine():
    """A block with a transaction for all that waits; the line of its header."""
    global height
    height += 1
    root = make_merkle_tree(waiting or [Timestamp(os.urandom(32))])
    transaction = root.ops.add(OpPrepend(os.urandom(60))).ops.add(OpAppend(bytes(4)))
    transaction = transaction.ops.add(OpSHA256()).ops.add(OpSHA256())
    merkle_root = cat_sha256d(transaction, Timestamp(os.urandom(32)))
    merkle_root.attestations.add(BitcoinBlockHeaderAttestation(height))
    for timestamp in waiting:
        fulfilled[timestamp.msg] = timestamp
    waiting.clear()
    return f"{height} {header(merkle_root.msg).hex()}"


def header(merkle_root):
    for nonce in range(1 << 32):
        block = CBlockHeader(
            hashMerkleRoot=merkle_root, nTime=MINED_AT, nBits=EASIEST, nNonce=nonce
        )
        if block.GetHash()[::-1] <= b"\x7f\xff\xff" + bytes(29):
            return block.serialize()


class Calendar(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/digest" or len(body) != 32:
            self.answer(400, b"digest of 32 bytes wanted")
        elif not self.misbehaves():
            url = {"stranger": "https://other.example"}.get(mode, URL)
            timestamp, commitment = promise(body, url)
            if mode == "nothing":
                timestamp = Timestamp(body)
                timestamp.attestations.add(UnknownAttestation(b"unknown!", b"trust me"))
            else:
                waiting.append(commitment)
            self.answer(200, to_bytes(timestamp))

    def do_GET(self):
        commitment = bytes.fromhex(self.path.removeprefix("/timestamp/"))
        if self.misbehaves():
            return
        if mode == "again":
            timestamp = Timestamp(commitment)
            timestamp.attestations.add(PendingAttestation(URL))
            self.answer(200, to_bytes(timestamp))
        elif commitment not in fulfilled:
            known = any(commitment == timestamp.msg for timestamp in waiting)
            says = b"Pending confirmation in Bitcoin blockchain" if known else b"Commitment not found"
            self.answer(404, says + b"\nmore")
        elif mode == "replayed":
            # What leads to the block from something else.
            other = Timestamp(os.urandom(len(commitment)))
            beyond = other.ops.add(OpSHA256())
            beyond.attestations.add(BitcoinBlockHeaderAttestation(height))
            self.answer(200, to_bytes(other))
        else:
            self.answer(200, to_bytes(fulfilled[commitment]))

    def misbehaves(self):
        """Whether it did something else than answer."""
        if mode == "garbage":
            self.answer(200, b"<html>welcome to our hotel</html>")
        elif mode == "broken":
            self.answer(503, b"back soon\x1b[31m")
        elif mode == "refusing":
            self.answer(400, b"no")
        elif mode == "endless":
            self.answer(200, b"\xf2" * 1_000_000)
        elif mode == "slow":
            time.sleep(4)
        elif mode == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"\xf0\x08")
        else:
            return False
        return True

    def answer(self, status, body):
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.opentimestamps.v1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # whoever asked had enough

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Calendar)
server.daemon_threads = True
URL = f"http://127.0.0.1:{server.server_port}"
print(URL, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
for line in sys.stdin:
    order = line.strip()
    if order == "mine":
        print(mine(), flush=True)
    else:
        mode = order
        print(mode, flush=True)
