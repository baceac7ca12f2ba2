"""Declare the mutation that exports the answer to a query as files."""

from enum import StrEnum
from typing import TYPE_CHECKING

import strawberry

from onedoor.schema.annotations import Json, One, allow, owned, with_input

if TYPE_CHECKING:
    from onedoor.schema.builtin.jobs import Job


@strawberry.enum(description="The file format of an export.")
class ExportFormat(StrEnum):
    CSV = "CSV"
    JSONL = "JSONL"
    PARQUET = "PARQUET"
    ARROW = "ARROW"


@strawberry.input(description="A query whose result is written to files, however large it is.")
class ExportQueryInput:
    query: str = strawberry.field(
        description="The query: one list at its root, each of whose rows becomes a row of the files."
    )
    variables: Json | None = strawberry.field(description="The variables of the query, an object.")
    operation_name: str | None = strawberry.field(description="The operation to run, if the query has several.")
    format: ExportFormat = strawberry.field(description="The format of the files.")
    all_or_nothing: bool | None = strawberry.field(
        description="Whether to refuse the export if any of it would be left out."
    )
    idempotency_key: str | None = strawberry.field(
        description="A key of yours: a repeated request with it returns the same job and starts no other."
    )
    reason: str | None = strawberry.field(description="The reason, for those who see the job.")


@strawberry.type
class Mutation:
    export_query: One["Job"] = strawberry.field(
        description="Exports the result of a query as files, to be downloaded at `/exports/`.",
        directives=[allow("everyone"), owned("platform")],
        metadata=with_input(ExportQueryInput),
    )
