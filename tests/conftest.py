"""What tests of several folders start once and share: a real PostgreSQL, and a hundredth of Acme behind its servers."""

from collections.abc import Iterator

import pytest

from demo.servers import Running, servers
from demo.settings import SECRETS
from tests.servers.postgresql import PostgresqlServer, postgresql_server


@pytest.fixture(scope="session")
def postgresql_started() -> Iterator[PostgresqlServer]:
    with postgresql_server() as server:
        yield server


@pytest.fixture(scope="session")
def acme_servers() -> Iterator[Running]:
    """S3, Slack and Snowflake; nobody kills these."""
    with servers(scale=0.01, environment=SECRETS) as running:
        yield running
