"""What a call was given in, checked against what its method declares, its values out."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from demo.drive.document import Method, Spec
from demo.drive.failures import Failure, invalid

Given: TypeAlias = Mapping[str, Any]
UPLOADING = frozenset({"uploadType", "upload_id", "upload_protocol"})
"""Every method takes these, though the document declares but the first two of them, by their new names."""


def checked(method: Method, places: Mapping[str, str], query: Iterable[tuple[str, str]]) -> Given:
    """Names, types, ranges and enums; what is left out has its default. Raises Failure."""
    values: dict[str, Any] = {name: spec_default(spec) for name, spec in method.parameters.items() if "default" in spec}
    given = [*places.items(), *query]
    for name, text in given:
        spec = method.parameters.get(name)
        if spec is None and name not in UPLOADING:
            raise Failure(400, "badRequest", f'Invalid JSON payload received. Unknown name "{name}"', name)
        values[name] = text if spec is None else converted(name, text, spec)
    for name, spec in method.parameters.items():
        if spec.get("required") and name not in values:
            raise Failure(400, "required", f"Required parameter: {name}", name)
    return values


def spec_default(spec: Spec) -> Any:
    return converted("", spec["default"], spec)


def converted(name: str, text: str, spec: Spec) -> Any:
    if "enum" in spec and text not in spec["enum"]:
        raise invalid(name, text)
    return KINDS[spec["type"]](name, text, spec)


def whole(name: str, text: str, spec: Spec) -> int:
    try:
        number = int(text)
    except ValueError:
        raise invalid(name, text) from None
    if not int(spec.get("minimum", number)) <= number <= int(spec.get("maximum", number)):
        raise Failure(
            400, "invalidParameter",
            f"Invalid value '{text}'. Values must be within the range: [{spec.get('minimum')}, {spec.get('maximum')}]",
            name,
        )  # fmt: skip
    return number


def truth(name: str, text: str, spec: Spec) -> bool:
    if text.lower() not in ("true", "false"):
        raise invalid(name, text)
    return text.lower() == "true"


def plain(name: str, text: str, spec: Spec) -> str:
    return text


KINDS = {"string": plain, "integer": whole, "boolean": truth}
