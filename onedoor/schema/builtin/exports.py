"""Declare the mutation that exports the answer to a query as files."""

from enum import StrEnum
from typing import TYPE_CHECKING

import strawberry

from onedoor.schema.annotations import Json, One, allow, owned, with_input

if TYPE_CHECKING:
    from onedoor.schema.builtin.jobs import Job


@strawberry.enum(description="As what an export is written.")
class ExportFormat(StrEnum):
    CSV = "CSV"
    JSONL = "JSONL"
    PARQUET = "PARQUET"
    ARROW = "ARROW"


@strawberry.input(description="A question to be answered in files, however large the answer is.")
class ExportQueryInput:
    query: str = strawberry.field(description="The question: one list at its root, whose rows become rows.")
    variables: Json | None = strawberry.field(description="Its variables, an object.")
    operation_name: str | None = strawberry.field(description="Which of its operations, where it has several.")
    format: ExportFormat = strawberry.field(description="As what it is written.")
    all_or_nothing: bool | None = strawberry.field(description="Refuse it where anything of it would be left out.")
    idempotency_key: str | None = strawberry.field(
        description="Yours for this one export: sent again, it is answered again and not started again."
    )
    reason: str | None = strawberry.field(description="Why, for those who see the job.")


@strawberry.type
class Mutation:
    export_query: One["Job"] = strawberry.field(
        description="Writes the answer to a question into files, which are then read at `/exports/`.",
        directives=[allow("everyone"), owned("platform")],
        metadata=with_input(ExportQueryInput),
    )
