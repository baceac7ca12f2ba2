"""Kill -9 at any time: nothing that was acknowledged is lost, and nothing is made twice. KILLS=100 kills as often."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("KILLS", "20"))


def test_after_kills_every_change_is_there_exactly_once(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    words = [sys.executable, "-m", "tests.mutations.killing", str(tmp_path), str(KILLS), str(seed)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60 + 5 * KILLS, check=False)
    assert done.returncode == 0, (seed, done.stderr)
    told = json.loads(done.stdout)
    print(done.stdout)
    assert told["acknowledged before a kill"] >= KILLS // 4, told
    assert (told["acknowledged and not there once"], told["answered otherwise"]) == (0, 0), told
    assert told["intents"].keys() <= {"DONE", "NOT_MADE", "UNDONE"}, told
