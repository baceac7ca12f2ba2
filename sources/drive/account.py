"""The key of a service account in, tokens for whom it speaks out."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession
from google.auth.crypt import RSASigner
from google.auth.jwt import encode

from engine.errors import Code, SourceFailed
from sources.drive.failures import OK, failed, refused_token, unreadable
from sources.rest.calls import body

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
GOOGLE = "https://oauth2.googleapis.com/token"
LIVES = 3600
"""Seconds an assertion is good for; Google takes no more."""
EARLY = 60
"""Seconds before its end that a token is no longer used."""
MOST = 65_536
"""The longest answer of the place that gives tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who signs, for whom (`subject`, None: for itself), what for, and where tokens are given."""

    email: str
    signer: Any = field(repr=False)
    subject: str | None
    scope: str
    token_url: str


def account(text: str, *, subject: str | None, scope: str, endpoint: str | None) -> Account:
    """Of the JSON that Google gives out with a key. ValueError, which repeats nothing of it: it is none."""
    try:
        said = json.loads(text)
        email, signer = said["client_email"], RSASigner.from_service_account_info(said)
        url = said.get("token_uri", GOOGLE) if endpoint is None else f"{endpoint}/token"
        secure = endpoint is not None or url.startswith("https://")
    except Exception:
        raise ValueError(
            "`service_account_key` is no key of a service account: give the JSON that Google made"
        ) from None
    if not isinstance(email, str) or not secure:
        raise ValueError("`service_account_key` must name a `client_email`, and a `token_uri` over https")
    return Account(email=email, signer=signer, subject=subject, scope=scope, token_url=url)


class Tokens:
    """The token in use, asked for when there is none or it is about to end; who asks meanwhile waits for the same."""

    def __init__(self, session: ClientSession, account: Account, timeout: float) -> None:
        self.session = session
        self.account = account
        self.timeout = timeout
        self.token = ""
        self.ends = 0.0
        self.asking = asyncio.Lock()

    async def current(self) -> str:
        """Raises SourceFailed."""
        async with self.asking:
            if not self.token or time.monotonic() >= self.ends:
                self.token, seconds = await self._asked()
                self.ends = time.monotonic() + seconds - min(EARLY, seconds / 2)
            return self.token

    def forget(self, token: str) -> None:
        """It was refused."""
        if token == self.token:
            self.token = ""

    async def _asked(self) -> tuple[str, float]:
        form = {"grant_type": GRANT, "assertion": assertion(self.account, time.time())}
        try:
            async with self.session.post(self.account.token_url, data=form, allow_redirects=False) as response:
                said = json.loads(await body(response, MOST))
        except SourceFailed:
            raise
        except ValueError:
            raise unreadable() from None
        except Exception as error:
            raise failed(error, self.timeout) from error
        if response.status != OK:
            raise refused_token(response.status, said, response.headers.get("date"))
        return token(said)


def token(said: Any) -> tuple[str, float]:
    """The token in an answer, and the seconds it is good for."""
    match said:
        case {"access_token": str(given), "expires_in": int() | float() as seconds} if given and seconds > 0:
            return given, float(seconds)
    raise SourceFailed("google gave a token that cannot be read", Code.SOURCE_INVALID)


def assertion(account: Account, now: float) -> str:
    """Signed: who we are, for whom we ask and what for."""
    claims: Mapping[str, Any] = {
        "iss": account.email,
        "aud": account.token_url,
        "scope": account.scope,
        "iat": int(now),
        "exp": int(now) + LIVES,
        **({} if account.subject is None else {"sub": account.subject}),
    }
    return str(encode(account.signer, claims), "ascii")
