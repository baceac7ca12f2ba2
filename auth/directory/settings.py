"""Define what onedoor.toml says of the company's directory: `[directory]` and a section for each way to follow it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ScimSettings:
    """The credential and the limits of the directory that pushes, over SCIM."""

    token: str = field(repr=False)
    """What the directory sends as `Authorization: Bearer <token>`."""
    requests_a_minute: int = 1_200
    """Requests a minute, in each process."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """By attribute of a person, the path of the SCIM attribute that it is taken from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectorySettings:
    """The company's directory; without its sections there is none."""

    removed_people: int = 5
    """People that a directory may remove within 10 minutes; more wait for an approval."""
    removed_percent: int = 20
    """The same as a share of its active people; the higher number counts."""
    scim: ScimSettings | None = None
