"""Open the small world once a module, with connectors that promise much and with such as promise nothing."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.query.rules.world import World, open_world


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[False, True], ids=["promising", "forgetful"])
async def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(tmp_path_factory.mktemp("rules"), forgets_promises=request.param) as opened:
        yield opened
