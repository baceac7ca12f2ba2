"""Uploads: an address is given to whoever asked for it, in this one answer; it is kept nowhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson

from onedoor.connectors.files.model import guess_media_type
from onedoor.connectors.memory import MemoryCollection, MemoryConnector
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.catalog import Action, ActionCall, ActionResult
from onedoor.model.mapping import TypeMapping
from onedoor.mutations.files import format_file_id
from onedoor.query.context import QueryEngine
from onedoor.runtime import resilience
from onedoor.runtime.resilience import ResilientConnector
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.connector import ChangeRejected, UploadAddress, UploadRequest, UploadStep
from resolvers import azure, drive, file

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
STORES = {
    each.constants["store"]: each
    for each in (*file.MAPPINGS, *azure.MAPPINGS, *drive.MAPPINGS)
    if "store" in each.constants
}


def build_actions(engine: QueryEngine) -> Mapping[str, Action]:
    return {"fileUpload": UploadAction(connectors=engine.connectors)}


def build_empty_upload_connector() -> MemoryConnector:
    """What the source of uploads promises, before anyone asks."""
    return MemoryConnector({UPLOAD_COLLECTION: MemoryCollection(capabilities=UPLOAD_CAPABILITIES, rows=())})


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadAction:
    """An `Action`."""

    connectors: Mapping[str, ResilientConnector]

    async def __call__(self, act: ActionCall) -> ActionResult:
        given = act.arguments["input"]
        binding, upload = STORES[given["store"]], parse_upload_input(given)
        try:
            address = await resilience.request_upload_address(self.connectors[binding.source], upload)
        except ChangeRejected as refusal:
            raise ConnectorError(refusal.reason, refusal.code) from None
        if address is None:
            raise ConnectorError(f"`{given['store']}` has no address to upload to", ErrorCode.CANNOT_ANSWER)
        return ActionResult(
            row_id=upload.change_id,
            connectors={UPLOAD_CONNECTOR: build_upload_connector(upload, given["store"], address)},
        )


def parse_upload_input(fields: Mapping[str, Any]) -> UploadRequest:
    """An input in; raises SourceFailed."""
    minutes = MAX_MINUTES if fields.get("minutes") is None else fields["minutes"]
    if not 1 <= minutes <= MAX_MINUTES:
        raise ConnectorError(f"`minutes` takes a number from 1 to {MAX_MINUTES}", ErrorCode.LIMIT_EXCEEDED)
    collection = STORES[fields["store"]].collection
    return UploadRequest(
        change_id=uuid4().hex,
        collection=collection,
        key={"path": fields["path"]},
        size=fields["size"],
        content_type=fields.get("contentType")
        or guess_media_type(fields["path"].rpartition("/")[2])
        or DEFAULT_MEDIA_TYPE,
        valid_seconds=minutes * 60,
        replace=bool(fields.get("replace")),
    )


def build_upload_connector(request: UploadRequest, store: str, address: UploadAddress) -> MemoryConnector:
    """One row, for one answer."""
    row = {
        "id": request.change_id,
        "store": store,
        "path": request.key["path"],
        "file_id": format_file_id(store, address.id),
        "expires_at": address.expires_at,
        "bounded": address.is_bounded,
        "steps": orjson.dumps([step_to_json(each) for each in address.steps]).decode(),
    }
    return MemoryConnector(
        {
            UPLOAD_COLLECTION: MemoryCollection(
                capabilities=UPLOAD_CAPABILITIES, rows=(tuple(row[each] for each in UPLOAD_CAPABILITIES.columns),)
            )
        }
    )


def step_to_json(step: UploadStep) -> Mapping[str, Any]:
    return {
        "method": step.method,
        "url": step.url,
        "headers": dict(step.headers),
        "first": step.offset,
        "length": step.length,
    }
