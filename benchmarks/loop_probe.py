"""Run a module as `python -m` does, and write down each long step of its event loop: `loop_probe.py FILE MODULE ...`.

The loop is asyncio's own, as the steps of uvloop cannot be measured.
"""

import asyncio
import runpy
import sys
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

LONG_SECONDS = 0.01


def main() -> None:
    sys.modules["uvloop"] = None  # type: ignore[assignment]  # so that nothing finds it
    sys.path[0] = ""  # what is here is found as from any other folder
    path, sys.argv = Path(sys.argv[1]), sys.argv[2:]
    with path.open("a", encoding="ascii", buffering=1) as file:
        measure_steps(file)
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def measure_steps(file: Any) -> None:
    """Write a line for each step of any event loop: its seconds of processor time, and of the clock."""
    run = asyncio.events.Handle._run

    def measured(handle: asyncio.events.Handle) -> None:
        began, busy = perf_counter(), thread_time()
        run(handle)
        seconds = perf_counter() - began
        if seconds > LONG_SECONDS:
            file.write(f"{thread_time() - busy:.6f} {seconds:.6f}\n")

    asyncio.events.Handle._run = measured  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    main()
