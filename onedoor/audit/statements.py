"""Sign what is said of an audit log, such as a checkpoint, and check signatures against keys that hold for a time."""

import base64
import binascii
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from onedoor.audit.record import format_timestamp
from onedoor.errors import ConfigurationError, OnedoorError

KEY_BYTES = 32

SIGNATURE_BYTES = 64

KEY_ID_CHARACTERS = 16

SIGN_COMMAND_SECONDS = 30.0

STATEMENT_OFFSET = len('{"prev":"",') + 64
"""Where the kind of a statement begins in its line."""

STATEMENT_LINE = re.compile(
    rb'\{(?:"prev":"[0-9a-f]{64}",)?"(checkpoint|rotation|deletion)":(\{.*\}),"signature":"([A-Za-z0-9+/]{86}==)"\}'
)

VALIDITY = re.compile(r"(?P<key>[^@]+)(?:@(?P<since>[^@.]*)\.\.(?P<until>[^@.]*))?")


class StatementKind(StrEnum):
    """What a signed statement says; the values stand in logs."""

    CHECKPOINT = "checkpoint"
    ROTATION = "rotation"
    DELETION = "deletion"


class SigningFailed(OnedoorError):
    """A statement could not be signed now."""


class Signer(Protocol):
    """Holds an Ed25519 key, or knows who does."""

    @property
    def public_key(self) -> bytes:
        """The 32 bytes of the public key."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the signature. Raises SigningFailed."""
        ...


