"""Make sealed logs of several processes in memory, with what their second place holds."""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from onedoor.audit.checkpointer import Checkpointer, Sealing
from onedoor.audit.checkpoints import PublishingFailed, parse_statements
from onedoor.audit.log import ChainedFile, DiskOps, build_header
from onedoor.audit.record import to_line
from onedoor.audit.statements import KeySigner, SignedStatement, TrustedKey, build_key_id
from onedoor.audit.verification import LogFile, VerificationResult, verify_files
from tests.audit.conftest import record_of

SIGNER = KeySigner(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER_SIGNER = KeySigner(Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))
PRIVATE_KEY = base64.b64encode(bytes(range(32))).decode()
KEYS = (TrustedKey(public_key=SIGNER.public_key),)
NEVER = 1e9


@dataclass(slots=True)
class MemoryStore:
    """A second place that can be out of reach."""

    name: str = "the second place"
    bodies: dict[str, bytes] = field(default_factory=dict)
    is_down: bool = False

    def publish(self, name: str, body: bytes) -> None:
        if self.is_down:
            raise PublishingFailed("it is down")
        self.bodies[name] = body

    def load(self) -> Iterable[bytes]:
        return list(self.bodies.values())

    @property
    def statements(self) -> list[SignedStatement]:
        return parse_statements(self.bodies.values())


def write_log(folder: Path, store: MemoryStore, process: int, rounds: Iterable[int]) -> tuple[str, list[bytes]]:
    """Return the name and the lines of a log: in each round so many records, then a checkpoint; and its end."""
    written = bytearray()

    def write(_: int, data: bytes) -> int:
        written.extend(data)
        return len(data)

    name = f"20261101T12000{process}.000000Z-{process}.jsonl"
    header = build_header(f"2026-11-01T12:00:0{process}.000000+00:00", process, build_key_id(SIGNER.public_key))
    chain = ChainedFile(0, header, DiskOps(write=write, sync=lambda _: None, truncate=lambda *_: None))
    checkpointer = Checkpointer(chain, folder / name, Sealing(signer=SIGNER, seconds=NEVER, stores=(store,)))
    number = 1000 * process
    for count in rounds:
        chain.write([to_line(record_of(number + place)) for place in range(count)])
        checkpointer.seal()
        number += count
    checkpointer.close()
    return name, bytes(written).splitlines()


def verify_lines(files: Mapping[str, list[bytes]], published: list[SignedStatement]) -> VerificationResult:
    logs = (LogFile(name=name, read_lines=lambda lines=lines: lines) for name, lines in files.items())
    return verify_files(logs, published, KEYS)
