"""What both services do of a change: what a call was answered in, what came of it out; and addresses to upload to."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from engine.change.addresses import Address, Step
from engine.change.words import Unmade
from engine.errors import SourceFailed
from sources.azure.access import VERSION
from sources.azure.calls import Calls, Told
from sources.azure.failures import NAMES, TOO_MANY, refused
from sources.content.media import media_type
from sources.writing.marks import NAME, left, written
from sources.writing.uploads import seconds
from sources.writing.words import Filed, Outrun, Standing

META = f"x-ms-meta-{NAME}"
OCTETS = "application/octet-stream"
RACED = frozenset({
    "ConditionNotMet", "BlobAlreadyExists", "BlobNotFound", "ResourceNotFound", "ResourceAlreadyExists",
    "LeaseAlreadyPresent", "LeaseIdMissing", "LeaseIdMismatchWithFileOperation", "LeaseNotPresentWithFileOperation",
    "SourceConditionNotMet", "TargetConditionNotMet", "CannotVerifyCopySource",
})  # fmt: skip
"""Another was faster, now or a moment ago."""
TIMED_OUT = 408
CREDENTIALS = frozenset({401, 403})
PENDING = "pending"
POLL_SECONDS = 0.1


def surely(told: Told, service: str) -> Told:
    """Raises Outrun, and Unmade where Azure said no; else SourceFailed: it is not known what came of it."""
    if told.status < 300:
        return told
    if told.code in RACED:
        raise Outrun
    failure = refused(told.status, told.code, service)
    if told.status in CREDENTIALS:
        raise Unmade(f"{NAMES[service]} does not let this be written", failure.code)
    if told.status < 500 and told.status not in (TIMED_OUT, TOO_MANY):
        raise Unmade(failure.reason, failure.code)
    raise failure


def media(filed: Filed) -> str:
    return filed.content_type or media_type(filed.id.rpartition("/")[2]) or OCTETS


def marked(filed: Filed, before: Standing | None) -> Mapping[str, str]:
    return {META: written(left(filed, before))}


def uncopied(filed: Filed) -> None:
    """Azure copies a file with its type."""
    if filed.copy_of is not None and filed.content_type is not None:
        raise Unmade("a copy keeps its content type there: leave out `content_type`")


async def finished(calls: Calls, id: str, told: Told) -> None:
    """Azure may go on copying after it has answered. Raises SourceFailed."""
    until, status = asyncio.get_running_loop().time() + calls.bounds.timeout, told.headers.get("x-ms-copy-status")
    while status == PENDING and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(POLL_SECONDS)
        status = (await calls.told("HEAD", id, {})).headers.get("x-ms-copy-status")
    if status not in (None, "success"):
        raise SourceFailed(f"{NAMES[calls.access.service]} has not finished the copy")


def address(calls: Calls, filed: Filed, permissions: str, wanted: int) -> tuple[str, datetime]:
    """Of this one file, and when it ends. Raises Unmade: only a key can make one."""
    ends = datetime.now(UTC) + timedelta(seconds=seconds(wanted))
    url = calls.access.opened(filed.id, permissions, ends)
    if url is None:
        raise Unmade("without an `access_key` in the settings there are no addresses to upload to")
    return url, ends.replace(microsecond=0)


def step(url: str, headers: Mapping[str, str], first: int = 0, length: int = 0) -> Step:
    return Step(method="PUT", url=url, headers={"x-ms-version": VERSION, **headers}, first=first, length=length)


def opens(filed: Filed, ends: datetime, *steps: Step) -> Address:
    return Address(id=filed.id, steps=steps, expires=ends, bounded=False)
