"""Opening the state."""

import pickle
from pathlib import Path
from threading import Thread

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from auth import keyring, people
from auth.groups import GROUPS, registered
from auth.mistake import Mistake
from auth.state import State, opened
from auth.tables import TABLES
from records import tables as _ledger  # noqa: F401
from work.tables import job

PEPPER = b"a pepper of at least thirty-two characters"


def test_the_history_makes_the_tables_the_code_reads(state: State) -> None:
    with state.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert job.metadata is TABLES
        assert compare_metadata(context, TABLES) == []


def test_opening_again_keeps_what_is_there(state: State, url: str) -> None:
    made = people.create(state, first_name="Ada", last_name="Lovelace", email="ada@acme.example")
    again = opened(url, PEPPER)
    assert people.listed(again) == (made,)
    again.close()


def test_many_may_open_a_new_state_at_once(url: str) -> None:
    houses: list[State] = []
    threads = [Thread(target=lambda: houses.append(opened(url, PEPPER))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [people.listed(house) for house in houses] == [()] * 6
    for house in houses:
        house.close()


def test_a_state_of_a_newer_release_is_left_alone(state: State, url: str) -> None:
    with state.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Mistake, match=r"made by a newer release: run that one$"):
        opened(url, PEPPER)


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
    with pytest.raises(Mistake, match=message) as caught:
        opened(url, PEPPER)
    assert "hunter2" not in str(caught.value)


def test_no_secret_is_in_the_database_nor_in_what_is_shown_of_it(state: State, tmp_path: Path) -> None:
    people.create(state, first_name="Ada", last_name="Lovelace", email="ada@acme.example")
    first, second = keyring.create(state, "ada@acme.example"), keyring.rotate(state, "ada@acme.example")
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    with state.reading() as connection:
        kept += pickle.dumps([tuple(row) for row in connection.execute(text("SELECT * FROM key"))])
    shown = kept + repr((state, first, second, keyring.listed(state))).encode()
    assert second.id.encode() in shown
    for secret in (first.text, second.text, first.text.split("_")[2], second.text.split("_")[2], PEPPER.decode()):
        assert secret.encode() not in shown


def test_the_register_names_each_group_once_with_a_registered_owner() -> None:
    names = [group.name for group in GROUPS]
    assert len(set(names)) == len(names)
    assert all(registered(group.owner) and group.purpose for group in GROUPS)
