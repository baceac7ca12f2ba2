"""Give addresses to upload files to: an address is a row of one answer, and is stored nowhere."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import orjson

from auth.policy import AccessPolicy, decide
from onedoor.audit.record import AuditedChange, hash_scalar
from onedoor.connectors.files.model import guess_media_type
from onedoor.connectors.memory import MemoryCollection, MemoryConnector
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.catalog import Action, ActionCall, ActionResult
from onedoor.model.mapping import TypeMapping
from onedoor.model.reader import build_all_rows_coordinate
from onedoor.mutations.files import format_file_id
from onedoor.query.context import QueryEngine
from onedoor.query.engine import build_audit_facts
from onedoor.runtime import resilience
from onedoor.runtime.resilience import ResilientConnector
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.connector import ChangeRejected, UploadAddress, UploadRequest, UploadStep

UPLOAD_CONNECTOR, UPLOAD_COLLECTION = "uploads", "upload"

DEFAULT_MEDIA_TYPE = "application/octet-stream"

MAX_MINUTES = 5

UPLOAD_CAPABILITIES = Capabilities(
    columns={
        "id": Column(ColumnType.TEXT),
        "store": Column(ColumnType.TEXT),
        "path": Column(ColumnType.TEXT),
        "file_id": Column(ColumnType.TEXT),
        "expires_at": Column(ColumnType.TIME),
        "bounded": Column(ColumnType.BOOLEAN),
        "steps": Column(ColumnType.TEXT),
    },
    max_keys=1,
)

MAPPINGS = (TypeMapping(type="FileUpload", source=UPLOAD_CONNECTOR, collection=UPLOAD_COLLECTION),)


def build_empty_upload_connector() -> MemoryConnector:
    """Return the connector of no upload, for what it promises."""
    return MemoryConnector({UPLOAD_COLLECTION: MemoryCollection(capabilities=UPLOAD_CAPABILITIES, rows=())})


def build_upload_actions(
    engine: QueryEngine, mappings: Iterable[TypeMapping], redaction_key: bytes
) -> Mapping[str, Action]:
    """Return the action of `fileUpload`, whose stores are the mappings with the constant `store`."""
    stores = {mapping.constants["store"]: mapping for mapping in mappings if "store" in mapping.constants}
    return {
        "fileUpload": UploadAction(
            connectors=engine.connectors, stores=stores, policy=engine.catalog.policy, redaction_key=redaction_key
        )
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadAction:
    """Asks a store for an address that takes one file."""

    connectors: Mapping[str, ResilientConnector]
    stores: Mapping[str, TypeMapping]
    policy: AccessPolicy
    redaction_key: bytes = field(repr=False)
    """Keys the hash that stands for the file in the audit record."""

    async def __call__(self, call: ActionCall) -> ActionResult:
        fields = call.arguments["input"]
        store: str = fields["store"]
        mapping = self.stores.get(store)
        if mapping is None:
            raise ConnectorError(f"`{store}` has no address to upload to", ErrorCode.CANNOT_ANSWER)
        if mapping.rows is not None and not self._sees_all_rows(mapping, call):
            message = f"an upload to `{store}` is not held to the rows that you may see: send the file in a mutation"
            raise ConnectorError(message, ErrorCode.FORBIDDEN)
        upload = _parse_upload_input(fields, mapping)
        try:
            address = await resilience.request_upload_address(self.connectors[mapping.source], upload)
        except ChangeRejected as rejection:
            raise ConnectorError(rejection.reason, rejection.code) from None
        if address is None:
            raise ConnectorError(f"`{store}` has no address to upload to", ErrorCode.CANNOT_ANSWER)
        given = AuditedChange(
            id=upload.change_id,
            type=mapping.type,
            row=hash_scalar("text", format_file_id(store, address.id) or fields["path"], self.redaction_key),
            verb="upload",
            state="DONE",
        )
        return ActionResult(
            row_id=upload.change_id,
            connectors={UPLOAD_CONNECTOR: _build_upload_connector(upload, store, address)},
            audit_facts=build_audit_facts([given]),
        )

    def _sees_all_rows(self, mapping: TypeMapping, call: ActionCall) -> bool:
        return decide(self.policy, build_all_rows_coordinate(mapping.type), call.principal.groups).allowed


def _parse_upload_input(fields: Mapping[str, Any], mapping: TypeMapping) -> UploadRequest:
    """Parse the input of an upload. Raises ConnectorError where the address is to be valid for too long."""
    minutes = MAX_MINUTES if fields.get("minutes") is None else fields["minutes"]
    if not 1 <= minutes <= MAX_MINUTES:
        raise ConnectorError(f"`minutes` takes a number from 1 to {MAX_MINUTES}", ErrorCode.LIMIT_EXCEEDED)
    name = fields["path"].rpartition("/")[2]
    return UploadRequest(
        change_id=uuid4().hex,
        collection=mapping.collection,
        key={"path": fields["path"]},
        size=fields["size"],
        content_type=fields.get("contentType") or guess_media_type(name) or DEFAULT_MEDIA_TYPE,
        valid_seconds=minutes * 60,
        replace=bool(fields.get("replace")),
    )


def _build_upload_connector(request: UploadRequest, store: str, address: UploadAddress) -> MemoryConnector:
    row = {
        "id": request.change_id,
        "store": store,
        "path": request.key["path"],
        "file_id": format_file_id(store, address.id),
        "expires_at": address.expires_at,
        "bounded": address.is_bounded,
        "steps": orjson.dumps([_step_to_json(step) for step in address.steps]).decode(),
    }
    rows = (tuple(row[column] for column in UPLOAD_CAPABILITIES.columns),)
    return MemoryConnector({UPLOAD_COLLECTION: MemoryCollection(capabilities=UPLOAD_CAPABILITIES, rows=rows)})


def _step_to_json(step: UploadStep) -> Mapping[str, Any]:
    return {
        "method": step.method,
        "url": step.url,
        "headers": dict(step.headers),
        "first": step.offset,
        "length": step.length,
    }
