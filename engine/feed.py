"""What a root field of `Subscription` listens for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from engine.topic import Topic


class Feed(Protocol):
    """An event on one of these topics brings the id of the row that the field leads to."""

    def topics(self, arguments: Mapping[str, Any]) -> Sequence[Topic]:
        """For these arguments, coerced; what was not given is not there, or null."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Listens:
    """For all of one topic, or for the one key that an argument names."""

    topic: str
    argument: str | None = None

    def topics(self, arguments: Mapping[str, Any]) -> Sequence[Topic]:
        key = arguments.get(self.argument) if self.argument else None
        return (Topic(name=self.topic, key=key),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watches:
    """For rows that others make in a source that can tell which are new, under the key that an argument names."""

    source: str
    collection: str
    argument: str

    def topics(self, arguments: Mapping[str, Any]) -> Sequence[Topic]:
        return (Topic(name=f"{self.source}.{self.collection}", key=arguments[self.argument]),)
