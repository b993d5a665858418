"""What the reference library reads in a proof: `read.py PROOF FILE [HEADER]`.

Fails unless the proof is of the file. Prints each attestation: `pending URI`, or
`bitcoin HEIGHT`, and the time where the header proves it.
"""

import sys

from bitcoin.core import CBlockHeader
from opentimestamps.core.notary import BitcoinBlockHeaderAttestation, PendingAttestation
from opentimestamps.core.op import OpSHA256
from opentimestamps.core.serialize import BytesDeserializationContext
from opentimestamps.core.timestamp import DetachedTimestampFile

proof, file, *header = sys.argv[1:]
with open(proof, "rb") as opened:
    context = BytesDeserializationContext(opened.read())
detached = DetachedTimestampFile.deserialize(context)
context.assert_eof()
with open(file, "rb") as opened:
    assert detached.file_digest == OpSHA256().hash_fd(opened), "another file"
for message, attestation in sorted(detached.timestamp.all_attestations(), key=str):
    if isinstance(attestation, PendingAttestation):
        print("pending", attestation.uri)
    elif isinstance(attestation, BitcoinBlockHeaderAttestation):
        print("bitcoin", attestation.height, end="")
        if header:
            block = CBlockHeader.deserialize(bytes.fromhex(header[0]))
            print("", attestation.verify_against_blockheader(message, block), end="")
        print()
    else:
        raise SystemExit(f"unexpected: {attestation}")
