"""Around every request: an id, a line in the access log, a count, and an answer whatever happens."""

from __future__ import annotations

import logging
import re
import time
import traceback
import uuid
from collections.abc import Collection
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leaf_embed.serve.metrics import Metrics
from leaf_embed.serve.protocol import error_response

__all__ = ["Access", "note"]

GONE = 499  # as nginx logs a client that closed the connection before its answer
ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
NOTES = "leaf_embed.notes"
PROBES = ("/health", "/livez", "/readyz", "/metrics")

log = logging.getLogger(__name__)


def note(scope: Scope, **values: Any) -> None:
    """Adds numbers to a request's line in the access log; never a text of the request."""
    scope.setdefault(NOTES, {}).update(values)


class Access:
    """The outermost middleware.

    The log ``leaf_embed.serve.access`` has a line per request: id, method, route, status, milliseconds and what
    :func:`note` added. Texts, keys, addresses and paths that are no route are not in it. The id comes from the header
    ``X-Request-Id`` if that is plain, and is returned in it.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: Collection[str]) -> None:
        self.app = app
        self._metrics = metrics
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        name = given if ID.fullmatch(given) else uuid.uuid4().hex
        status, began = 0, time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = name
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except ClientDisconnect:
            status = GONE
        except Exception as error:
            log.error("request %s failed with %s", name, _place(error))
            if status:
                raise ConnectionError(f"the answer to request {name} was broken off") from None
            await error_response(500, f"an error of the server; its log names request {name}")(
                scope, receive, send_with_id
            )
        finally:
            self._finish(scope, name, status or GONE, time.perf_counter() - began)

    def _finish(self, scope: Scope, name: str, status: int, seconds: float) -> None:
        route = scope["path"] if scope["path"] in self._routes else "other"
        if scope["path"].startswith("/v1/models/"):
            route = "/v1/models/{name}"
        if route not in PROBES or status != 200:
            self._metrics.count(status)
        notes = "".join(f" {key}={value}" for key, value in scope.get(NOTES, {}).items())
        log.info("%s %s %s %d %.1f ms%s", name, scope["method"][:10], route, status, 1000 * seconds, notes)


def _place(error: Exception) -> str:
    """An error's type and where it was raised. Its message may quote a text of the request."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {frame.name} ({frame.filename}:{frame.lineno})"
