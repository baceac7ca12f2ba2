"""Run `python -m demo`: all of Acme behind one server, until Ctrl-C."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Thread
from typing import NoReturn

from sqlalchemy.exc import SQLAlchemyError

from demo.data.files import FOLDER_NAME, write_folder
from demo.data.seed_sql import SeedRefused, seed
from demo.run import (
    INTERNAL_FILE,
    PEOPLE,
    SECRETS,
    Unusable,
    keys,
    load_app,
    load_checkpoint_key,
    load_pepper,
    lock_folder,
    settings,
)
from demo.servers.run import HOST, NAMES, NotReady, RunningServers, accepts, address, starting, wait_ready
from onedoor.config import load_settings
from onedoor.errors import ConfigurationError
from onedoor.http.server import require_free_port, run_server
from onedoor.storage.database import open_database

CONFIG = "ONEDOOR_CONFIG"
PEPPER = "ONEDOOR_PEPPER"
CHECKPOINT_KEY = "ONEDOOR_CHECKPOINT_KEY"


def main() -> None:
    """Exit with status 2 and one sentence if the demo cannot start."""
    parser = argparse.ArgumentParser(prog="python -m demo", description="Run Acme Inc. behind one GraphQL server.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--folder", type=Path, default=Path(".demo"), help="where the demo keeps its state")
    parser.add_argument("--scale", type=float, default=1.0, help="1: the whole company; 0.01: a hundredth of it")
    parser.add_argument("--workers", type=int, default=1, help="how many processes share the port")
    chosen = parser.parse_args()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, raise_interrupt)
    try:
        run(chosen.port, chosen.folder.absolute(), chosen.scale, chosen.workers)
    except (Unusable, SeedRefused, NotReady, ConfigurationError) as reason:
        print(reason, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        pass
    print("Closed.")


def raise_interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def run(port: int, folder: Path, scale: float, workers: int) -> None:
    """Start everything; the vendors' servers fill themselves while the tables are written."""
    with ExitStack() as stack:
        require_free_port(HOST, port)
        stack.enter_context(lock_folder(folder))
        own_secrets = {PEPPER: load_pepper(folder), CHECKPOINT_KEY: load_checkpoint_key(folder)}
        os.environ.update({**SECRETS, **own_secrets, CONFIG: str(folder / "onedoor.toml")})
        running = stack.enter_context(starting(scale=scale))
        write_sources(folder, scale)
        result = issue_keys(folder)
        wait_ready(running)
        write_settings(port, folder, running)
        words = build_welcome(port, folder, running, result)
        Thread(target=print_when_open, args=(port, words), daemon=True).start()
        run_server(load_app, HOST, port, load_settings(folder / "onedoor.toml").limits, workers)


def write_sources(folder: Path, scale: float) -> None:
    """Write the internal tables and the folder's files, if they are not there yet. Raises SeedRefused and Unusable."""
    try:
        seed(f"sqlite:///{folder / INTERNAL_FILE}", scale)
        write_folder(folder, scale)
    except OSError as reason:
        raise Unusable(f"nothing can be written to `{folder}` ({reason.strerror}); make room there") from reason


def issue_keys(folder: Path) -> Mapping[str, str]:
    """Return each group's key, which is stored in the metadata database. Raises ConfigurationError."""
    with closing(open_database(f"sqlite:///{folder}/state.sqlite", os.environ[PEPPER].encode())) as state:
        try:
            return keys(state)
        except SQLAlchemyError as reason:
            raise ConfigurationError(f"the state in `{folder}` did not answer; stop what else uses it") from reason


def write_settings(port: int, folder: Path, running: RunningServers) -> None:
    addresses = {name: address(running, name) for name in NAMES}
    (folder / "onedoor.toml").write_text(settings(folder=folder, port=port, addresses=addresses), encoding="utf-8")


def print_when_open(port: int, words: str) -> None:
    """Print where everything is once the port answers."""
    while not accepts(port):
        time.sleep(0.02)
    print(words, flush=True)


def build_welcome(port: int, folder: Path, running: RunningServers, issued_keys: Mapping[str, str]) -> str:
    places = [f"  {name:<12}{HOST}:{running.ports[name]}" for name in NAMES]
    asking = [
        f"{person.group} - {person.first_name} {person.last_name}\n  {issued_keys[person.group]}\n  {person.question}\n"
        for person in PEOPLE
    ]
    return "\n".join(
        [
            f"Onedoor is open at http://{HOST}:{port}/graphql\n",
            f"  GraphiQL    http://{HOST}:{port}/graphiql",
            f"  dashboard   http://{HOST}:{port}/dashboard",
            f"  account     http://{HOST}:{port}/account",
            f"  admin       http://{HOST}:{port}/admin\n",
            f"  internal    {folder / INTERNAL_FILE}",
            f"  folder      {folder / FOLDER_NAME}",
            *places,
            "",
            "A key for each functional group, and something to ask with it:\n",
            *asking,
            "All of Acme is made up; Ctrl-C stops Onedoor and the servers.",
        ]
    )


if __name__ == "__main__":
    main()
