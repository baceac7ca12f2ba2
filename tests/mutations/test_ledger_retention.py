"""Changes are deleted with their intents and steps by the rules that records are, once that is stated."""

from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from onedoor.audit.retention import LegalHold
from onedoor.audit.settings import RecordsSettings
from onedoor.errors import ConfigurationError
from onedoor.mutations.ledger_retention import build_retention_sweep, delete_old_changes
from onedoor.mutations.ledger_sql import change_table, intent_step_table, intent_table
from onedoor.storage.database import MetadataDatabase, open_database

BEGUN = datetime(2026, 11, 1, tzinfo=UTC)
LATER = BEGUN + timedelta(days=1)


@pytest.fixture
def database(tmp_path: Path) -> Any:
    """A ledger of one change that has ended, of p1, one of p2, and one that is open."""
    pepper = b"of the tests, and at least thirty-two characters long"
    with closing(open_database(f"sqlite:///{tmp_path}/state.sqlite", pepper)) as database:
        for number, (person, state) in enumerate((("p1", "DONE"), ("p2", "DONE"), ("p1", "OPEN"))):
            insert_intent(database, f"I{number}", person, state)
        yield database


def insert_intent(database: MetadataDatabase, id: str, person: str, state: str) -> None:
    texts = {"person": person, "mutation": "m", "record": "r", "state": state}
    with database.write_transaction() as connection:
        connection.execute(
            insert(intent_table),
            {"id": id, "key_id": "k", "groups": "", "body": b"", "input": "{}", "steps": 1, "leads": "",
             "begun_at": BEGUN, "lease_until": BEGUN, "owner": "o", "idempotency_key": id, **texts},
        )  # fmt: skip
        connection.execute(
            insert(intent_step_table),
            {"intent_id": id, "number": 1, "attempt": 1, "change_id": id, "name": "n", "source": "s",
             "collection": "c", "verb": "create", "change": "{}", "begun_at": BEGUN, "outcome": "DONE"},
        )  # fmt: skip
        connection.execute(
            insert(change_table),
            {"id": id, "intent_id": id, "type": "T", "row": "1", "verb": "create", "at": BEGUN, **texts},
        )


def count_rows(database: MetadataDatabase) -> list[int | None]:
    with database.read_connection() as connection:
        return [
            connection.scalar(select(func.count()).select_from(table))
            for table in (intent_table, intent_step_table, change_table)
        ]


def test_what_has_ended_is_deleted_whole_and_stated_before(database: MetadataDatabase) -> None:
    stated: list[Mapping[str, Any]] = []

    def state(content: Mapping[str, Any]) -> None:
        assert count_rows(database) == [3, 3, 3]
        stated.append(content)

    delete_old_changes(database, LATER, (), state)
    assert count_rows(database) == [1, 1, 1]
    assert [content["ledger"] for content in stated] == [{"intents": 2, "changes": 2}]


@pytest.mark.parametrize(
    ("before", "holds", "kept"),
    [
        pytest.param(BEGUN, (), 3, id="young"),
        pytest.param(LATER, (LegalHold(person="p1"),), 2, id="a person's"),
        pytest.param(LATER, (LegalHold(since=BEGUN, until=BEGUN),), 3, id="of a period"),
        pytest.param(LATER, (LegalHold(since=LATER),), 1, id="of another period"),
    ],
)
def test_what_is_held_or_young_stays(
    database: MetadataDatabase, before: datetime, holds: tuple[LegalHold, ...], kept: int
) -> None:
    delete_old_changes(database, before, holds, lambda _: None)
    assert count_rows(database) == [kept] * 3


def test_nothing_is_deleted_without_a_key(database: MetadataDatabase) -> None:
    with pytest.raises(ConfigurationError, match=r"^`records.keep_days` needs a key that signs what is deleted"):
        build_retention_sweep(RecordsSettings(keep_days=400), None, None, database)
