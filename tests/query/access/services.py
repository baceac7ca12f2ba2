"""An engine over the small Acme that answers what groups may see, and the documents that it is asked about."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from graphql import GraphQLSchema

from auth.authentication import Principal
from auth.policy import AccessPolicy
from onedoor.connectors.access import ACCESS_SOURCE, AccessConnector, AccessServices
from onedoor.connectors.principal import build_principal_connector
from onedoor.model.catalog import Catalog
from onedoor.query.context import QueryEngine, build_query_engine, view_for
from onedoor.schema.proposed_rules import build_proposed_policy, build_proposed_row_rules
from onedoor.storage.database import MetadataDatabase
from tests import acme

GOLDEN = Path(__file__).parents[2] / "golden"
NO_RECORDS = Path(__file__).parent / "no_records"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A query that somebody sends."""

    name: str
    text: str
    variables: Mapping[str, Any]


@cache
def load_golden_documents() -> tuple[Document, ...]:
    """Every golden query: between them they use each kind of field, filter, sort and group."""
    return tuple(
        Document(
            name=path.parent.name,
            text=path.read_text(encoding="utf-8"),
            variables=read_variables(path.parent / "variables.json"),
        )
        for path in sorted(GOLDEN.glob("*/query.graphql"))
    )


def read_variables(path: Path) -> Mapping[str, Any]:
    variables: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return variables


@cache
def propose(text: str) -> AccessPolicy:
    """Acme's policy with other rules."""
    return build_proposed_policy(acme.load_schema_modules(), acme.GROUPS, text, acme.parts().masking_groups)


def open_engine(
    catalog: Catalog, *, records: Path = NO_RECORDS, database: MetadataDatabase | None = None
) -> QueryEngine:
    """An engine whose `access` is as in the app."""

    async def get_view(principal: Principal) -> GraphQLSchema:
        return (await view_for(engine, principal)).schema

    async def run(principal: Principal, call: Callable[[], Any]) -> Any:
        return call()

    services = AccessServices(
        catalog=catalog,
        database=database,  # type: ignore[arg-type]
        records_folder=records,
        build_policy=propose,
        build_row_rules=partial(build_proposed_row_rules, acme.parts().row_rules),
        get_view=get_view,
        run=run,
    )

    def build_own_connectors(principal: Principal) -> Mapping[str, Any]:
        return {
            "caller": build_principal_connector(principal),
            ACCESS_SOURCE: AccessConnector(services, principal),
        }

    engine = build_query_engine(catalog, build_own_connectors, lambda: 0.0)
    return engine
