"""Keys go down in batches as large as the source takes, and no more at once than it may be asked."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from engine.fetch.read import read
from engine.house import Limits
from engine.plan import push
from engine.plan.words import Wanted
from engine.words import Ask, Can, Column, Kind, Row
from sources.memory import Collection, Memory
from tests.push.running import running
from tests.push.strict import Strict

PARENTS = tuple((key,) for key in range(40))
ROWS = tuple((number, number % 40) for number in range(120))
ONE_KEY_AT_A_TIME = Can(columns={"id": Column(Kind.INTEGER), "parent": Column(Kind.INTEGER)}, keys=1)
NARROW = Limits(source_calls=2, source_queue=3)


class Watched(Strict):
    """Takes a while to answer, and counts how many wait at once."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self.under_way = 0
        self.most = 0

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        async for rows in super().read(ask):
            yield rows


async def test_a_question_of_many_batches_does_not_overflow_the_queue_of_its_source() -> None:
    source = Watched(Memory({"row": Collection(can=ONE_KEY_AT_A_TIME, rows=ROWS)}))
    run = running("slow", source, NARROW)
    wanted = Wanted(source="slow", collection="row", columns=("id",), keyed=("parent",))
    found = await read(run, push.read(source, wanted), PARENTS)
    assert (sorted(found.rows), source.most) == (sorted(ROWS), NARROW.source_calls)
