"""Whoever makes a group in a directory chooses its name: it must not pass for the id of another."""

from types import SimpleNamespace
from typing import Any

import pytest

from auth.directory.memberships import list_names
from auth.memberships import IdentitySource

ENTRA_ID, OKTA_ID = "8f1d2c3b-0000-4000-8000-000000000001", "00gab1cd2ef3gh4ij5k6"


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("acme-support", {"acme-support", "its-own-id"}),
        (ENTRA_ID, {"its-own-id"}),
        (ENTRA_ID.upper(), {"its-own-id"}),
        (OKTA_ID, {"its-own-id"}),
        ("cn=support,dc=acme", {"its-own-id"}),
    ],
)
def test_a_name_that_looks_like_an_id_or_a_dn_names_nothing(name: str, names: set[str]) -> None:
    row: Any = SimpleNamespace(source=IdentitySource.SCIM, display_name=name, external_id="its-own-id", resource="{}")
    assert list_names(row) == names
