"""Have the product describe a database and answer questions about it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests import acme
from tests.codegen.conftest import source_of
from tests.codegen.generated_company import build_engine, introspect
from tests.properties.foreign.ask import Answer, Ask, Failure


@asynccontextmanager
async def open_database(url: str, folder: Path) -> AsyncIterator[Ask]:
    """Introspect the database into the folder and open what it wrote."""
    introspect(url, folder, "--allow", "sales")
    source = await source_of(url)
    engine = build_engine(folder, source)

    async def ask(text: str, variables: dict[str, Any] | None = None) -> Answer:
        try:
            result = await acme.ask(engine, text, "sales", variables=variables)
        except Exception as error:  # what the server answers INTERNAL
            return Answer(None, [Failure("INTERNAL", repr(error), ())])
        return Answer(result.data, [_describe_error(error) for error in result.errors])

    try:
        yield ask
    finally:
        await source.close()


def _describe_error(error: Any) -> Failure:
    return Failure(error.code.value, error.message, tuple(error.path or ()))
