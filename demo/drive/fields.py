"""A mask such as `nextPageToken,files(id,owners/emailAddress)` and an answer in, what was asked for of it out.

Nothing is answered that the discovery document does not declare: not by a mask, and not without one.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from demo.drive.document import Spec, schema
from demo.drive.failures import Failure

Mask: TypeAlias = dict[str, Any]
WORD = re.compile(r"\s*(\*|[A-Za-z][A-Za-z0-9]*|[(),/])")
EVERY = "*"
KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,), "boolean": (bool,), "integer": (int,), "number": (float, int), "array": (list,),
    "object": (dict,),
}  # fmt: skip
ALWAYS: Mapping[str, str] = {
    "File": "kind,id,name,mimeType,driveId,teamDriveId",
    "FileList": "kind,incompleteSearch,nextPageToken,files(kind,id,name,mimeType,driveId,teamDriveId)",
    "Permission": "kind,id,type,role",
    "PermissionList": "kind,nextPageToken,permissions(kind,id,type,role)",
}
"""What is answered where no mask says what is wanted; of the rest, all."""


def shown(answer: Any, name: str, text: str | None) -> Any:
    """Raises Failure: the mask cannot be, or names what is not declared."""
    declared(answer, schema(name), name)
    chosen = parsed(text or ALWAYS.get(name, EVERY))
    known(chosen, schema(name))
    return masked(answer, chosen)


def parsed(text: str) -> Mask:
    words = WORD.findall(text)
    if "".join(words) != re.sub(r"\s", "", text):
        raise refused(text)
    mask, rest = several(words, text)
    if rest:
        raise refused(text)
    return mask


def several(words: list[str], text: str) -> tuple[Mask, list[str]]:
    """Fields and commas, up to what is neither."""
    mask: Mask = {}
    while True:
        name, below, words = single(words, text)
        mask[name] = {**mask.get(name, {}), **below}
        if words[:1] != [","]:
            return mask, words
        words = words[1:]


def single(words: list[str], text: str) -> tuple[str, Mask, list[str]]:
    if not words or words[0] in "(),/":
        raise refused(text)
    name, rest = words[0], words[1:]
    if rest[:1] == ["/"]:
        below, mask, rest = single(rest[1:], text)
        return name, {below: mask}, rest
    if rest[:1] == ["("]:
        mask, rest = several(rest[1:], text)
        if rest[:1] != [")"]:
            raise refused(text)
        return name, mask, rest[1:]
    return name, {}, rest


def known(mask: Mask, spec: Spec) -> None:
    for name, below in mask.items():
        if name == EVERY:
            continue
        inner = part(spec, name)
        if inner is None:
            raise refused(name)
        known(below, inner)


def part(spec: Spec, name: str) -> Spec | None:
    """What is declared of a field, of a list's items for a list; None: nothing is."""
    whole = resolved(spec)
    if "additionalProperties" in whole:
        return resolved(whole["additionalProperties"])
    inner = whole.get("properties", {}).get(name)
    return None if inner is None else resolved(inner)


def resolved(spec: Spec) -> Spec:
    while "$ref" in spec or spec.get("type") == "array":
        spec = schema(spec["$ref"]) if "$ref" in spec else spec["items"]
    return spec


def masked(answer: Any, mask: Mask) -> Any:
    if isinstance(answer, list):
        return [masked(each, mask) for each in answer]
    if not isinstance(answer, dict) or not mask or EVERY in mask:
        return answer
    return {name: masked(answer[name], below) for name, below in mask.items() if name in answer}


def declared(value: Any, spec: Spec, where: str) -> None:
    """INVARIANT: what we say is of the names and types that Google declares; a 64-bit number is a text."""
    if "$ref" in spec:
        spec = schema(spec["$ref"])
    assert type(value) in KINDS[spec["type"]], f"{where} is no {spec['type']}"
    if spec["type"] == "array":
        for each in value:
            declared(each, spec["items"], where)
    elif spec["type"] == "object":
        for name, each in value.items():
            inner = spec.get("properties", {}).get(name, spec.get("additionalProperties"))
            assert inner is not None, f"{where}.{name} is not declared"
            declared(each, inner, f"{where}.{name}")


def refused(text: str) -> Failure:
    return Failure(400, "invalidParameter", f"Invalid field selection {text}", "fields")
