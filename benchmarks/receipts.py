"""Measure what the digest of an answer costs beside one row by id: `python -m benchmarks.receipts`."""

import time
from collections.abc import Callable

import orjson

from benchmarks.verify_log import build_line
from onedoor.audit.merkle import MerkleTree, hash_line_leaf
from onedoor.http.negotiation import JSON
from onedoor.http.responses import encode_response

ROUNDS = 200_000
DATA = {"customer": {"name": "Tramontana Interiors Inc.", "country": "PT", "channel": {"name": "tramontana"}}}
ONE_ROW_MICROSECONDS = 330.0
"""What one row by id takes of a processor (docs/performance.md)."""


def measure(call: Callable[[], object]) -> float:
    """Return the microseconds of a call."""
    started = time.process_time()
    for _ in range(ROUNDS):
        call()
    return (time.process_time() - started) / ROUNDS * 1e6


def main() -> None:
    tree, line = MerkleTree(), build_line(1)
    whole = measure(lambda: orjson.dumps({"data": DATA}, option=orjson.OPT_UTC_Z))
    with_digest = measure(lambda: encode_response(200, JSON, (), 1, data=DATA, rejected=False))
    leaf = measure(lambda: tree.append(hash_line_leaf(line)))
    print(f"a response: {whole:.2f} us to encode whole, {with_digest:.2f} us with its digest")
    print(f"a line of the log: {leaf:.2f} us for its place in the tree")
    print(f"together {(with_digest - whole + leaf) / ONE_ROW_MICROSECONDS:.1%} of one row by id")


if __name__ == "__main__":
    main()
