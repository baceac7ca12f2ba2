"""Serve a company without types of its own, whose administrators ask by GraphQL."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from auth import api_keys, users
from onedoor.app import open_app
from onedoor.audit.reader import read_records
from onedoor.audit.record import Surface
from onedoor.company import Company, load_company
from onedoor.config import Settings, load_settings
from onedoor.http.state import AppState
from onedoor.query.context import ExecutionResult, GraphQLRequest
from onedoor.storage.database import MetadataDatabase, open_database
from tests.companies import isolated, make_company
from tests.metadata import copy_sqlite

PEPPER = "a pepper of at least thirty-two characters"
GROUPS = """
[finance]
purpose = "Keeps the books."
owner = "finance"
[sales]
purpose = "Sells."
owner = "sales"
[on-call]
purpose = "Repairs production at night."
owner = "finance"
exclusive = true
"""


@cache
def load() -> Company:
    with TemporaryDirectory() as folder, isolated():
        return load_company(make_company(Path(folder) / "company", {"groups.toml": GROUPS}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """An open app, and its database as a terminal would open it."""

    app_state: AppState
    database: MetadataDatabase
    settings: Settings

    def add(self, name: str, *groups: str) -> str:
        """Add a person with a key, and return the text of it."""
        email = f"{name}@acme.example"
        users.create_user(self.database, first_name=name.title(), last_name="Example", email=email)
        users.join_group(self.database, email, *groups)
        return api_keys.create_key(self.database, email).text

    def forget_lookups(self) -> None:
        """Have keys looked up again, as they are after a second."""
        self.app_state.authenticator._lookups.clear()

    async def ask(self, key: str, query: str, **variables: Any) -> ExecutionResult:
        principal = await self.app_state.authenticator.authenticate(key)
        assert principal is not None
        request = GraphQLRequest(query=query, variables=variables)
        return await self.app_state.executor.run(principal, request, surface=Surface.GRAPHQL)

    async def change(self, key: str, mutation: str, input: Mapping[str, Any], selection: str = "id") -> Any:
        """Send a mutation, and return its field, or else the message of its error."""
        type = f"{mutation[0].upper()}{mutation[1:]}Input!"
        text = f"mutation($input: {type}) {{ {mutation}(input: $input) {{ {selection} }} }}"
        result = await self.ask(key, text, input={"reason": "as the ticket says", **input})
        return result.errors[0].message if result.errors else result.data[mutation]

    def records(self) -> list[Mapping[str, Any]]:
        return list(read_records(self.settings.records.folder))


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    file = tmp_path / "onedoor.toml"
    file.write_text(f'[state]\nurl = "{copy_sqlite(tmp_path)}"\n[records]\nfolder = "records"\n')
    (tmp_path / "records").mkdir()
    settings = load_settings(file, {"ONEDOOR_PEPPER": PEPPER})
    database = open_database(settings.state.url, PEPPER.encode())
    async with open_app(settings, load()) as app_state:
        yield Office(app_state=app_state, database=database, settings=settings)
    database.close()
