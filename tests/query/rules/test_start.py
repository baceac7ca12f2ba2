"""A rule or a mask that cannot hold, or leaves a group out, keeps the schema from building."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from onedoor.errors import ConfigurationError
from onedoor.mapping import ALL_ROWS, Compared, Op, TypeMapping, attribute, bucket, domain, last, year
from tests.query.rules.world import ACCOUNT, CONTRACT, MASKS, MEMO, World, build_catalog, open_world

EVERYBODY = {"staff": ALL_ROWS, "desk": ALL_ROWS, "vendor": ALL_ROWS}


def ruled(rule: Any) -> TypeMapping:
    return replace(ACCOUNT, rows={**EVERYBODY, "vendor": rule})


def masked(**mask: Mapping[str, Any]) -> TypeMapping:
    return replace(ACCOUNT, mask={"band": MASKS["band"], **mask})


REFUSED = {
    "a group without a rule": (
        replace(ACCOUNT, rows={"staff": ALL_ROWS, "desk": ALL_ROWS}),
        "`Account` has rules for rows but none for `vendor`, whom `@allow` admits: name its rows, or `ALL_ROWS`",
    ),
    "a group that is not admitted": (
        replace(ACCOUNT, rows={**EVERYBODY, "sales": ALL_ROWS}),
        "`Account` has a rule for the rows of `sales`, whom `@allow` does not admit: leave it out",
    ),
    "no column": (
        ruled({"continent": "EU"}),
        "the rule for rows of `Account` names the column `continent`, which `account` does not have",
    ),
    "no link": (
        ruled({"owner": {"name": "Ada"}}),
        "the rule for rows of `Account` names the link `owner`, which `Account` does not have",
    ),
    "no column behind a link": (
        ruled({"deals": {"worth": 1}}),
        "the rule for rows of `Account` names the column `worth`, which `deal` does not have",
    ),
    "another kind of value": (
        ruled({"id": "1"}),
        "the rule for rows of `Account` compares `id`, which holds integer, with another kind of value: "
        "give one of that kind",
    ),
    "null": (
        ruled({"region": ("EU", None)}),
        "the rule for rows of `Account` compares `region`, which holds text, with another kind of value: "
        "give one of that kind",
    ),
    "true for a number": (
        ruled({"id": True}),
        "the rule for rows of `Account` compares `id`, which holds integer, with another kind of value: "
        "give one of that kind",
    ),
    "an operator of texts": (
        ruled({"id": Compared(Op.CONTAINS, 1)}),
        "the rule for rows of `Account` compares `id` by `contains`, which is none of its operators: take another",
    ),
    "an operator of lists": (
        ruled({"region": Compared(Op.IN, "EU")}),
        "the rule for rows of `Account` compares `region` by `in`, which is none of its operators: take another",
    ),
    "another type of the same rows": (
        replace(MEMO, source="CONTRACT"),
        "`Memo` shows rows that `Contract` has rules for: give it rules, too",
    ),
    "a part of a key": (
        masked(id={"desk": last(4)}),
        "`Account.id` is masked, so it may hold a part of a value: make it a nullable String",
    ),
    "a link": (
        masked(deals={"desk": last(4)}),
        "`Account.deals` is masked, so it may hold a part of a value: make it a nullable String",
    ),
    "no field": (
        masked(fax={"desk": last(4)}),
        "`Account.fax` is masked, but there is no such field: name a field of the schema",
    ),
    "a mask for whom is not admitted": (
        masked(email={"vendor": last(4)}),
        "`Account.email` is masked for `vendor`, which `@allow` does not admit: leave it out",
    ),
    "a mask for everybody": (
        masked(phone={"desk": last(4), "vendor": last(4), "staff": last(4)}),
        "`Account.phone` is masked for all who may see it: let one more group see it as it is",
    ),
    "a mask of another kind of value": (
        masked(phone={"desk": year()}),
        "`Account.phone` is masked by year, but its column holds text: take another mask",
    ),
    "a number that is compared as text": (
        replace(masked(phone={"desk": bucket(10), "vendor": bucket(10)}), columns={"band": "limit", "phone": "limit"}),
        "`Account.phone` shows `limit`, which holds integer, as text: "
        "declare it as `Computed[str | None]`, so that nothing compares it",
    ),
    "a column that another field shows": (
        replace(masked(phone={"desk": last(4)}), columns={"band": "limit", "name": "phone"}),
        "`Account.name` shows what `Account.phone` masks, narrow it to ['staff', 'vendor'], or mask it, too",
    ),
    "what an interface shows": (
        replace(CONTRACT, mask={"name": {"desk": domain()}}),
        "`Contract.name` is masked, but `Paper.name` shows it too: take it out there",
    ),
}


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("what", REFUSED)
async def test_what_cannot_hold_is_refused_at_the_start(world: World, what: str) -> None:
    mapping, message = REFUSED[what]
    connectors = {name: connector.inner for name, connector in world.engine.connectors.items()}
    with pytest.raises(ConfigurationError) as refusal:
        build_catalog(connectors, world.mutations.ledger, **{mapping.type: mapping})
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    "rule",
    [
        {"id": (1, 2), "region": Compared(Op.STARTS_WITH, "E")},
        [{"deals": {"title": attribute("title"), "amount": Compared(Op.GTE, 3)}}, {"papers": {"name": "a"}}],
        {"notes": {"account": {"region": attribute("region")}}},
        {},
    ],
    ids=str,
)
async def test_what_can_hold_starts(world: World, rule: Any) -> None:
    connectors = {name: connector.inner for name, connector in world.engine.connectors.items()}
    assert build_catalog(connectors, world.mutations.ledger, Account=ruled(rule))
