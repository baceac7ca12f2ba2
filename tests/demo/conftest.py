"""Start a hundredth of Acme behind real servers, once for all tests."""

from collections.abc import Iterator

import pytest

from demo.run import SECRETS
from demo.servers.postgresql import PostgresqlServer
from demo.servers.run import RunningServers, servers

TOKEN = "xoxb-test"
GITHUB_TOKEN = "github_pat_test"


ENVIRONMENT = {
    **SECRETS,
    "SLACK_TOKEN": TOKEN,
    "GITHUB_AUTHORIZATION": f"Bearer {GITHUB_TOKEN}",
    "DIRECTORY_TOKEN": TOKEN,
}
RATES = {
    "slack": ("--rate", "users.info=60"),
    "drive": ("--rate", "drives.get=60"),
    "datadog": ("--rate", "metrics=60"),
}


@pytest.fixture(scope="session")
def demo_servers() -> Iterator[RunningServers]:
    with servers(scale=0.01, environment=ENVIRONMENT, options={"azure": ("--page", "7")}) as running:
        yield running


@pytest.fixture(scope="session")
def limited_servers() -> Iterator[RunningServers]:
    """Servers of their own for the tests that exceed a rate, so that nobody else is refused."""
    with servers(tuple(RATES), scale=0.01, environment=ENVIRONMENT, options=RATES) as running:
        yield running


@pytest.fixture
def called_servers(request: pytest.FixtureRequest) -> RunningServers:
    """The servers that a test's client calls: those with rates where the test is marked `exceeds_rate`."""
    marked = request.node.get_closest_marker("exceeds_rate") is not None
    running: RunningServers = request.getfixturevalue("limited_servers" if marked else "demo_servers")
    return running


@pytest.fixture
def postgresql(postgresql_started: PostgresqlServer) -> str:
    """Return the URL of an empty database."""
    return postgresql_started.emptied("seeded")
