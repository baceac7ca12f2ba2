"""Offer what a company declares its schema with: annotated classes, and the groups that may see them."""

from onedoor.schema.annotations import (
    Argument,
    BigInt,
    ById,
    Changed,
    Computed,
    History,
    Json,
    Looked,
    Many,
    One,
    allow,
    owned,
    with_arguments,
    with_input,
)
from onedoor.schema.files import CopyFile, DeleteFile, FileContent, PutFile, uploads
from onedoor.schema.reader import SchemaPart

__all__ = [
    "Argument",
    "BigInt",
    "ById",
    "Changed",
    "Computed",
    "CopyFile",
    "DeleteFile",
    "FileContent",
    "History",
    "Json",
    "Looked",
    "Many",
    "One",
    "PutFile",
    "SchemaPart",
    "allow",
    "owned",
    "uploads",
    "with_arguments",
    "with_input",
]