@dataclass(frozen=True, slots=True)
class KeySigner:
    """Signs with a private key in memory."""

    private_key: Ed25519PrivateKey = field(repr=False)

    @property
    def public_key(self) -> bytes:
        return self.private_key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        return self.private_key.sign(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSigner:
    """Has a command sign, such as that of a key management service."""

    command: Sequence[str]
    public_key: bytes

    def sign(self, message: bytes) -> bytes:
        try:
            result = subprocess.run(
                self.command, input=message, capture_output=True, timeout=SIGN_COMMAND_SECONDS, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise SigningFailed(f"the command that signs failed: {type(error).__name__}") from error
        if not is_signed_by(self.public_key, message, result.stdout):
            raise SigningFailed("the command that signs wrote no signature of its key")
        return result.stdout


def generate_private_key() -> str:
    """Return a new private key as text."""
    return base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()


def load_key_signer(text: str) -> KeySigner:
    """Return the signer of a private key written as text. Raises ConfigurationError."""
    return KeySigner(Ed25519PrivateKey.from_private_bytes(_decode_key(text, "private")))


def format_public_key(public_key: bytes) -> str:
    return base64.b64encode(public_key).decode()


def parse_public_key(text: str) -> bytes:
    """Return the bytes of a public key written as text. Raises ConfigurationError."""
    return _decode_key(text, "public")


def _decode_key(text: str, kind: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError(
            f"this is no {kind} key, which is 32 bytes in base64: make one with `python -m onedoor audit key`"
        )
    return key


def build_key_id(public_key: bytes) -> str:
    """Return the name of a key: the beginning of its digest."""
    return sha256(public_key).hexdigest()[:KEY_ID_CHARACTERS]


@lru_cache(maxsize=4096)
def is_signed_by(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature is right; each statement is asked for twice, in the log and in its second place."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedStatement:
    """A statement as it was signed: its exact text, an object of JSON, with `key` and `time` in it."""

    kind: StatementKind
    text: bytes
    signature: bytes

    @property
    def message(self) -> bytes:
        """What is signed; a statement of one kind is none of another."""
        return b"onedoor %b 1\n%b" % (self.kind.encode(), self.text)

    @property
    def content(self) -> Mapping[str, Any]:
        content: Mapping[str, Any] = orjson.loads(self.text)
        return content

    def to_body(self) -> bytes:
        """Return the line without the digest of the line before."""
        signature = base64.b64encode(self.signature)
        return b'{"%b":%b,"signature":"%b"}' % (self.kind.encode(), self.text, signature)


def sign_statement(signer: Signer, kind: StatementKind, content: Mapping[str, Any]) -> SignedStatement:
    """Sign a statement, with the name of the key in it. Raises SigningFailed."""
    text = orjson.dumps({**content, "key": build_key_id(signer.public_key)})
    unsigned = SignedStatement(kind=kind, text=text, signature=b"")
    return SignedStatement(kind=kind, text=text, signature=signer.sign(unsigned.message))


def parse_statement(line: bytes) -> SignedStatement | None:
    """Parse a line of a log or an object of a second place; None where it is no statement."""
    match = STATEMENT_LINE.fullmatch(line)
    if match is None:
        return None
    statement = SignedStatement(
        kind=StatementKind(match[1].decode()), text=match[2], signature=base64.b64decode(match[3])
    )
    if statement.to_body() != (line if line.startswith(b'{"' + match[1]) else b"{" + line[STATEMENT_OFFSET:]):
        return None  # bits of a last character that say nothing
    try:
        content = statement.content
    except orjson.JSONDecodeError:
        return None
    return statement if isinstance(content.get("time"), str) and isinstance(content.get("key"), str) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """A public key, and the times between which statements may be signed with it; empty: without a bound."""

    public_key: bytes
    since: str = ""
    until: str = ""

    def holds_at(self, time: str) -> bool:
        return self.since <= time and (not self.until or time <= self.until)


def parse_trusted_key(text: str) -> TrustedKey:
    """Parse a public key, or the name of a file with one, and its validity: `KEY`, `KEY@2026-01-01..2027-01-01`.

    Either end may be left out. Raises ConfigurationError.
    """
    match = VALIDITY.fullmatch(text)
    if match is None:
        raise ConfigurationError(f"`{text}` is no key: write `KEY`, or `KEY@2026-01-01..2027-01-01`")
    key = match["key"]
    if len(key) < 200 and Path(key).is_file():
        key = Path(key).read_text(encoding="utf-8")
    return TrustedKey(
        public_key=parse_public_key(key), since=_parse_bound(match["since"]), until=_parse_bound(match["until"])
    )


def _parse_bound(text: str | None) -> str:
    if not text:
        return ""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"`{text}` is no date: write it as 2026-11-01") from None
    return format_timestamp(time if time.tzinfo else time.replace(tzinfo=UTC))


class TrustedKeys:
    """The keys that a verifier was given, and those that these have named since."""

    def __init__(self, keys: Iterable[TrustedKey]) -> None:
        self._keys: dict[str, list[TrustedKey]] = {}
        for key in keys:
            self._add(key)

    def _add(self, key: TrustedKey) -> None:
        self._keys.setdefault(build_key_id(key.public_key), []).append(key)

    def __bool__(self) -> bool:
        return bool(self._keys)

    def vouch_for(self, statement: SignedStatement) -> bool:
        """Whether a key that held at the time of a statement has signed it."""
        content = statement.content
        return any(
            key.holds_at(content["time"]) and is_signed_by(key.public_key, statement.message, statement.signature)
            for key in self._keys.get(content["key"], ())
        )

    def follow_rotations(self, statements: Iterable[SignedStatement]) -> list[SignedStatement]:
        """Trust the keys that trusted ones name as their successors, and return the rotations that nobody vouches for.

        The former key holds until the time that the rotation names.
        """
        refused = []
        for rotation in sorted(statements, key=lambda statement: str(statement.content["time"])):
            if not self.vouch_for(rotation):
                refused.append(rotation)
                continue
            content = rotation.content
            until, name = content["until"], content["key"]
            self._keys[name] = [replace(key, until=min(key.until or until, until)) for key in self._keys[name]]
            self._add(TrustedKey(public_key=parse_public_key(content["successor"]), since=content["time"]))
        return refused
