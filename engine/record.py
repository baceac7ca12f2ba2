"""A request and what came of it in, its one audit record out."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auth.caller import Caller
from engine.answer import Answer, Desk, Question
from engine.house import House
from engine.permit import named_positions, withheld
from engine.render.render import by_number
from engine.select import Pick
from records.record import Outcome, Record, Used, Withheld, client_request_id, stamp
from records.redact import hashed, literals, normalised, unparsed


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request as the door saw it."""

    id: str
    at: datetime
    caller: Caller | None
    question: Question | None
    client_request_id: str | None
    status: int
    bytes: int
    ms: float


def record(desk: Desk, key: bytes, visit: Visit, told: Answer, outcome: Outcome) -> Record:
    """`key` is what values are hashed with."""
    caller, compiled, house = visit.caller, told.compiled, desk.house
    named = told.operation.name if told.operation else None
    picks = list(by_number(compiled.picks).values()) if compiled else []
    served = [each for each in picks if told.data is not None and _allowed(each, told)]
    return Record(
        id=visit.id,
        time=stamp(visit.at),
        surface="graphql",
        outcome=outcome,
        status=visit.status,
        person=caller.person_id if caller else None,
        key_id=caller.key_id if caller else None,
        groups=tuple(sorted(caller.groups)) if caller else (),
        grants=caller.grants if caller else (),
        operation=named.value if named else None,
        document=visit.question.document if visit.question else None,
        **_text(desk, told, visit.question, key),
        variables=hashed(visit.question.variables, key) if visit.question else None,
        fields=tuple(dict.fromkeys(_shown(house, each) for each in served)),
        fields_used=tuple(dict.fromkeys(_used(house, served))),
        withheld=tuple(_withheld(picks, told)),
        sources=tuple(
            Used(
                source=each.source,
                collection=each.collection,
                calls=each.calls,
                cached=each.cached,
                rows=each.rows,
                ms=round(each.ms, 3),
            )
            for each in told.calls
        ),
        rows=sum(each.rows for each in told.calls),
        bytes=visit.bytes,
        ms=round(visit.ms, 3),
        schema_version=house.version,
        policy_version=house.version,
        client_request_id=client_request_id(visit.client_request_id),
    )


def _text(desk: Desk, told: Answer, question: Question | None, key: bytes) -> Mapping[str, Any]:
    if told.document is None:
        return {"text": unparsed(question.text, key)} if question else {}
    known = desk.texts.get(told.document.text)
    if known is None:
        text = normalised(told.document.node)
        known = {
            "text": text,
            "operation_hash": hashlib.sha256(text.encode()).hexdigest(),
            "literals": literals(told.document.node, key),
        }
        desk.texts.put(told.document.text, known)
    return known


def _allowed(pick: Pick, told: Answer) -> bool:
    """Judged and allowed; what lies below a withheld pick was never judged, so never served."""
    assert told.compiled is not None
    verdict = told.compiled.verdicts.get(pick.number)
    return verdict is not None and verdict.allowed


def _shown(house: House, pick: Pick) -> str:
    """The field whose values the pick shows: of a sum, or a key of a group, the one that was summed or grouped by."""
    own = (pick.type, pick.field)
    return ".".join(house.rules.looks_at.get(own, own))


def _used(house: House, picks: Sequence[Pick]) -> Iterator[str]:
    """The fields that filters, orders, groups and what they must have looked at, of what was served."""
    for pick in picks:
        if pick.arguments:
            touched = (house.rules.looks_at.get(each) for each in named_positions(house.schema, pick))
            yield from (".".join(each) for each in touched if each is not None)


def _withheld(picks: Sequence[Pick], told: Answer) -> Iterator[Withheld]:
    assert told.compiled is not None or not picks
    for pick in picks:
        if told.compiled and withheld(pick, told.compiled.verdicts):
            verdict = told.compiled.verdicts[pick.number]
            yield Withheld(field=f"{pick.type}.{pick.field}", reason=".".join(verdict.position))
