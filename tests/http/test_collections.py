"""Full garbage collections look at what is new; at all objects they look once in a while."""

import gc

import pytest

from onedoor.http.server import WHOLE_COLLECTION_SECONDS, SurvivorFreezer


def test_what_is_in_use_is_set_apart_and_after_a_while_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, clock = list[str](), [0.0]
    monkeypatch.setattr(gc, "freeze", lambda: calls.append("freeze"))
    monkeypatch.setattr(gc, "unfreeze", lambda: calls.append("unfreeze"))
    freezer = SurvivorFreezer(lambda: clock[0])
    for seconds in (0.0, WHOLE_COLLECTION_SECONDS, WHOLE_COLLECTION_SECONDS + 1):
        clock[0] = seconds
        freezer("start", {"generation": 2})
        freezer("stop", {"generation": 1})
        freezer("stop", {"generation": 2})
    assert calls == ["freeze", "unfreeze", "freeze"]
