"""Offer what a company declares its mutations with: what can be changed, and how."""

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.catalog import Action, ActionCall, ActionResult
from onedoor.mutations.declarations import (
    Compensation,
    InputFields,
    InputMapper,
    MutationDeclaration,
    RowMutation,
    Saga,
    Step,
    StepResults,
    parse_id_field,
)
from onedoor.mutations.files import build_file_mutations
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import TABLE_CHANGE_KINDS, ChangeKind, ChangeResult, RowChange, RowValues

__all__ = [
    "TABLE_CHANGE_KINDS",
    "Action",
    "ActionCall",
    "ActionResult",
    "ChangeKind",
    "ChangeResult",
    "ColumnType",
    "Compensation",
    "ConnectorError",
    "ErrorCode",
    "InputFields",
    "InputMapper",
    "MutationDeclaration",
    "RowChange",
    "RowMutation",
    "RowValues",
    "Saga",
    "Step",
    "StepResults",
    "build_file_mutations",
    "parse_id_field",
]
