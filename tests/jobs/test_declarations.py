"""Declarations, inputs and results of steps are checked and converted."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest

from onedoor.errors import ConfigurationError
from onedoor.jobs import codecs, service
from onedoor.jobs.codecs import InvalidJobValue, build_instance, dump_instance
from onedoor.jobs.declarations import Schedule
from onedoor.jobs.registry import compute_job_version, compute_release, register_jobs
from tests import acme
from tests.jobs.sample_jobs import JOBS, ScriptInput, crash, declare_job

BY_NAME = {job.name: job for job in JOBS}


class Colour(StrEnum):
    RED = "RED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    first_name: str
    count: int
    share: float
    good: bool
    money: Decimal
    day: date
    at: datetime
    colour: Colour
    many: tuple[int, ...]
    more: Mapping[str, Any]
    none: str | None
    default: int = 3


GIVEN = {
    "firstName": "é",
    "count": 1,
    "share": 0.5,
    "good": True,
    "money": "12.50",
    "day": "2026-11-01",
    "at": "2026-11-01T12:00:00+00:00",
    "colour": "RED",
    "many": [1, 2],
    "more": {"a": [1]},
    "none": None,
    "default": 3,
}


def test_an_input_is_the_same_after_json() -> None:
    instance = build_instance(Every, {name: value for name, value in GIVEN.items() if name not in ("none", "default")})
    assert (instance.money, instance.at) == (Decimal("12.50"), datetime(2026, 11, 1, 12, tzinfo=UTC))
    assert dump_instance(instance) == GIVEN
    assert build_instance(Every, dump_instance(instance)) == instance


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": True}, "`count` must be a whole number"),
        ({"count": 2**63}, "`count` must be a whole number"),
        ({"share": float("nan")}, "`share` must be a number"),
        ({"money": "NaN"}, "`money` must be an exact number, as text"),
        ({"money": 0.1}, "`money` must be an exact number, as text"),
        ({"at": "2026-11-01T12:00:00"}, "`at` must be a moment with a zone such as `2026-10-31T12:00:00Z`"),
        ({"colour": "BLUE"}, "`colour` must be one of `RED`"),
        ({"many": 1}, "`many` must be a list"),
        ({"firstName": "\ud800"}, "`firstName` must be text"),
        ({"extra": 1}, "there is no `extra`, only "),
    ],
)
def test_an_input_that_does_not_fit_is_refused_in_a_sentence(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidJobValue) as misfit:
        build_instance(Every, {**GIVEN, **change})
    assert str(misfit.value).startswith(message)


@pytest.mark.parametrize(
    "value",
    [None, 1, "x", "items", ["items", "x"], [], {}, {"a": [Decimal("1.50"), date(2026, 1, 1)]}, 2**70, float("inf")],
    ids=repr,
)
def test_the_result_of_a_step_is_decoded_to_itself(value: object) -> None:
    assert codecs.decode_step_result(codecs.encode_step_result(value)) == value


UNSTORABLE = [object(), {1: 2}, b"x", {"a": {1}}, datetime(2026, 1, 1)]


@pytest.mark.parametrize("value", UNSTORABLE, ids=lambda item: type(item).__name__)
def test_a_value_that_json_cannot_hold_is_no_result_of_a_step(value: object) -> None:
    with pytest.raises(TypeError):
        codecs.encode_step_result(value)


NIGHTLY = Schedule(cron="0 5 * * *", service_account="books", groups=frozenset({"finance"}), input=ScriptInput())


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ((BY_NAME["Walk"], BY_NAME["Walk"]), "the job `Walk` is declared twice"),
        ((replace(BY_NAME["Walk"], name="walk"),), "the job `walk` must be named as a type is"),
        (
            (replace(BY_NAME["Walk"], may_see=frozenset({"financ"})),),
            "there is no group `financ`: did you mean `finance`",
        ),
        ((replace(BY_NAME["Walk"], may_start=frozenset()),), "the job `Walk` may be started by nobody"),
        ((replace(BY_NAME["Walk"], run=len),), "the job `Walk` must be an `async` function, or a script"),
        ((replace(BY_NAME["Walk"], input=object),), "the job `Walk` cannot be declared"),
        (
            (declare_job("A", crash, ScriptInput, schedule=replace(NIGHTLY, cron="x")),),
            "the job `A` has the schedule `x`, which",
        ),
        (
            (declare_job("A", crash, ScriptInput, schedule=replace(NIGHTLY, groups=frozenset({"sales"}))),),
            "the job `A` is started on a schedule by `books`, who is in no group that may start it",
        ),
    ],
)
def test_a_wrong_declaration_is_refused_in_a_sentence(declared: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as mistake:
        register_jobs(declared, acme.GROUPS)
    assert str(mistake.value).startswith(message)


def test_a_release_is_another_where_an_input_is_another() -> None:
    walk = BY_NAME["Walk"]
    other = replace(walk, input=ScriptInput)
    assert compute_job_version(walk) == compute_job_version(replace(walk, description="said otherwise"))
    assert compute_job_version(walk) != compute_job_version(other)
    assert compute_release({"Walk": walk}) != compute_release({"Walk": other})


@pytest.mark.parametrize(
    ("after", "until", "due"),
    [
        pytest.param("04:00", "04:59", [], id="not yet"),
        pytest.param("04:59", "05:00", ["05:00"], id="at its time"),
        pytest.param("05:00", "05:30", [], id="once"),
        pytest.param("04:00", "07:00", ["05:00"], id="late"),
    ],
)
def test_a_schedule_is_due_once_at_each_of_its_times(after: str, until: str, due: list[str]) -> None:
    def at(time: str) -> datetime:
        return datetime.fromisoformat(f"2026-11-01T{time}:00+00:00")

    jobs = register_jobs((declare_job("A", crash, ScriptInput, schedule=NIGHTLY),), acme.GROUPS)
    assert [due_start.idempotency_key for due_start in service.list_due_starts(jobs, at(after), at(until))] == [
        f"schedule 2026-11-01T{item}:00+00:00 A" for item in due
    ]
