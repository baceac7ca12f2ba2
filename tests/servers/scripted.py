"""Serve scripted responses, and record the requests."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class ScriptedServer:
    """Answer each request with the next response, and all further ones with the last."""

    def __init__(self, *responses: Response) -> None:
        self.responses = list(responses)
        self.requests: list[Request] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests.append(Request(scope))
        response = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
        await response(scope, receive, send)
