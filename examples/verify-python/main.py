"""python main.py verify ROOT_KEY BUNDLE…
python main.py sign KEY_FILE PAYLOAD PREVIOUS_HASH

Exits with 0 if every check passes, 1 if one fails, 2 if it cannot be done.
"""

import json
import sys

from verify import sign, verify


def show(path, root_key):
    with open(path, "rb") as file:
        text = file.read()
    try:
        checks = verify(text, root_key)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        # What a check stumbles over is no bundle.
        checks = [(f"format: {error!r}", False)]
    for name, passed in checks:
        print("ok    " if passed else "FAILED", name)
    is_match = all(passed for _, passed in checks)
    print(f"{path}: " + ("MATCH (schema and rules are not judged here)" if is_match else "MISMATCH"))
    return 0 if is_match else 1


def main(arguments):
    match arguments:
        case ["verify", root_key, _, *_]:
            return max(show(path, root_key) for path in arguments[2:])
        case ["sign", path, payload, previous]:
            with open(path, "rb") as file:
                print(json.dumps(sign(json.loads(payload), bytes.fromhex(previous), file.read())))
            return 0
        case _:
            raise SystemExit(f"usage: {__doc__}")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
