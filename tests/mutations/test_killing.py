"""Nothing that was acknowledged is lost, and nothing is made twice, whenever a process is killed."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def run_killing(*arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.mutations.killing", *map(str, arguments)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, (arguments, ended.stderr)
    data: dict[str, Any] = json.loads(ended.stdout)
    return data


@pytest.mark.parametrize(
    ("vault_fault", "steps"),
    [
        pytest.param("", 5, id="all steps are applied"),
        pytest.param("refuse", 6, id="the second is refused, so the first is undone"),
        pytest.param("lose_reply", 6, id="the reply of the second is lost"),
    ],
)
def test_a_kill_before_any_durable_step_loses_and_repeats_nothing(tmp_path: Path, vault_fault: str, steps: int) -> None:
    result = run_killing("steps", tmp_path, vault_fault)
    assert (result["not there once"], result["steps"] >= steps) == (0, True), result
    assert result["intents"].keys() <= {"DONE", "NOT_MADE", "UNDONE"}, result


@pytest.mark.long
@pytest.mark.parametrize("kills", [20, 100])
def test_kills_at_any_moment_lose_and_repeat_nothing(tmp_path: Path, kills: int) -> None:
    seed = random.randrange(10**6)
    result = run_killing("random", tmp_path, kills, seed)
    assert result["acknowledged before a kill"] >= kills // 4, (seed, result)
    assert (result["not there once"], result["answered otherwise"]) == (0, 0), (seed, result)
    assert result["intents"].keys() <= {"DONE", "NOT_MADE", "UNDONE"}, (seed, result)
