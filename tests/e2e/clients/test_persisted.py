"""Apollo's link and urql's exchange for automatic persisted queries work unchanged."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("client", ["apollo", "urql"])
def test_the_text_is_sent_once_and_the_digest_from_then_on(
    run_program: Callable[..., Any], client: str, method: str
) -> None:
    output = run_program("persisted.mjs", client, method)
    names = [item["me"]["firstName"] for item in output["told"]]
    assert (names, [(text, digest) for _, text, digest in output["sent"]], output["sent"][-1][0]) == (
        ["Ada", "Ada"], [(False, True), (True, True), (False, True)], method,
    )  # fmt: skip
