"""What is listened for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A kind of event, and which of its kind: `Topic(name="customer", key="20")`.

    Who listens with the key None hears of all keys; an event without a key is heard by those alone.
    """

    name: str
    key: str | None = None
