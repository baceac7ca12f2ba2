"""A name that is erased stands nowhere any more, and the id stays."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import insert

from auth import users
from auth.attribution import Attribution
from onedoor.administration.erasure import erase_person
from onedoor.errors import ConfigurationError
from onedoor.storage.database import MetadataDatabase, open_database
from onedoor.storage.directory_tables import (
    directory_change_table,
    directory_identity_table,
    directory_sync_table,
    directory_user_table,
)

ADA = "ada@acme.example"
BY = Attribution(actor="os:eva", reason="she asked for it", record_id="0" * 26)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[MetadataDatabase]:
    """Ada, with an attribute, a sync that named her and an identity of a provider."""
    path, pepper = tmp_path / "state.sqlite", b"of the tests, and at least thirty-two characters long"
    with closing(open_database(f"sqlite:///{path}", pepper)) as database:
        ada = users.create_user(database, first_name="Ada", last_name="Lovelace", email=ADA)
        users.set_attributes(database, ADA, {"nickname": ("Lovelace",)})
        now = database.now()
        with database.write_transaction() as connection:
            connection.execute(
                insert(directory_sync_table),
                {"id": "S", "source": "s", "started_at": now, "ended_at": now, "state": "d"},
            )
            connection.execute(
                insert(directory_change_table),
                {"id": "C", "sync_id": "S", "source": "s", "at": now, "kind": "k", "subject": ADA, "person_id": ada.id},
            )
            connection.execute(
                insert(directory_identity_table),
                {"issuer": "i", "subject": "s", "person_id": ada.id, "created_at": now},
            )
        yield database


def dump(folder: Path) -> str:
    with closing(sqlite3.connect(folder / "state.sqlite")) as connection:
        return "\n".join(connection.iterdump()).casefold()


def test_nothing_of_the_name_is_left(database: MetadataDatabase, tmp_path: Path) -> None:
    users.deactivate_user(database, ADA)
    id = erase_person(database, ADA, BY)
    text = dump(tmp_path)
    assert [word for word in ("ada@", "'ada'", "lovelace") if word in text] == []
    erased = users.load_user(database, id)
    assert (erased.first_name, erased.last_name, erased.attributes) == ("erased", "", {})


def test_only_who_is_deactivated_is_erased(database: MetadataDatabase) -> None:
    with pytest.raises(ConfigurationError, match=r"^`ada@acme.example` is active: deactivate them first$"):
        erase_person(database, ADA, BY)


def test_whom_a_directory_names_is_not_erased(database: MetadataDatabase) -> None:
    users.deactivate_user(database, ADA)
    now = database.now()
    with database.write_transaction() as connection:
        connection.execute(
            insert(directory_user_table),
            {"id": "U", "source": "s", "user_name": ADA, "user_name_folded": ADA, "active": False,
             "person_id": users.load_user(database, ADA).id, "resource": "{}", "version": 1, "created_at": now,
             "modified_at": now},
        )  # fmt: skip
    with pytest.raises(ConfigurationError, match=r"^the directory still names `ada@acme.example`"):
        erase_person(database, ADA, BY)


def test_a_service_has_no_name_to_erase(database: MetadataDatabase) -> None:
    service = users.create_service(database, name="billing", owner_group="sales")
    with pytest.raises(ConfigurationError, match=r"is a service, which has no name to erase$"):
        erase_person(database, service.id, BY)
