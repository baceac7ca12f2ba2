"""`python -m demo`: a port and a folder to the whole of Acme behind one door, until Ctrl-C."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import Thread
from typing import Any, NoReturn

from sqlalchemy.exc import SQLAlchemyError

from demo.data.files import SHELF, shelve
from demo.data.seed_sql import Refused, seed
from demo.run import COMPANY, INTERNAL_FILE, PEOPLE, SECRETS, Unusable, held, keys, pepper, settings
from demo.servers.run import HOST, NAMES, NotReady, Running, accepts, address, started, wait_ready
from onedoor.config import load_settings
from onedoor.errors import ConfigurationError
from onedoor.http.server import require_free_port, run_server
from onedoor.storage.database import open_database

CONFIG = "ONEDOOR_CONFIG"
PEPPER = "ONEDOOR_PEPPER"


def main() -> None:
    """Ends with 2 and one sentence when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m demo", description="Acme Inc. behind one door.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--folder", type=Path, default=Path(".demo"), help="where the demo keeps its state")
    parser.add_argument("--scale", type=float, default=1.0, help="1: the whole company; 0.01: a hundredth of it")
    parser.add_argument("--workers", type=int, default=1, help="how many processes share the port")
    chosen = parser.parse_args()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, interrupt)
    try:
        run(chosen.port, chosen.folder.absolute(), chosen.scale, chosen.workers)
    except (Unusable, Refused, NotReady, ConfigurationError) as reason:
        print(reason, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        pass
    print("Closed.")


def interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def run(port: int, folder: Path, scale: float, workers: int) -> None:
    """The servers fill themselves while the tables are being written."""
    with ExitStack() as stack:
        require_free_port(HOST, port)
        stack.enter_context(held(folder))
        os.environ.update({**SECRETS, PEPPER: pepper(folder), CONFIG: str(folder / "onedoor.toml")})
        running = stack.enter_context(started(scale=scale))
        fill(folder, scale)
        made = issued(folder)
        wait_ready(running)
        write_settings(port, folder, running)
        words = welcome(port, folder, running, made)
        Thread(target=greet, args=(port, words), daemon=True).start()
        run_server(load_app, HOST, port, load_settings(folder / "onedoor.toml").limits, workers)


def load_app() -> Any:
    """Return the app that Acme's app.py makes; each process calls it."""
    spec = spec_from_file_location("app", COMPANY / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


def fill(folder: Path, scale: float) -> None:
    """The internal tables and the files of our own, if they are not there yet. Raises Refused, Unusable."""
    try:
        seed(f"sqlite:///{folder / INTERNAL_FILE}", scale)
        shelve(folder, scale)
    except OSError as reason:
        raise Unusable(f"nothing can be written to `{folder}` ({reason.strerror}); make room there") from reason


def issued(folder: Path) -> Mapping[str, str]:
    """Each group's key, kept in the state that the door will open. Raises Mistake."""
    with closing(open_database(f"sqlite:///{folder}/state.sqlite", os.environ[PEPPER].encode())) as state:
        try:
            return keys(state)
        except SQLAlchemyError as reason:
            raise ConfigurationError(f"the state in `{folder}` did not answer; stop what else uses it") from reason


def write_settings(port: int, folder: Path, running: Running) -> None:
    addresses = {name: address(running, name) for name in NAMES}
    (folder / "onedoor.toml").write_text(settings(folder=folder, port=port, addresses=addresses), encoding="utf-8")


def greet(port: int, words: str) -> None:
    """Says where everything is once the door answers; one that never does says so itself."""
    while not accepts(port):
        time.sleep(0.02)
    print(words, flush=True)


def welcome(port: int, folder: Path, running: Running, made: Mapping[str, str]) -> str:
    places = [f"  {name:<12}{HOST}:{running.ports[name]}" for name in NAMES]
    asking = [
        f"{person.group} - {person.first_name} {person.last_name}\n  {made[person.group]}\n  {person.question}\n"
        for person in PEOPLE
    ]
    return "\n".join(
        [
            f"Onedoor is open at http://{HOST}:{port}/graphql\n",
            f"  GraphiQL    http://{HOST}:{port}/graphiql",
            f"  dashboard   http://{HOST}:{port}/dashboard\n",
            f"  internal    {folder / INTERNAL_FILE}",
            f"  folder      {folder / SHELF}",
            *places,
            "",
            "A key for each functional group, and something to ask with it:\n",
            *asking,
            "All of Acme is made up; Ctrl-C closes the door and stops its servers.",
        ]
    )


if __name__ == "__main__":
    main()
