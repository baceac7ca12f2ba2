"""Seal the audit log of one process: sign what it holds every minute and at its end, and write that to second places.

What a checkpoint says is taken in a moment; signing and publishing happen in a thread, so no request waits for them.
"""

import fcntl
import logging
import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Protocol

from onedoor.audit.checkpoints import (
    ChainState,
    Checkpoint,
    CheckpointStore,
    PublishingFailed,
    StatementConflict,
    name_statement,
    parse_checkpoint,
)
from onedoor.audit.record import format_timestamp
from onedoor.audit.statements import (
    SignedStatement,
    Signer,
    SigningFailed,
    StatementKind,
    TrustedKey,
    TrustedKeys,
    parse_statement,
    sign_statement,
)

LOG = logging.getLogger("onedoor.audit")

PUBLISHED_SUFFIX = ".published"
"""Marks a file beside it whose every statement is at every second place."""

UNPUBLISHED_MAX = 10_000
"""How many statements wait in memory for a second place; those dropped are read from the file later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """What signs checkpoints, how many seconds apart, and the second places that they are written to."""

    signer: Signer
    seconds: float = 60.0
    stores: Sequence[CheckpointStore] = ()


class Chain(Protocol):
    """A file whose lines are chained."""

    def take_state(self) -> ChainState:
        """Return how far it has come, and begin a new tree with the next line."""
        ...

    @property
    def record_count(self) -> int:
        """How many records it holds."""
        ...

    def write(self, bodies: Sequence[bytes]) -> None:
        """Return when all are durable. Raises OSError where none counts as written."""
        ...


@dataclass(slots=True)
class Publisher:
    """Brings statements to one second place, in order, and says once when that fails and once when it goes on."""

    store: CheckpointStore
    waiting: deque[tuple[str, bytes]] = field(default_factory=deque)
    is_failing: bool = False
    lacks_some: bool = False
    """Whether a statement was dropped, because too many waited or the place holds another in its stead."""

    def add(self, statement: SignedStatement) -> None:
        """Let a statement wait, unless too many do: the next process finds those in the file."""
        if len(self.waiting) < UNPUBLISHED_MAX:
            self.waiting.append((name_statement(statement), statement.to_body()))
        else:
            self.lacks_some = True

    def publish_waiting(self) -> bool:
        """Publish what waits, as far as it goes, and return whether nothing waits any more."""
        while self.waiting:
            name, body = self.waiting[0]
            try:
                self.store.publish(name, body)
            except StatementConflict as reason:
                LOG.error("a checkpoint cannot be written to %s: %s", self.store.name, reason)
                self.lacks_some = True
            except PublishingFailed as reason:
                if not self.is_failing:
                    LOG.error("checkpoints do not reach %s, which is tried again: %s", self.store.name, reason)
                self.is_failing = True
                return False
            self.waiting.popleft()
        if self.is_failing:
            LOG.warning("checkpoints reach %s again", self.store.name)
        self.is_failing = False
        return True


class Checkpointer:
    """Seals one file as it grows; `close` seals its end."""

    def __init__(self, chain: Chain, path: Path, sealing: Sealing) -> None:
        self._chain, self._path, self._sealing = chain, path, sealing
        self._number, self._sealed_records = 0, 0
        self._unsigned: Checkpoint | None = None
        self._publishers = [Publisher(store) for store in sealing.stores]
        self._is_signing_failing = False
        self._queued = dict[str, bool]()
        """The abandoned files whose statements were given to the publishers, and whether all of them were."""
        self._closing = Event()
        self._end_lock, self._has_ended = Lock(), False
        self._thread = Thread(target=self._run, name="onedoor-checkpoints", daemon=True)
        self._thread.start()

    @property
    def is_up(self) -> bool:
        """Whether checkpoints are signed and reach every second place, as far as is known."""
        return not self._is_signing_failing and not any(
            publisher.is_failing or publisher.lacks_some for publisher in self._publishers
        )

    def write_statement(self, kind: StatementKind, content: Mapping[str, Any]) -> None:
        """Sign a statement, write it to the log and have it published. Raises SigningFailed, OSError."""
        with self._end_lock:
            if self._has_ended:
                raise SigningFailed("the file has ended: try again")
            self._write_statement(kind, content)

    def _write_statement(self, kind: StatementKind, content: Mapping[str, Any]) -> None:
        statement = sign_statement(self._sealing.signer, kind, content)
        self._chain.write([statement.to_body()])
        for publisher in self._publishers:
            publisher.add(statement)

    def close(self) -> None:
        """Seal the end of the file, to which nobody else writes any more, and publish what waits, tried once."""
        self._closing.set()
        self._thread.join()
        with self._end_lock:
            if self._has_ended:
                return
            self._has_ended = True
            if self._seal_unsigned():
                self._take_checkpoint(end=True)
                self._seal_unsigned()
        if self._publish_waiting() and self._sealing.stores and self.is_up:
            mark_published(self._path)

    def seal(self) -> None:
        """Seal what is new, if anything is, and publish what waits."""
        if self._seal_unsigned() and self._chain.record_count > self._sealed_records:
            self._take_checkpoint(end=False)
            self._seal_unsigned()
        if self._publish_waiting() and self._sealing.stores:
            self._publish_abandoned()

    def _run(self) -> None:
        while not self._closing.wait(self._sealing.seconds):
            try:
                self.seal()
            except Exception as error:  # the next round tries again
                LOG.error("the audit log could not be sealed: %s", type(error).__name__)

    def _take_checkpoint(self, *, end: bool) -> None:
        state = self._chain.take_state()
        self._number += 1
        self._sealed_records = state.records
        time = format_timestamp(datetime.now(UTC))
        self._unsigned = Checkpoint(file=self._path.name, number=self._number, state=state, time=time, end=end)

    def _seal_unsigned(self) -> bool:
        """Sign and write the checkpoint that was taken, if any; what fails is tried again before another is taken."""
        if self._unsigned is None:
            return True
        try:
            self._write_statement(StatementKind.CHECKPOINT, self._unsigned.to_json())
        except (SigningFailed, OSError) as error:
            if not self._is_signing_failing:
                reason = error if isinstance(error, SigningFailed) else f"it cannot be written: {error.strerror}"
                LOG.error("the audit log cannot be sealed, which is tried again: %s", reason)
            self._is_signing_failing = True
            return False
        self._is_signing_failing, self._unsigned = False, None
        return True

    def _publish_waiting(self) -> bool:
        reached = [publisher.publish_waiting() for publisher in self._publishers]
        return all(reached)

    def _publish_abandoned(self) -> None:
        """Publish what processes that have ended left unpublished in the same folder."""
        for path in sorted(self._path.parent.glob("*.jsonl")):
            if self._closing.is_set():
                return
            if path.with_name(path.name + PUBLISHED_SUFFIX).exists() or is_held(path):
                continue
            try:
                if not self._publish_file(path):
                    return  # the next round goes on
            except Exception as error:  # the other files have nothing to do with it
                LOG.error("checkpoints of `%s` could not be published: %s", path.name, type(error).__name__)

    def _publish_file(self, path: Path) -> bool:
        """Publish the statements of a file and mark it; return whether none waits any more."""
        if path.name not in self._queued:
            self._queued[path.name] = self._queue_statements(path)
        is_published = self._publish_waiting()
        if is_published and self._queued[path.name] and self.is_up:
            mark_published(path)
        return is_published

    def _queue_statements(self, path: Path) -> bool:
        """Have the statements of a file published, but for those that are not its own; return whether there are none.

        Whoever can write in the folder could take any name at a second place.
        """
        with path.open("rb") as file:
            statements = [statement for line in file if (statement := parse_statement(line.rstrip(b"\n"))) is not None]
        trusted = TrustedKeys([TrustedKey(public_key=self._sealing.signer.public_key)])
        trusted.follow_rotations(statement for statement in statements if statement.kind is StatementKind.ROTATION)
        own = [statement for statement in statements if trusted.vouch_for(statement) and _may_stand(statement, path)]
        for publisher in self._publishers:
            for statement in own:
                publisher.add(statement)
        if len(own) < len(statements):
            LOG.error("`%s` holds statements of others, or of another key, which are not published", path.name)
        return len(own) == len(statements)


def _may_stand(statement: SignedStatement, path: Path) -> bool:
    """Whether a statement may be in a file: a checkpoint is about its own."""
    if statement.kind is not StatementKind.CHECKPOINT:
        return True
    checkpoint = parse_checkpoint(statement)
    return checkpoint is not None and checkpoint.file == path.name


def mark_published(path: Path) -> None:
    path.with_name(path.name + PUBLISHED_SUFFIX).touch(mode=0o600)


def is_held(path: Path) -> bool:
    """Whether a process that lives writes a file."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
