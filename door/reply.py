"""What the engine told in, the bytes, status and media type of the reply out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from door.negotiate import GRAPHQL_JSON
from engine.desk import Answer
from engine.errors import Code, Fault

MESSAGE_MAX = 500

UNAUTHENTICATED = Fault(
    code=Code.UNAUTHENTICATED, message="no valid key came with the request, send `Authorization: Bearer <key>`"
)
AUDIT_UNAVAILABLE = Fault(
    code=Code.AUDIT_UNAVAILABLE, message="the request could not be recorded, so it is not answered; ask again"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int
    body: bytes
    media: str
    headers: Mapping[str, str]


def answered(told: Answer, media: str, errors_max: int) -> Reply:
    """Of a whole GraphQL request: 200, or 400 for one that was refused.

    In plain JSON a refusal too is 200: there, any other status may come from something between door and client.
    """
    status = 400 if told.refused and media == GRAPHQL_JSON else 200
    return reply(status, media, told.faults, errors_max, data=told.data, refused=told.refused, more=told.extensions)


def reply(
    status: int,
    media: str,
    faults: Sequence[Fault],
    errors_max: int,
    *,
    data: Any = None,
    refused: bool = True,
    more: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    body: dict[str, Any] = {}
    if faults:
        body["errors"] = [shown(each) for each in faults[:errors_max]]
    if not refused:
        body["data"] = data
    if more:
        body["extensions"] = {"onedoor": more}
    return Reply(status=status, body=orjson.dumps(body, option=orjson.OPT_UTC_Z), media=media, headers=headers or {})


def shown(fault: Fault) -> dict[str, Any]:
    """An error as clients see it; text that is no valid Unicode is replaced."""
    made: dict[str, Any] = {"message": fault.message[:MESSAGE_MAX].encode(errors="replace").decode()}
    if fault.locations:
        made["locations"] = list(fault.locations)
    if fault.path is not None:
        made["path"] = list(fault.path)
    made["extensions"] = {"code": fault.code, **(fault.extensions or {})}
    return made
