"""Google's discovery document in, the methods it declares out: verb, path, parameters, bodies, scopes."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

Spec: TypeAlias = Mapping[str, Any]
FILE = "discovery_cache/documents/drive.v3.json"
PLACE = re.compile(r"\{\+?(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """`form` matches its path; `parameters` are its own and those that every method takes."""

    id: str
    verb: str
    path: str
    form: re.Pattern[str]
    parameters: Mapping[str, Spec]
    request: str | None
    response: str | None
    scopes: frozenset[str]
    uploads: bool
    downloads: bool


@cache
def document() -> Spec:
    """As it comes with Google's client for Python, of which nothing else is used."""
    spec = find_spec("googleapiclient")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("google-api-python-client is not installed; its discovery document is what this server speaks")
    path = Path(spec.submodule_search_locations[0]) / FILE
    read: Spec = json.loads(path.read_text(encoding="utf-8"))
    return read


@cache
def methods() -> tuple[Method, ...]:
    """Those with fewer places in their paths first, so that `files/trash` is no file's."""
    return tuple(sorted(declared(document()), key=lambda each: len(PLACE.findall(each.path))))


def declared(part: Spec) -> Iterator[Method]:
    for each in part.get("methods", {}).values():
        yield method(each)
    for each in part.get("resources", {}).values():
        yield from declared(each)


def method(said: Spec) -> Method:
    return Method(
        id=said["id"].removeprefix("drive."),
        verb=said["httpMethod"],
        path=said["path"],
        form=re.compile(re.sub(r"\\\{\\?\+?(\w+)\\\}", r"(?P<\1>[^/:]+)", re.escape(said["path"]))),
        parameters={**document()["parameters"], **said.get("parameters", {})},
        request=said.get("request", {}).get("$ref"),
        response=said.get("response", {}).get("$ref"),
        scopes=frozenset(said.get("scopes", ())),
        uploads="mediaUpload" in said,
        downloads=bool(said.get("supportsMediaDownload")),
    )


def found(verb: str, path: str, *, upload: bool = False) -> tuple[Method, Mapping[str, str]] | None:
    """The method at a path, and what stands in the places of the path; None: there is none."""
    for each in methods():
        places = each.form.fullmatch(path) if each.verb == verb and (each.uploads or not upload) else None
        if places is not None:
            return each, places.groupdict()
    return None


def schema(name: str) -> Spec:
    read: Spec = document()["schemas"][name]
    return read
