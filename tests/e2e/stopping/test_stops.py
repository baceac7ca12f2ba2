"""A server that is stopped or killed under load loses no record of what it answered, and stops in order."""

import signal
import socket
from itertools import cycle
from pathlib import Path

import pytest
from click.testing import CliRunner

from demo.servers.run import HOST, RunningServers
from onedoor.audit.reader import read_records
from onedoor.audit.verification import verify_folder
from onedoor.cli.main import main
from tests.e2e.stopping.server_process import (
    Clients,
    build_environment,
    prepare_company,
    start_server,
)
from tests.servers.ports import find_free_port

THREADS = 8
EXIT_CODES = {signal.SIGTERM: {0, -signal.SIGTERM}, signal.SIGKILL: {-signal.SIGKILL}}
"""By signal, in turn, the codes that a server may exit with."""


@pytest.fixture
def port() -> int:
    return find_free_port()


@pytest.mark.parametrize("stops", [2, pytest.param(100, marks=pytest.mark.long)])
def test_a_stop_refuses_no_request_and_loses_no_record_of_an_answered_one(
    tmp_path: Path, acme_servers: RunningServers, port: int, stops: int
) -> None:
    key = prepare_company(tmp_path, acme_servers, port)
    acknowledged: list[str] = []
    refused, unexpected_codes = 0, list[int]()
    for number, stop_signal in zip(range(stops), cycle(EXIT_CODES)):
        with start_server(tmp_path, port, key) as server:
            clients = Clients(port=server.port, key=server.key)
            threads = clients.start(THREADS, until=20 + 7 * number % 60)
            assert clients.enough.wait(60)
            server.process.send_signal(stop_signal)
            unexpected_codes += {server.process.wait(60)} - EXIT_CODES[stop_signal]
            for thread in threads:
                thread.join()
            acknowledged += clients.acknowledged
            refused += clients.refused
    recorded = {record["id"] for record in read_records(tmp_path / "records")}
    lost = [item for item in acknowledged if item not in recorded]
    assert lost == []
    assert (refused, unexpected_codes) == (0, [])
    assert not verify_folder(tmp_path / "records").is_altered


def test_a_taken_port_is_one_sentence(tmp_path: Path, acme_servers: RunningServers) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        prepare_company(tmp_path, acme_servers, port)
        ended = CliRunner().invoke(main, ["serve"], env=build_environment(tmp_path))
    assert (ended.exit_code, ended.stderr.splitlines()[-1]) == (
        2,
        f"Error: port {port} of `127.0.0.1` is taken or may not be used: choose another",
    )
