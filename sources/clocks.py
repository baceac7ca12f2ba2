"""What time the far end says it is in, whether our clock is too far from it for what we sign out."""

import time
from email.utils import parsedate_to_datetime

APART = 300.0
"""Seconds. Azure and S3 take 15 minutes, Google less."""
CLOCK = "the clock of this machine is minutes off its own, set it right"


def apart(date: str | None) -> bool:
    """`date`: the header of an answer that has just come; what cannot be read says nothing."""
    try:
        said = parsedate_to_datetime(date or "").timestamp()
    except (ValueError, OverflowError):
        return False
    return abs(said - time.time()) > APART
