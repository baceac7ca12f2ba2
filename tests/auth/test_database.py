"""Open the metadata database."""

import pickle
from pathlib import Path
from threading import Thread

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from auth import api_keys, users
from onedoor.errors import ConfigurationError
from onedoor.jobs.tables import job_table
from onedoor.mutations import ledger_sql  # noqa: F401
from onedoor.storage.database import MetadataDatabase, open_database
from onedoor.storage.tables import METADATA
from tests.acme import GROUPS

PEPPER = b"a pepper of at least thirty-two characters"


def test_the_history_makes_the_tables_the_code_reads(state: MetadataDatabase) -> None:
    with state.read_connection() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert job_table.metadata is METADATA
        assert compare_metadata(context, METADATA) == []


def test_opening_again_keeps_what_is_there(state: MetadataDatabase, url: str) -> None:
    user = users.create_user(state, first_name="Ada", last_name="Lovelace", email="ada@acme.example")
    again = open_database(url, PEPPER)
    assert users.list_users(again) == (user,)
    again.close()


def test_many_may_open_a_new_state_at_once(empty_url: str) -> None:
    databases: list[MetadataDatabase] = []
    threads = [Thread(target=lambda: databases.append(open_database(empty_url, PEPPER))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [users.list_users(database) for database in databases] == [()] * 6
    for database in databases:
        database.close()


def test_a_state_of_a_newer_release_is_left_alone(state: MetadataDatabase, url: str) -> None:
    with state.write_transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match=r"made by a newer release: run that one$"):
        open_database(url, PEPPER)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param("nonsense", "the state's url cannot be read", id="no url"),
        pytest.param("mysql://root:hunter2@host/db", r"cannot be kept in `mysql://root:\*\*\*@host/db`", id="not ours"),
        pytest.param("sqlite://", "cannot be kept in `sqlite://`", id="in memory, which no second thread would see"),
        pytest.param("sqlite:////nowhere/at/all", "cannot be opened", id="no folder"),
        pytest.param(
            "postgresql://u:hunter2@127.0.0.1:1/db", r"`postgresql\+psycopg://u:\*\*\*@127.0.0.1:1/db`", id="down"
        ),
    ],
)
def test_what_cannot_be_opened_is_one_sentence_without_the_password(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        open_database(url, PEPPER)
    assert "hunter2" not in str(caught.value)


def test_no_secret_is_in_the_database_nor_in_what_is_shown_of_it(state: MetadataDatabase, tmp_path: Path) -> None:
    users.create_user(state, first_name="Ada", last_name="Lovelace", email="ada@acme.example")
    first, second = api_keys.create_key(state, "ada@acme.example"), api_keys.rotate_key(state, "ada@acme.example")
    result = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    with state.read_connection() as connection:
        result += pickle.dumps([tuple(row) for row in connection.execute(text("SELECT * FROM key"))])
    shown = result + repr((state, first, second, api_keys.list_keys(state))).encode()
    assert second.id.encode() in shown
    for secret in (first.text, second.text, first.text.split("_")[2], second.text.split("_")[2], PEPPER.decode()):
        assert secret.encode() not in shown


def test_the_register_names_each_group_once_with_a_registered_owner() -> None:
    names = [group.name for group in GROUPS]
    assert len(set(names)) == len(names)
    assert all(group.owner in GROUPS.contacts and group.purpose for group in GROUPS)
