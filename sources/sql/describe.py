"""The URL of a SQL database in, its tables as they are described out: what the source can read, and what they say."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from sqlalchemy import BigInteger, Enum, Inspector, create_engine, inspect
from sqlalchemy.exc import SAWarning, SQLAlchemyError
from sqlalchemy.pool import NullPool

from auth.mistake import Mistake
from engine.errors import SourceFailed
from engine.words import Kind
from introspect.wishes import UNREADABLE
from introspect.words import Column, Described, Reference, Table
from sources.sql.columns import Stock, Stored

KINDS: Mapping[str, tuple[str, str]] = {
    "sqlite": ("sqlite", "sqlite"),
    "postgresql": ("postgresql", "postgresql+psycopg"),
    "postgres": ("postgresql", "postgresql+psycopg"),
    "mysql": ("mysql", "mysql+pymysql"),
    "mariadb": ("mysql", "mysql+pymysql"),
}
"""By the scheme of a URL, the kind of source and what SQLAlchemy calls its driver."""
LISTED = re.compile(
    r"""^\W*(?P<column>\w+)[\])`"\s]*(?:::\w+[\s)]*)?\s*(?:IN|=\s*ANY)\s*\(+(?:ARRAY\[)?(?P<values>[^\[\]]*?)\]?"""
    r"""(?:::[\w\s]+(?:\[\])?|[)\s])*$""",
    re.IGNORECASE | re.DOTALL,
)
"""`column IN ('a', 'b')` as SQLite and MySQL give it back, and what PostgreSQL makes of it."""
TEXT = re.compile(r"(?:_?utf8mb[34])?'((?:[^']|'')*)'(?:::[\w\s]+)?")
HOME = "public"
MODULES = {"sqlite": "sources.sql.sqlite", "postgresql": "sources.sql.postgresql", "mysql": "sources.sql.mysql"}


def settings(url: str) -> Mapping[str, str]:
    """What stands under `[sources.<name>]` in the file of settings."""
    scheme, _, rest = url.partition("://")
    kind, _ = KINDS[scheme]
    return {"kind": kind, **({"path": rest.removeprefix("/")} if kind == "sqlite" else {"url": url})}


async def described(url: str) -> Described:
    """Tables and views by the names of their collections. Raises Mistake where the database does not answer."""
    said = dict(settings(url))
    module = import_module(MODULES[said.pop("kind")])
    try:
        source = await module.connect(module.Options(**said))
        await source.close()
        with warnings.catch_warnings(category=SAWarning, action="ignore"):  # of columns that are left out
            return Described(tables=tuple(_tables(_inspectable(url), source.tables)))
    except ValueError:
        raise Mistake(UNREADABLE) from None
    except (SourceFailed, SQLAlchemyError) as reason:
        told = reason.reason if isinstance(reason, SourceFailed) else "it does not answer"
        raise Mistake(f"the database cannot be read: {told}") from None


def _inspectable(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(scheme=KINDS[parts.scheme][1])).replace(":/", ":///", 1 - bool(parts.netloc))


def _tables(url: str, stocks: Mapping[str, Stock]) -> Iterator[Table]:
    engine = create_engine(url, poolclass=NullPool)
    try:
        inspector = inspect(engine)
        names = {(each.schema, each.name): name for name, each in stocks.items()}
        views = {(schema, name) for schema in {s for s, _ in names} for name in inspector.get_view_names(schema)}
        for (schema, name), called in names.items():
            yield _Table(inspector, stocks[called], names, (schema, name) in views).described(called)
    finally:
        engine.dispose()


class _Table:
    """One table, asked of the inspector."""

    def __init__(
        self, inspector: Inspector, stock: Stock, names: Mapping[tuple[str | None, str], str], view: bool
    ) -> None:
        self.inspector = inspector
        self.stock = stock
        self.names = names
        self.view = view
        self.place: dict[str, Any] = {"table_name": stock.name, "schema": stock.schema}

    def described(self, called: str) -> Table:
        key = tuple(self.inspector.get_pk_constraint(**self.place)["constrained_columns"])
        unique = [] if self.view else self._unique()
        checked = {} if self.view else self._checked()
        columns = tuple(
            _column(self.stock.columns[each["name"]], each, checked.get(each["name"], ()))
            for each in self.inspector.get_columns(**self.place)
            if each["name"] in self.stock.columns
        )
        required = {each.name for each in columns if not each.nullable}
        return Table(
            name=called,
            columns=columns,
            key=key or next((each for each in unique if set(each) <= required), ()),
            references=tuple(self._references((key, *unique))),
            comment=self._comment(),
            view=self.view,
        )

    def _comment(self) -> str:
        try:
            return self.inspector.get_table_comment(**self.place)["text"] or ""
        except NotImplementedError:
            return ""

    def _unique(self) -> list[tuple[str, ...]]:
        found = [tuple(each["column_names"]) for each in self.inspector.get_unique_constraints(**self.place)]
        indices = [each for each in self.inspector.get_indexes(**self.place) if each["unique"]]
        whole = [tuple(map(str, each["column_names"])) for each in indices if None not in each["column_names"]]
        partial = {str(key) for each in indices for key in each.get("dialect_options", {}) if key.endswith("_where")}
        return sorted({*found, *(() if partial else whole)}, key=len)

    def _checked(self) -> dict[str, tuple[str, ...]]:
        """By column, the values a check lists."""
        found: dict[str, tuple[str, ...]] = {}
        for each in self.inspector.get_check_constraints(**self.place):
            column, values = listed(str(each["sqltext"]))
            if values:
                found[column] = values
        return found

    def _references(self, unique: Sequence[tuple[str, ...]]) -> Iterator[Reference]:
        found = self.inspector.get_foreign_keys(**self.place)
        for each in sorted(found, key=lambda one: one["constrained_columns"]):
            schema = each["referred_schema"] or self.stock.schema
            to = self.names.get((schema, each["referred_table"]))
            columns, there = tuple(each["constrained_columns"]), tuple(each["referred_columns"])
            if to is not None and len(columns) == len(there):
                yield Reference(
                    columns=columns, to=to, there=there, alone=any(set(one) <= set(columns) for one in unique if one)
                )


def listed(check: str) -> tuple[str, tuple[str, ...]]:
    """The column a check is about and the texts it may hold; none where it says anything else."""
    found = LISTED.match(check.replace("\\'", "'"))
    if found is None:
        return "", ()
    values = TEXT.findall(found["values"])
    rest = TEXT.sub("", found["values"]).replace(",", "").strip()
    return (found["column"], tuple(each.replace("''", "'") for each in values)) if not rest else ("", ())


def _column(stored: Stored, told: Mapping[str, Any], checked: tuple[str, ...]) -> Column:
    kind: Any = told["type"]
    values = tuple(kind.enums) if isinstance(kind, Enum) and kind.enums else checked
    return Column(
        name=stored.name,
        kind=stored.kind,
        nullable=stored.nullable,
        large=stored.kind is Kind.INTEGER and _large(kind),
        comment=told.get("comment") or "",
        values=values if stored.kind is Kind.TEXT else (),
        enum=(kind.name or "") if isinstance(kind, Enum) and values else "",
    )


def _large(kind: Any) -> bool:
    """Past 32 bits with a sign."""
    return isinstance(kind, BigInteger) or (
        bool(getattr(kind, "unsigned", False)) and str(kind).upper().startswith("INT")
    )
