"""Apollo's link and urql's exchange for automatic persisted queries, as they are."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("client", ["apollo", "urql"])
def test_the_text_is_sent_once_and_the_digest_from_then_on(asked: Callable[..., Any], client: str, method: str) -> None:
    found = asked("persisted.mjs", client, method)
    names = [each["me"]["firstName"] for each in found["told"]]
    assert (names, [(text, digest) for _, text, digest in found["sent"]], found["sent"][-1][0]) == (
        ["Ada", "Ada"], [(False, True), (True, True), (False, True)], method,
    )  # fmt: skip
