"""A subscriber gets every event from then on, once, in order, whichever process published it."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from demo.servers.postgresql import PostgresqlServer
from onedoor.model.catalog import Topic
from onedoor.runtime.pubsub import EventStore, InMemoryEventStore, PubSub, SlowConsumer
from onedoor.storage.database import MetadataDatabase, MetadataDatabaseUnavailable, open_database, utc_now
from onedoor.storage.events import EVENT_RETENTION, EventLog, append_event
from onedoor.storage.tables import event_table
from tests.metadata import copy_postgresql, copy_sqlite

ROOT = Path(__file__).parents[3]
PEPPER = b"a pepper of at least thirty-two characters"
ALL, ONE, OTHER = Topic(name="customer"), Topic(name="customer", key="1"), Topic(name="customer", key="2")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return copy_sqlite(tmp_path)
    server: PostgresqlServer = request.getfixturevalue("postgresql_started")
    return copy_postgresql(server, "events")


@pytest.fixture
def state(url: str) -> Iterator[MetadataDatabase]:
    database = open_database(url, PEPPER)
    yield database
    database.close()


@asynccontextmanager
async def bus(store: EventStore, every: float = 0.05, most: int = 1000) -> AsyncIterator[PubSub]:
    pubsub = PubSub(store, poll_interval=every, queue_size=most)
    try:
        yield pubsub
    finally:
        await pubsub.close()


async def some(rows: AsyncIterator[str], many: int) -> list[str]:
    async with asyncio.timeout(20):
        return [await anext(rows) for _ in range(many)]


async def test_a_listener_hears_of_its_topics_alone() -> None:
    async with (
        bus(InMemoryEventStore()) as publisher,
        publisher.listen([ONE]) as one,
        publisher.listen([ALL]) as all_of_them,
    ):
        for topic, row in ((OTHER, "a"), (ONE, "b"), (Topic(name="order", key="1"), "c"), (ALL, "d"), (ONE, "e")):
            await publisher.publish(topic, row)
        assert (await some(one, 2), await some(all_of_them, 4)) == (["b", "e"], ["a", "b", "d", "e"])


async def test_an_event_on_two_topics_of_one_listener_is_heard_once() -> None:
    async with bus(InMemoryEventStore()) as publisher, publisher.listen([ALL, ONE]) as rows:
        for row in "ab":
            await publisher.publish(ONE, row)
        assert await some(rows, 2) == ["a", "b"]


async def test_nothing_is_lost_between_listening_and_the_first_look() -> None:
    async with bus(InMemoryEventStore()) as publisher:
        await publisher.publish(ONE, "before")
        async with publisher.listen([ONE]) as rows:
            for number in range(100):
                await publisher.publish(ONE, str(number))
            await asyncio.sleep(0.2)
            assert await some(rows, 100) == [str(number) for number in range(100)]


async def test_who_comes_later_hears_of_nothing_that_was_before() -> None:
    async with bus(InMemoryEventStore()) as publisher, publisher.listen([ONE]) as first:
        await publisher.publish(ONE, "a")
        async with publisher.listen([ONE]) as second:
            await publisher.publish(ONE, "b")
            assert (await some(first, 2), await some(second, 1)) == (["a", "b"], ["b"])


async def test_who_listens_again_after_nobody_did_hears_of_what_is_new() -> None:
    async with bus(InMemoryEventStore()) as publisher:
        for row in "abc":
            async with publisher.listen([ONE]) as rows:
                await publisher.publish(ONE, row)
                assert await some(rows, 1) == [row]


async def test_a_slow_subscriber_gets_an_error_and_the_others_get_every_event() -> None:
    async with (
        bus(InMemoryEventStore(), most=10) as publisher,
        publisher.listen([ONE]) as slow,
        publisher.listen([ONE]) as other,
    ):
        for number in range(11):
            await publisher.publish(ONE, str(number))
            assert await some(other, 1) == [str(number)]
        with pytest.raises(SlowConsumer):
            await some(slow, 11)


async def test_a_subscriber_gets_no_event_after_the_pubsub_is_closed() -> None:
    pubsub = PubSub(InMemoryEventStore())
    async with pubsub.listen([ONE]) as rows:
        await pubsub.close()
        assert [row async for row in rows] == []


async def test_what_others_write_is_heard_once_and_in_order(state: MetadataDatabase, url: str) -> None:
    """Two threads with a state of their own, and this process, at once."""
    far = open_database(url, PEPPER)
    threads = [threading.Thread(target=append_events, args=(far, name)) for name in "xy"]
    async with bus(EventLog(state)) as publisher, publisher.listen([ALL]) as rows:
        for thread in threads:
            thread.start()
        for number in range(20):
            await publisher.publish(ONE, f"z{number}")
        received = await some(rows, 60)
    for thread in threads:
        thread.join()
    far.close()
    assert [[item for item in received if item[0] == name] for name in "xyz"] == [
        [f"{name}{number}" for number in range(20)] for name in "xyz"
    ]


def append_events(state: MetadataDatabase, name: str) -> None:
    for number in range(20):
        EventLog(state).append("customer", "1", f"{name}{number}")


async def test_what_another_process_writes_is_heard(state: MetadataDatabase, url: str) -> None:
    program = (
        "import sys; from contextlib import closing\n"
        "from onedoor.storage.database import open_database; from onedoor.storage.events import EventLog\n"
        "with closing(open_database(sys.argv[1], b'0' * 32)) as state:\n"
        "    for row in 'abc': EventLog(state).append('customer', '1', row)"
    )
    async with bus(EventLog(state)) as publisher, publisher.listen([ONE]) as rows:
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program, url], cwd=ROOT, check=True)
        assert await some(rows, 3) == ["a", "b", "c"]


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_a_writer_that_commits_late_is_not_passed_over(state: MetadataDatabase) -> None:
    """There an id is given before it can be seen; the next writer waits until it is. SQLite has one writer anyway."""
    events = EventLog(state)
    late = threading.Thread(target=events.append, args=("customer", "1", "second"))
    async with bus(events) as publisher, publisher.listen([ONE]) as rows:
        with state.write_transaction() as connection:
            append_event(state, connection, "customer", "1", "first")
            late.start()
            await asyncio.sleep(0.3)
        assert await some(rows, 2) == ["first", "second"]
    late.join()


async def test_a_state_that_fails_for_a_while_loses_nothing(state: MetadataDatabase, tmp_path: Path) -> None:
    class Failing(EventLog):
        broken = False

        def since(self, id: int, most: int) -> object:  # type: ignore[override]
            if self.broken:
                raise MetadataDatabaseUnavailable("the state does not answer")
            return super().since(id, most)

    store = Failing(state)
    async with bus(store) as publisher, publisher.listen([ONE]) as rows:  # type: ignore[arg-type]
        store.broken = True
        for row in "ab":
            await publisher.publish(ONE, row)
        await asyncio.sleep(0.2)
        store.broken = False
        assert await some(rows, 2) == ["a", "b"]


def test_what_is_old_is_deleted_and_its_id_is_not_given_again(state: MetadataDatabase) -> None:
    EventLog(MetadataDatabase(engine=state.engine, pepper=PEPPER, now=lambda: utc_now() - 2 * EVENT_RETENTION)).append(
        "customer", "1", "old"
    )
    events = EventLog(state)
    last = events.newest()
    with state.write_transaction() as connection:
        connection.execute(event_table.delete())
    events.append("customer", "1", "new")
    assert events.newest() > last
    now = utc_now() + EVENT_RETENTION + timedelta(minutes=2)
    EventLog(MetadataDatabase(engine=state.engine, pepper=PEPPER, now=lambda: now)).append("customer", "1", "newest")
    with state.read_connection() as connection:
        assert connection.execute(select(func.count()).select_from(event_table)).scalar_one() == 1


def test_an_event_is_kept_with_the_writes_around_it_or_not_at_all(state: MetadataDatabase) -> None:
    with state.write_transaction() as connection:
        append_event(state, connection, "customer", "1", "never")
        connection.rollback()
    assert EventLog(state).since(0, 10) == []
