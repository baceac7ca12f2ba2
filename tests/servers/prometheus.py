"""Run a real Prometheus on a free port of loopback, where it is installed, over a given history."""

import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from demo.servers.postgresql import follow
from demo.servers.prometheus.app import format_number
from demo.servers.prometheus.promql import Series
from tests.servers.ports import find_free_port

HOST = "127.0.0.1"
PATH = f"{os.environ.get('PATH', '')}:/usr/local/bin"
PROGRAM = shutil.which("prometheus", path=PATH)
TOOL = shutil.which("promtool", path=PATH)
FOUND = PROGRAM is not None and TOOL is not None
READY_SECONDS = 30.0
POLL_SECONDS = 0.05
EVER = 10**15


@contextmanager
def prometheus_server(series: Sequence[Series]) -> Iterator[str]:
    """Its URL. The history is filled in before it starts; it scrapes nothing."""
    assert PROGRAM is not None
    assert TOOL is not None
    with tempfile.TemporaryDirectory(prefix="onedoor-prometheus-") as given:
        folder = Path(given)
        (folder / "history").write_text(openmetrics(series))
        (folder / "prometheus.yml").write_text("global: {}\n")
        backfill = [TOOL, "tsdb", "create-blocks-from", "openmetrics", str(folder / "history"), str(folder / "data")]
        subprocess.run(backfill, check=True, capture_output=True)
        port = find_free_port()
        process = subprocess.Popen(
            [PROGRAM, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
             "--storage.tsdb.retention.time=100y", f"--web.listen-address={HOST}:{port}", "--log.level=error"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0, preexec_fn=follow,
        )  # fmt: skip
        try:
            ready(f"http://{HOST}:{port}")
            yield f"http://{HOST}:{port}"
        finally:
            process.kill()
            process.wait()


def openmetrics(series: Sequence[Series]) -> str:
    """Every point of every series, as promtool reads them: those of one metric together."""
    lines = []
    for item in sorted(series, key=lambda one: one.labels["__name__"]):
        labels = ",".join(f'{name}="{escape_text(text)}"' for name, text in item.labels.items() if name != "__name__")
        for index, value in item.points(0, EVER):
            lines.append(f"{item.labels['__name__']}{{{labels}}} {format_number(value)} {index / 1000:.3f}")
    return "\n".join([*lines, "# EOF", ""])


def escape_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def ready(url: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"{url}/-/ready", timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, f"Prometheus did not answer within {READY_SECONDS:g} s"
            time.sleep(POLL_SECONDS)
        else:
            return
