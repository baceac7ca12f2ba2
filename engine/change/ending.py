"""An intent that is over in, its end committed and told to those who listen."""

import logging
from collections.abc import Sequence

from engine.change.doing import Doing
from engine.change.leaving import ending
from engine.change.workshop import Workshop
from records.intents import Ending, Left, State

LOG = logging.getLogger("onedoor.changes")


async def ended(doing: Doing) -> Sequence[Left]:
    """The rows of history it left, once they are committed."""
    over = ending(doing)
    await doing.shop.ledger.end(over)
    publish(doing.shop, over)
    return over.left


def publish(shop: Workshop, over: Ending) -> None:
    """What is not told is still on record: a failure here fails nobody's change."""
    for each in over.left:
        if each.state in (State.DONE, State.PARTLY):
            try:
                shop.published(each.type, each.row, each.id)
            except Exception:
                LOG.exception("a change could not be published")
