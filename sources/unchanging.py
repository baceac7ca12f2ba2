"""In place of what makes changes, where the settings let nothing be changed."""

from collections.abc import Sequence

from engine.change.words import Change, Made, Unmade
from engine.errors import Code, SourceFailed


class Unchanging:
    """It promises nothing, and makes nothing."""

    def writes(self, _: str) -> None:
        return None

    async def write(self, _: Sequence[Change], *, dry: bool = False) -> Sequence[Made]:
        raise Unmade("nothing is to be changed there", Code.CANNOT_ANSWER)

    async def made(self, _: Change) -> Made | None:
        raise SourceFailed("nothing is to be changed there", Code.CANNOT_ANSWER)

    async def close(self) -> None:
        return None
