"""A rejected change names the source and the input field, not the column of the source."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from onedoor.errors import ErrorCode
from onedoor.mutations.context import MutationError
from onedoor.spi.connector import ChangeRejected, ChangeResult, RowChange
from tests.mutations.world import World

GIVEN = {"number": "7", "name": "Ada Lovelace"}

Fault = Callable[[Any, Sequence[RowChange]], Awaitable[Sequence[ChangeResult]]]


def rejecting(reason: str) -> Fault:
    async def reject(inner: Any, changes: Sequence[RowChange]) -> Sequence[ChangeResult]:
        raise ChangeRejected(reason)

    return reject


async def reject(world: World, field: str, **fields: Any) -> str:
    """Return the message of the rejection, with the id of its change left out."""
    with pytest.raises(MutationError) as caught:
        await world.mutate(field, **fields)
    assert caught.value.code is ErrorCode.BAD_USER_INPUT
    return re.sub("change `.*?`", "change `ID`", caught.value.reason)


async def test_a_column_is_named_as_the_input_field_that_sets_it(world: World) -> None:
    world.bank.faults.append(rejecting("no row of `owner` has the key given as `owner_id`"))
    message = await reject(world, "createAccount", name="Ada", ownerId="8")
    assert message == "no row of `owner` has the key given as `ownerId`"


async def test_a_dry_run_names_the_input_field_too(world: World) -> None:
    world.bank.faults.append(rejecting("`owner_id` must have a value"))
    with pytest.raises(Exception, match="`ownerId` must have a value"):
        await world.mutate("createAccount", name="Ada", ownerId="8", dryRun=True)


async def test_a_collection_that_is_called_as_a_column_keeps_its_name(world: World) -> None:
    world.bank.faults.append(rejecting("there is no such row of `account`"))
    assert await reject(world, "createAccount", name="Ada") == "there is no such row of `account`"


async def test_a_saga_of_several_sources_names_the_one_that_refused_and_what_was_undone(world: World) -> None:
    world.board.faults.append(rejecting("the API refused `text` with status 422"))
    message = await reject(world, "openAccount", **GIVEN)
    undone = "what change `ID` made of `account`, `entry` was undone"
    assert message == f"`board`: the API refused `text` with status 422; {undone}"


async def test_a_column_without_a_field_of_its_name_is_named_by_the_one_field_whose_value_it_was_sent(
    world: World,
) -> None:
    world.bank.faults.append(rejecting("`title` cannot hold the value given"))
    saga = world.context.sagas["openAccount"]
    titled = replace(saga.steps[0], values=lambda given, _: {"title": given["name"]})
    world.context.sagas["openAccount"] = replace(saga, steps=(titled, *saga.steps[1:]))  # type: ignore[index]
    assert await reject(world, "openAccount", **GIVEN) == "`bank`: `name` cannot hold the value given"
