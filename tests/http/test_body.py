"""Read a body that comes in very many parts."""

from typing import Any

import pytest

from onedoor.http.requests import parse_head, read_body
from onedoor.model.catalog import Limits

SCOPE = {"method": "POST", "query_string": b"", "headers": []}


class Part(bytes):
    """Counts how often anybody asks how long one is."""

    measured = 0

    def __len__(self) -> int:
        Part.measured += 1
        return super().__len__()


@pytest.mark.parametrize("parts", [100, 200, 400, 800])
async def test_a_part_of_a_body_is_looked_at_a_fixed_number_of_times(parts: int) -> None:
    Part.measured, left = 0, parts

    async def receive() -> dict[str, Any]:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": Part(b"x"), "more_body": left > 0}

    assert await read_body(parse_head(SCOPE), receive, Limits()) == b"x" * parts
    assert Part.measured <= 2 * parts
