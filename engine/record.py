"""A request and what came of it in, its one audit record out."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auth.caller import Caller
from engine.desk import Answer, Desk, Question
from engine.fetch.words import Call
from engine.house import House
from engine.permit import named_positions, withheld
from engine.plan.words import shut
from engine.render.render import by_number
from engine.select import Pick
from records.record import Outcome, Record, Used, Withheld, client_request_id, stamp, to_json, to_line
from records.redact import hashed, literals, normalised, unparsed

GRAPHQL = "graphql"


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
    surface: str = GRAPHQL
    subscription: str | None = None
    """The id of the record with which what this belongs to began."""
    events: int | None = None
    """How many it was told of, once it has ended."""


def outcome(told: Answer) -> Outcome:
    """What came of a question that was answered, or refused."""
    if told.refused:
        return Outcome.REFUSED
    if told.data is None and not told.planned:
        return Outcome.FAILED
    return Outcome.PARTIAL if told.faults else Outcome.ANSWERED


def record(desk: Desk, key: bytes, visit: Visit, told: Answer, outcome: Outcome) -> Record:
    """`key` is what values are hashed with."""
    caller, compiled, house = visit.caller, told.compiled, desk.house
    named = told.operation.name if told.operation else None
    said = _text(desk, told, visit.question, key)
    picks = list(by_number(compiled.picks).values()) if compiled else []
    served = [each for each in picks if told.data is not None and _allowed(each, told)]
    return Record(
        id=visit.id,
        time=stamp(visit.at),
        surface=visit.surface,
        outcome=outcome,
        status=visit.status,
        person=caller.person_id if caller else None,
        key_id=(caller.key_id or None) if caller else None,
        groups=tuple(sorted(caller.groups)) if caller else (),
        grants=caller.grants if caller else (),
        operation=named.value if named else None,
        document=visit.question.document if visit.question else None,
        operation_hash=said.get("operation_hash"),
        text=said.get("text"),
        literals=said.get("literals", ()),
        variables=hashed(visit.question.variables, key) if visit.question else None,
        fields=tuple(dict.fromkeys(_shown(house, each) for each in served)),
        fields_used=tuple(dict.fromkeys(_used(house, served))),
        withheld=tuple(_withheld(picks, told)),
        sources=tuple(map(_use, told.calls)),
        rows=sum(each.rows for each in told.calls),
        bytes=visit.bytes,
        ms=round(visit.ms, 3),
        schema_version=house.version,
        policy_version=house.version,
        client_request_id=client_request_id(visit.client_request_id),
        changes=tuple(told.changes),
        subscription=visit.subscription,
        events=visit.events,
    )


def line(desk: Desk, key: bytes, visit: Visit, told: Answer, outcome: Outcome) -> bytes:
    """What `to_line` makes of the record; of an answer, put together from parts that were written before.

    A record has 28 fields, of which a question asked again changes eleven: written whole it costs 60 us, so 10.
    """
    caller, question, compiled = visit.caller, visit.question, told.compiled
    if caller is None or question is None or compiled is None or visit.surface != GRAPHQL:
        return to_line(record(desk, key, visit, told, outcome))
    under = (told.data is not None, question.document)
    known = compiled.lines.get(under)
    if known is None:
        known = compiled.lines[under] = _written(desk, key, visit, told, outcome)
    before, after, end = known
    head = f'{{"id":"{visit.id}","time":"{stamp(visit.at)}","surface":"{visit.surface}","outcome":"{outcome}"'
    theirs = client_request_id(visit.client_request_id)
    calls = told.calls
    parts = (
        b'%b,"status":%d,' % (head.encode(), visit.status),
        _who(desk, caller),
        before,
        to_json(hashed(question.variables, key)) if question.variables else b"{}",
        after,
        to_json([_use_json(each) for each in calls]) if calls else b"[]",
        b',"rows":%d,"bytes":%d,"ms":%b' % (sum(each.rows for each in calls), visit.bytes, to_json(round(visit.ms, 3))),
        end,
        b"null" if theirs is None else to_json(theirs),
        b',"changes":%b,"subscription":null,"events":null}' % _changes(told),
    )
    return b"".join(parts)


def _written(desk: Desk, key: bytes, visit: Visit, told: Answer, outcome: Outcome) -> tuple[bytes, bytes, bytes]:
    """Of a record, what stands between the caller and the variables, then up to the sources, then after the time."""
    made = record(desk, key, visit, told, outcome).to_json()
    before = {name: made[name] for name in ("operation", "operation_hash", "document", "text", "literals")}
    after = {name: made[name] for name in ("fields", "fields_used", "withheld")}
    end = {name: made[name] for name in ("schema_version", "policy_version")}
    return (
        _inside(before) + b',"variables":',
        b"," + _inside(after) + b',"sources":',
        b"," + _inside(end) + b',"client_request_id":',
    )


def _who(desk: Desk, caller: Caller) -> bytes:
    known = desk.people.get(caller.key_id)
    if known is None or known[0] is not caller:
        groups = tuple(sorted(caller.groups))
        who = {"person": caller.person_id, "key_id": caller.key_id, "groups": groups, "grants": caller.grants}
        known = caller, _inside(who) + b","
        desk.people.put(caller.key_id, known)
    return known[1]


def _inside(value: Mapping[str, Any]) -> bytes:
    return to_json(value)[1:-1]


def _use(call: Call) -> Used:
    return Used(
        source=call.source,
        collection=call.collection,
        calls=call.calls,
        cached=call.cached,
        rows=call.rows,
        outgrown=call.outgrown,
        ms=round(call.ms, 3),
    )


def _use_json(call: Call) -> dict[str, Any]:
    """`_use(call).to_json()`, which costs 2 us more a call."""
    return {
        "source": call.source,
        "collection": call.collection,
        "calls": call.calls,
        "cached": call.cached,
        "rows": call.rows,
        "outgrown": call.outgrown,
        "ms": round(call.ms, 3),
    }


def _changes(told: Answer) -> bytes:
    return to_json([each.to_json() for each in told.changes]) if told.changes else b"[]"


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
    for each, verdict in shut(told.compiled.plan, None) if told.compiled else ():
        yield Withheld(field=each.type, reason=".".join(verdict.position))
