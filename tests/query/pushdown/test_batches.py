"""Keys are sent in batches as large as the connector takes, and as many batches at once as its bulkhead lets."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from onedoor.connectors.memory import MemoryCollection, MemoryConnector
from onedoor.model.catalog import Limits
from onedoor.query.executor.scan import execute_scan
from onedoor.query.planner.nodes import LogicalScan
from onedoor.query.planner.pushdown import plan_scan
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest
from tests.query.pushdown.state import build_state
from tests.query.pushdown.strict import Strict

PARENTS = tuple((key,) for key in range(40))
ROWS = tuple((number, number % 40) for number in range(120))
ONE_KEY_AT_A_TIME = Capabilities(
    columns={"id": Column(ColumnType.INTEGER), "parent": Column(ColumnType.INTEGER)}, max_keys=1
)
NARROW = Limits(source_calls=2, source_queue=3)


class Watched(Strict):
    """Take a while to answer, and count how many requests wait at once."""

    def __init__(self, memory: MemoryConnector) -> None:
        super().__init__(memory)
        self.under_way = 0
        self.most = 0

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        async for rows in super().scan(request):
            yield rows


async def test_a_query_of_many_batches_does_not_overflow_the_queue_of_its_connector() -> None:
    connector = Watched(MemoryConnector({"row": MemoryCollection(capabilities=ONE_KEY_AT_A_TIME, rows=ROWS)}))
    scan = LogicalScan(source="slow", collection="row", columns=("id",), key_columns=("parent",))
    state = build_state("slow", connector, NARROW)
    result = await execute_scan(state, plan_scan(connector, scan), PARENTS)
    assert (sorted(result.rows), connector.most) == (sorted(ROWS), NARROW.source_calls)
