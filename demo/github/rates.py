"""Calls to how many are left of an hour's, as GitHub counts them: a window that begins anew when it is over."""

from dataclasses import dataclass

HOUR = 3600.0


@dataclass(slots=True, kw_only=True)
class Rates:
    """`resets` is in seconds since 1970."""

    limit: int
    used: int = 0
    resets: float = 0.0


def rates(limit: int) -> Rates:
    return Rates(limit=limit)


def counted(of: Rates, now: float) -> bool:
    """Whether the call is let in; one that is not costs nothing more."""
    if now >= of.resets:
        of.used, of.resets = 0, now + HOUR
    if of.used >= of.limit:
        return False
    of.used += 1
    return True


def headers(of: Rates) -> dict[str, str]:
    return {
        "x-ratelimit-limit": str(of.limit),
        "x-ratelimit-remaining": str(of.limit - of.used),
        "x-ratelimit-used": str(of.used),
        "x-ratelimit-reset": str(int(of.resets)),
        "x-ratelimit-resource": "core",
    }
