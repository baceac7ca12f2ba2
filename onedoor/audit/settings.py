"""Define the settings of the audit log: where it is, and what seals it."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointBucket:
    """An S3 bucket that checkpoints are also written to."""

    bucket: str
    """The bucket."""
    access_key: str = field(repr=False)
    """The key that may put and get objects there."""
    secret_key: str = field(repr=False)
    """The secret of that key."""
    endpoint: str | None = None
    """The address of the store, where it is not Amazon's."""
    region: str = "us-east-1"
    """The region of the bucket."""
    prefix: str = ""
    """What the name of each object begins with."""
    lock_days: int | None = None
    """How long each object is locked; without it, as long as the bucket locks objects by default."""
    timeout: float = 5.0
    """The seconds that a call may take to connect, and between two parts of an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointChannel:
    """A Slack channel that checkpoints are also posted to."""

    token: str = field(repr=False)
    """The token of an app that may post to the channel, and read it to verify."""
    channel: str
    """The id of the channel."""
    url: str = "https://slack.com/api/"
    """The address of Slack's Web API."""
    timeout: float = 5.0
    """The seconds that a call may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSettings:
    """What signs the checkpoints of the audit log, how often, and where they are written beside the log."""

    private_key: str | None = field(default=None, repr=False)
    """The Ed25519 key that signs, from `python -m onedoor audit key`; without one there are no checkpoints."""
    sign_command: tuple[str, ...] = ()
    """A command that signs in place of a key: it reads the message and writes the 64 bytes of the signature."""
    public_key: str | None = None
    """The public half of the key that the command signs with."""
    seconds: float = 60.0
    """How often what is new is sealed."""
    folder: Path | None = None
    """A folder that checkpoints are also written to; it should be on another machine."""
    s3: CheckpointBucket | None = None
    slack: CheckpointChannel | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippingBucket:
    """An S3 bucket that `audit ship` puts records into."""

    bucket: str
    """The bucket."""
    access_key: str = field(repr=False)
    """The key that may put objects there and see which there are."""
    secret_key: str = field(repr=False)
    """The secret of that key."""
    endpoint: str | None = None
    """The address of the store, where it is not Amazon's."""
    region: str = "us-east-1"
    """The region of the bucket."""
    prefix: str = ""
    """What the name of each object begins with."""
    timeout: float = 30.0
    """The seconds that a call may take to connect, and between two parts of an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippingSettings:
    """Where `python -m onedoor audit ship` puts the records of days that are over."""

    folder: Path | None = None
    """A folder of Parquet files, one for each day and process."""
    url: str | None = field(default=None, repr=False)
    """A PostgreSQL, as `{ env = "NAME" }`, with the table `onedoor_audit_record`."""
    s3: ShippingBucket | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsSettings:
    """The folder of the audit log, which must exist, and what seals it."""

    folder: Path = Path("records/journal")
    """The folder of the audit log, which must exist."""
    checkpoints: CheckpointSettings | None = None
    rotate_bytes: int = 134_217_728
    """The size from which a process begins another file."""
    rotate_hours: float = 24.0
    """The age at which it begins another file."""
    compress: bool = True
    """Whether files are compressed once their process writes them no more."""
    keep_days: float | None = None
    """How long records and the history of changes are kept; without it, for ever. It needs a key."""
    holds: tuple[str, ...] = ()
    """What is kept longer: `person:ID`, or a period as `2026-01-01..2026-04-01`."""
    shipping: ShippingSettings | None = None
