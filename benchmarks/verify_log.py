"""Measure how fast a sealed log is verified, on one core: `python -m benchmarks.verify_log`."""

import argparse
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from onedoor.audit.checkpointer import Checkpointer, Sealing
from onedoor.audit.log import ChainedFile, DiskOps, build_header
from onedoor.audit.record import (
    RANDOM_BYTES,
    AuditOutcome,
    AuditRecord,
    ConnectorUsage,
    build_record_id,
    format_timestamp,
    to_line,
)
from onedoor.audit.statements import TrustedKey, build_key_id, generate_private_key, load_key_signer
from onedoor.audit.verification import verify_folder

RECORDS = 1_000_000
A_MINUTE = 6_000
"""Records between two checkpoints."""
BATCH = 1_000
STARTED = datetime(2026, 11, 1, tzinfo=UTC)


def build_line(number: int) -> bytes:
    """Return the line of a record of usual size, some 900 bytes."""
    time = STARTED.replace(microsecond=number % 1_000_000)
    return to_line(
        AuditRecord(
            id=build_record_id(time, number.to_bytes(RANDOM_BYTES, "big")),
            time=format_timestamp(time),
            surface="graphql",
            outcome=AuditOutcome.ANSWERED,
            status=200,
            person="4PpNKnMFvEXo",
            key_id="3nq0Xk2mSb7W",
            groups=("everyone", "sales"),
            operation="Customers",
            operation_hash="0" * 64,
            text="query Customers($id: ID!) { customer(id: $id) { name country channel { name } } }",
            variables={"id": "0" * 32},
            fields=("Query.customer", "Customer.name", "Customer.country", "Customer.channel", "Channel.name"),
            sources=(ConnectorUsage(source="warehouse", collection="customer", calls=1, rows=1, ms=0.512),),
            rows=1,
            bytes=88,
            ms=1.234,
            schema_version="0" * 12,
            policy_version="0" * 12,
        )
    )


def write_log(folder: Path, count: int) -> TrustedKey:
    """Write a log with a checkpoint after every A_MINUTE records, and return the key that signed them."""
    signer = load_key_signer(generate_private_key())
    path = folder / f"{STARTED:%Y%m%dT%H%M%S.%fZ}-1.jsonl"
    with path.open("wb", buffering=0) as file:
        header = build_header(format_timestamp(STARTED), 1, build_key_id(signer.public_key))
        chain = ChainedFile(file.fileno(), header, DiskOps(sync=lambda _: None))
        checkpointer = Checkpointer(chain, path, Sealing(signer=signer, seconds=1e9))
        for start in range(0, count, BATCH):
            chain.write([build_line(number) for number in range(start, min(start + BATCH, count))])
            if not (start + BATCH) % A_MINUTE:
                checkpointer.seal()
        checkpointer.close()
    return TrustedKey(public_key=signer.public_key)


def main() -> None:
    parser = argparse.ArgumentParser(description="How many records of a sealed log are verified a second.")
    parser.add_argument("--records", type=int, default=RECORDS)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        key = write_log(folder, chosen.records)
        size = sum(path.stat().st_size for path in folder.iterdir())
        started = time.process_time()
        result = verify_folder(folder, keys=[key])
        seconds = time.process_time() - started
    assert (result.sealed, result.findings) == (chosen.records, ())
    print(
        f"{result.records:,} records of {size / result.records:.0f} bytes verified in {seconds:.1f} s: "
        f"{result.records / seconds:,.0f} a second"
    )


if __name__ == "__main__":
    main()
