"""Serve a company with a directory over real HTTP, in a thread, with its metadata database at hand."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Client, Response

from auth import api_keys, users
from auth.directory import reports
from onedoor.app import App
from onedoor.audit.reader import read_records
from onedoor.company import load_company
from onedoor.config import load_settings
from onedoor.storage.database import MetadataDatabase, open_database
from tests.companies import isolated, make_company
from tests.servers.serving import HOST, serve_in_thread

TOKEN = "a token of the directory of at least thirty-two characters"
CORE = "urn:ietf:params:scim:schemas:core:2.0:"
MESSAGES = "urn:ietf:params:scim:api:messages:2.0:"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

GROUPS = """
[finance]
purpose = "Keeps the books."
owner = "finance"
from = ["acme-finance", "Nested"]

[support]
purpose = "Helps customers."
owner = "support"
from = ["acme-support"]

[operators]
purpose = "Keeps the servers running; no directory reaches it."
owner = "support"
"""

SETTINGS = """
[state]
url = "sqlite:///state.sqlite"
pepper = { file = "secrets/pepper" }

[records]
folder = "records"

[limits]
failed_keys_a_minute = 10000

[directory]
address = "https://onedoor.acme.example/"

[directory.scim]
token = { env = "SCIM_TOKEN" }

[directory.scim.attributes]
department = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryServer:
    """A running company, and a client of its directory's."""

    port: int
    folder: Path
    state: MetadataDatabase
    client: Client

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        content = None if body is None else json.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.request(
            method, path, content=content, headers={"content-type": "application/scim+json", **named}
        )

    def create(self, user_name: str, **attributes: Any) -> dict[str, Any]:
        body = {"schemas": [f"{CORE}User"], "userName": user_name, **attributes}
        response = self.send("POST", "/Users", body)
        assert response.status_code == 201, response.text
        return response.json()

    def create_person(self, name: str, **attributes: Any) -> dict[str, Any]:
        """A user with an address, who so is a person."""
        return self.create(f"{name}@acme.example", name={"givenName": name, "familyName": "Example"}, **attributes)

    def create_group(self, name: str, *members: str) -> dict[str, Any]:
        body = {"schemas": [f"{CORE}Group"], "displayName": name, "members": [{"value": id} for id in members]}
        response = self.send("POST", "/Groups", body)
        assert response.status_code == 201, response.text
        return response.json()

    def patch(self, path: str, *operations: Mapping[str, Any], **headers: str) -> Response:
        body = {"schemas": [f"{MESSAGES}PatchOp"], "Operations": list(operations)}
        return self.send("PATCH", path, body, **headers)

    def find_person(self, name: str) -> users.User:
        return users.load_user(self.state, f"{name}@acme.example")

    def groups_of(self, name: str) -> dict[str, str]:
        """By functional group, what says that the person is in it."""
        return {membership.group: str(membership.source) for membership in self.find_person(name).memberships}

    def records(self) -> list[Mapping[str, Any]]:
        return list(read_records(self.folder / "records"))

    def syncs(self) -> tuple[reports.SyncReport, ...]:
        return reports.list_syncs(self.state)

    def age_people(self, days: int = 1) -> None:
        """Let everybody have come, and have joined their groups, so long ago."""
        ago = days * 86_400_000_000
        with self.state.write_transaction() as connection:
            connection.exec_driver_sql(f"UPDATE person SET created_at = created_at - {ago}")
            connection.exec_driver_sql(f"UPDATE membership SET since = since - {ago}")

    def ask(self, key: str | None, query: str) -> Any:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        reply = self.client.post(f"http://{HOST}:{self.port}/graphql", json={"query": query}, headers=headers)
        return reply.json()

    def create_key(self, name: str) -> str:
        return api_keys.create_key(self.state, f"{name}@acme.example").text


@contextmanager
def run_company(
    folder: Path,
    *,
    settings: str = SETTINGS,
    groups: str = GROUPS,
    files: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[DirectoryServer]:
    """Serve a new company from a folder."""
    make_company(folder, {"onedoor.toml": settings, "groups.toml": groups, **(files or {})})
    secrets = {"SCIM_TOKEN": TOKEN, "OIDC_SECRET": "a secret of the provider", **(environment or {})}
    read = load_settings(folder / "onedoor.toml", secrets)
    with ExitStack() as stack:
        stack.enter_context(isolated())
        app = App(read, load_company(folder))
        port = stack.enter_context(serve_in_thread(app, lifespan="on"))
        state = stack.enter_context(closing(open_database(read.state.url, read.state.pepper.encode())))
        client = Client(
            base_url=f"http://{HOST}:{port}/scim/v2", headers={"authorization": f"Bearer {TOKEN}"}, timeout=60
        )
        stack.enter_context(client)
        yield DirectoryServer(port=port, folder=folder, state=state, client=client)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DirectoryServer]:
    with run_company(tmp_path / "company") as running:
        yield running


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DirectoryServer]:
    with run_company(tmp_path_factory.mktemp("directory") / "company") as running:
        yield running
