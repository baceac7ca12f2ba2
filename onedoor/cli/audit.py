"""Verify the audit log, and make and rotate the key that seals it: `python -m onedoor audit`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import click
import orjson

from auth.attribution import Attribution
from onedoor.audit.checkpoints import PublishingFailed, parse_statements, read_statement_files
from onedoor.audit.log import open_audit_log
from onedoor.audit.receipts import ReceiptRefused, check_receipt
from onedoor.audit.record import format_timestamp
from onedoor.audit.settings import CheckpointSettings, RecordsSettings, ShippingSettings
from onedoor.audit.statements import (
    SignedStatement,
    SigningFailed,
    StatementKind,
    TrustedKey,
    TrustedKeys,
    build_key_id,
    format_public_key,
    generate_private_key,
    load_key_signer,
    parse_public_key,
    parse_trusted_key,
)
from onedoor.audit.verification import Finding, VerificationResult, verify_folder
from onedoor.cli.administration import AdministrationContext, Administrator, Subject, on_record
from onedoor.connectors.checkpoint_stores import open_checkpoint_stores, open_sealing, open_signer
from onedoor.errors import ConfigurationError

ALTERED, UNPROVED = 1, 3
"""Exit codes; 2 is that of a command that is not understood."""


class RecordsContext(Protocol):
    """What a command that reads the audit log is given."""

    def load_records_settings(self) -> RecordsSettings:
        """Read where the log is and what seals it; no other secret need be set."""
        ...


@click.group("audit")
def audit_commands() -> None:
    """Prove that the audit log is whole, and manage the key that seals it."""


@audit_commands.command()
@click.option("--records", type=click.Path(path_type=Path), help="The folder of the log, in place of `records.folder`.")
@click.option(
    "--checkpoints",
    type=click.Path(path_type=Path, exists=True),
    help="A folder of checkpoints, or a file with one a line, in place of the second places of the settings.",
)
@click.option(
    "--public-key",
    "public_keys",
    multiple=True,
    metavar="KEY[@SINCE..UNTIL]",
    help="A key that checkpoints may be signed with, or a file with one, and when; in place of that of the settings.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one object of JSON.")
@click.pass_obj
def verify(
    context: RecordsContext, records: Path | None, checkpoints: Path | None, public_keys: tuple[str, ...], as_json: bool
) -> None:
    """Check that the audit log is whole: its chains, its checkpoints, and all that its second places know of.

    Exits with 0 where all holds together, with 1 where something was changed, put in, cut off or is missing, and with 3
    where nothing of that was found but something cannot be proved, such as the end of a process that was killed.

    \b
    Examples:
      python -m onedoor audit verify
      python -m onedoor audit verify --records /backup/records --checkpoints /mnt/checkpoints --public-key audit.pub
    """
    settings = RecordsSettings() if records and checkpoints and public_keys else context.load_records_settings()
    keys = [parse_trusted_key(text) for text in public_keys] or _find_own_keys(settings.checkpoints)
    published = _load_published(settings.checkpoints, checkpoints)
    result = verify_folder(records or settings.folder, published, keys)
    if as_json:
        click.echo(orjson.dumps(_describe(result), option=orjson.OPT_INDENT_2).decode())
    else:
        _print(result, has_keys=bool(keys))
    if result.findings:
        raise SystemExit(ALTERED if result.is_altered else UNPROVED)


def _find_own_keys(settings: CheckpointSettings | None) -> list[TrustedKey]:
    """Return the key of the settings. Whoever can change these can change it, so an auditor names theirs."""
    signer = open_signer(settings) if settings is not None else None
    if signer is not None:
        return [TrustedKey(public_key=signer.public_key)]
    if settings is not None and settings.public_key is not None:
        return [TrustedKey(public_key=parse_public_key(settings.public_key))]
    return []


def _load_published(settings: CheckpointSettings | None, place: Path | None) -> Sequence[SignedStatement]:
    """Load the statements of one place, or of all that the settings name. Raises ConfigurationError."""
    if place is not None:
        return parse_statements(read_statement_files(place))
    statements = []
    for store in open_checkpoint_stores(settings) if settings is not None else ():
        try:
            statements += parse_statements(store.load())
        except PublishingFailed as reason:
            raise ConfigurationError(f"{store.name} cannot be read: {reason}") from reason
    return statements


def _describe(result: VerificationResult) -> dict[str, object]:
    return {
        "files": result.files,
        "openFiles": result.open_files,
        "deletedFiles": result.deleted,
        "records": result.records,
        "sealed": result.sealed,
        "unsealed": result.unsealed,
        "altered": result.is_altered,
        "findings": [asdict(finding) for finding in result.findings],
    }


def _print(result: VerificationResult, *, has_keys: bool) -> None:
    click.echo(f"{result.records} records in {result.files} files hold together")
    if result.is_altered:
        click.echo("the log was altered")
    elif not has_keys:
        click.echo("no key is known, so no checkpoint proves anything: name one with `--public-key`")
    elif result.unsealed:
        click.echo(f"{result.unsealed} records after the last checkpoint are not sealed")
    else:
        click.echo("all of them are sealed by checkpoints")
    if result.deleted:
        click.echo(f"{result.deleted} files were deleted by the rules of retention, on record")
    for finding in result.findings:
        click.echo(_format_finding(finding), err=True)


def _format_finding(finding: Finding) -> str:
    place = f"`{finding.file}`"
    if finding.line is not None:
        place += f" line {finding.line}"
    if finding.record is not None:
        place += f", record {finding.record}"
    if finding.time:
        place += f", {finding.time}"
    return f"{place}: {finding.reason}"


@audit_commands.command("verify-receipt")
@click.argument("answer", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("receipt", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--public-key",
    "public_keys",
    multiple=True,
    required=True,
    metavar="KEY[@SINCE..UNTIL]",
    help="A key that checkpoints may be signed with, or a file with one, and when.",
)
def verify_receipt(answer: Path, receipt: Path, public_keys: tuple[str, ...]) -> None:
    """Check that ANSWER, a stored response, was given to whom RECEIPT says, which `receipt(record:)` answered.

    Needs neither settings nor the log. Exits with 1 where the receipt does not prove that.

    \b
    Example:
      python -m onedoor audit verify-receipt answer.json receipt.json --public-key audit.pub
    """
    trusted = TrustedKeys(parse_trusted_key(text) for text in public_keys)
    try:
        record = check_receipt(answer.read_bytes(), _read_receipt(receipt), trusted)
    except ReceiptRefused as reason:
        click.echo(str(reason), err=True)
        raise SystemExit(ALTERED) from reason
    click.echo(f"person {record['person']} was given this answer to the request of {record['time']}")
    click.echo(f"record {record['id']}, sealed at {record['sealed']} with key {record['key']}")
    click.echo("`data` alone is proved: `errors` and `extensions` beside it are not")


def _read_receipt(path: Path) -> Mapping[str, Any]:
    """Read a receipt, or the response that it came in. Raises ReceiptRefused."""
    try:
        content = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as reason:
        raise ReceiptRefused("the receipt is no JSON") from reason
    for name in ("data", "receipt"):
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict):
        raise ReceiptRefused("this is no receipt: store what `receipt(record:)` answers")
    return content


@audit_commands.command("ship")
@click.pass_obj
def ship_records(context: RecordsContext) -> None:
    """Ship the records of days that are over to where the settings say: Parquet files, a bucket, PostgreSQL.

    What is there already is left alone, so run it as often as you like, beside the servers.

    \b
    Example:
      python -m onedoor audit ship
    """
    from onedoor.connectors.audit_shipping import ShippingFailed, open_destinations, ship

    settings = context.load_records_settings()
    try:
        shipped = ship(settings.folder, open_destinations(settings.shipping or ShippingSettings()), datetime.now(UTC))
    except ShippingFailed as reason:
        raise ConfigurationError(str(reason)) from reason
    for name in shipped:
        click.echo(name)


@audit_commands.command()
@click.pass_obj
def key(context: RecordsContext) -> None:
    """Make a key that seals the audit log, and print both of its halves. Nothing is stored.

    The private half goes to where `records.checkpoints.private_key` says; the public one to whoever verifies.

    \b
    Example:
      python -m onedoor audit key
    """
    private_key = generate_private_key()
    public_key = load_key_signer(private_key).public_key
    click.echo(f"private: {private_key}\npublic: {format_public_key(public_key)}\nname: {build_key_id(public_key)}")


class RotationContext(RecordsContext, AdministrationContext, Protocol):
    """What a command that rotates the key is given."""


@audit_commands.command("rotate-key")
@click.argument("successor", metavar="PUBLIC_KEY")
@click.option(
    "--hours",
    type=click.FloatRange(min=0),
    default=24.0,
    show_default=True,
    help="How long the present key still holds, for the servers that have it.",
)
@click.pass_obj
@on_record
def rotate_key(context: RotationContext, administrator: Administrator, successor: str, hours: float) -> None:
    """Name the key that seals from now on, signed by the present one. Then set its private half and restart.

    Whoever verifies with the present key then trusts the next, too.

    \b
    Example:
      python -m onedoor audit rotate-key fXZZ... --reason "a year has passed"
    """
    sealing = open_sealing(context.load_records_settings().checkpoints)
    if sealing is None:
        raise ConfigurationError("there is no key to rotate: set `records.checkpoints.private_key`")
    public_key = parse_public_key(successor)

    def rotate(_: Attribution) -> None:
        now = datetime.now(UTC)
        content = {
            "successor": format_public_key(public_key),
            "time": format_timestamp(now),
            "until": format_timestamp(now + timedelta(hours=hours)),
        }
        audit_log = open_audit_log(context.load_records_settings().folder, now, sealing=sealing)
        try:
            assert audit_log.checkpointer is not None
            audit_log.checkpointer.write_statement(StatementKind.ROTATION, content)
        except (SigningFailed, OSError) as error:
            raise ConfigurationError(f"the key was not rotated: {error}") from error
        finally:
            audit_log.close()

    subject = Subject(type="CheckpointKey", id=build_key_id(public_key), verb="create")
    administrator.carry_out(context, "audit rotate-key", [subject], rotate)
    click.echo(f"key {build_key_id(public_key)} is trusted from now on, the present one for {hours:g} hours more")
