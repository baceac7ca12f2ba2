"""Put a FastAPI route behind the same key, limits and record as /graphql."""

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

from fastapi import Request, Response
from fastapi.routing import APIRoute

from onedoor.audit.log import AuditLogUnavailable
from onedoor.audit.record import AuditOutcome, Surface
from onedoor.http.cors import build_preflight_headers, is_preflight
from onedoor.http.lifecycle import admit
from onedoor.http.negotiation import JSON
from onedoor.http.requests import RequestContext, begin_request, parse_head
from onedoor.http.responses import build_headers, build_raw_response, encode_response
from onedoor.http.state import AppState
from onedoor.http.turned_away import is_turned_away
from onedoor.query.audited import Conclusion, conclude_unrecorded

ERRORS_MAX = 1

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class AuditedRoute(APIRoute):
    """A route whose endpoint runs for an admitted principal alone, found in `request.state.context`.

    What the endpoint raises is concluded as it is for /graphql; an HTTPError is the way to refuse.
    """

    surface: ClassVar[Surface]

    endpoint_records: ClassVar[bool] = False
    """Whether a response of the endpoint is on record already, by the request that the endpoint executed."""

    def get_route_handler(self) -> Handler:
        """Wrap the endpoint in admission, limits and record."""
        handle = super().get_route_handler()

        async def handle_audited(request: Request) -> Response:
            app_state: AppState = request.state.app_state
            if is_preflight(request.method, request.scope["headers"]):
                headers = build_preflight_headers(request.scope["headers"], app_state.allowed_origins)
                return build_raw_response(204, headers)
            context = begin_request(parse_head(request.scope), self.surface)
            request.state.context = context
            rejection = app_state.rate_limiter.check_capacity()
            if rejection is not None:
                return await self._record(app_state, context, rejection)
            work = app_state.executor.conclude(context, self._admit_and_handle(request, handle))
            return await self._record(app_state, context, await app_state.rate_limiter.meter(work))

        return handle_audited

    async def _admit_and_handle(self, request: Request, handle: Handler) -> Response | Conclusion:
        context: RequestContext = request.state.context
        rate_limiter = request.state.app_state.rate_limiter
        refusal = await self.admit(request.state.app_state, context)
        if refusal is not None:
            return refusal
        assert context.principal is not None
        rejection: Conclusion | None = rate_limiter.check_place(context.principal.key_id)
        rejection = rejection or await request.state.app_state.executor.check_budgets(context)
        if rejection is not None:
            return rejection
        with rate_limiter.hold_place(context.principal.key_id):
            return await handle(request)

    async def admit(self, app_state: AppState, context: RequestContext) -> Conclusion | None:
        """Find the principal of a request. Returns a conclusion where it goes no further."""
        return await admit(app_state, context)

    async def _record(self, app_state: AppState, context: RequestContext, result: Response | Conclusion) -> Response:
        """Return the response once its record is durable."""
        if isinstance(result, Conclusion):
            conclusion, response = result, self.build_refusal(app_state, context, result)
        else:
            conclusion, response = conclude_response(result), result
            if self.endpoint_records:
                return response
        try:
            if is_turned_away(context, conclusion):
                await app_state.turned_away.record(context, conclusion, len(response.body))
            else:
                await app_state.executor.record(context, conclusion, len(response.body))
        except AuditLogUnavailable:
            return self.build_refusal(app_state, context, conclude_unrecorded(context))
        return response

    def build_refusal(self, app_state: AppState, context: RequestContext, conclusion: Conclusion) -> Response:
        """Build the response of a request that got none from the endpoint."""
        encoded = encode_response(conclusion.status, JSON, conclusion.errors, ERRORS_MAX, headers=conclusion.headers)
        headers = build_headers(encoded, context, app_state.allowed_origins)
        return build_raw_response(encoded.status, headers, encoded.body)


def conclude_response(response: Response) -> Conclusion:
    """Conclude a request by the status that its endpoint gave it."""
    outcome = AuditOutcome.ANSWERED if response.status_code < 400 else AuditOutcome.REFUSED
    return Conclusion(outcome=outcome, status=response.status_code)
