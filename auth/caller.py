"""Who is asking: the person behind a key, as every later stage sees them."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One person, the functional groups and grants they hold now, and the key they came with.

    `key_id` is the public part of the key, never its secret; times are UTC.
    """

    person_id: str
    first_name: str
    last_name: str
    email: str
    groups: frozenset[str]
    grants: tuple[str, ...]
    key_id: str
    key_created: datetime
    key_expires: datetime
