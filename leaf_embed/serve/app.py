"""Routes, key and limits of the endpoint."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import InputError, LeafEmbedError, MissingExtraError
from leaf_embed.serve.batcher import Batcher, OverloadError
from leaf_embed.serve.metrics import Metrics
from leaf_embed.serve.protocol import error_json, parse_request, response_json
from leaf_embed.serve.tokens import decode_tokens
from leaf_embed.texts import Role

__all__ = ["ServeConfig", "create_app"]


@dataclass(frozen=True)
class ServeConfig:
    """Limits of a server.

    Attributes:
        api_key: What clients must send as ``Authorization: Bearer``; ``None`` for nothing.
        input_type: Role of texts that come without ``input_type``, as OpenAI's clients send them.
        max_texts: Texts of one request.
        max_bytes: Bytes of one request's body.
        max_waiting: Texts that may wait; beyond them a request gets 503 with ``Retry-After``.
        retry_after: Seconds to tell clients to wait then.

    Raises:
        InputError: A limit below 1, or an unknown role.
    """

    api_key: str | None = field(default=None, repr=False)
    input_type: Role = "query"
    max_texts: int = 2048
    max_bytes: int = 8_000_000
    max_waiting: int = 4096
    retry_after: int = 1

    def __post_init__(self) -> None:
        if min(self.max_texts, self.max_bytes, self.max_waiting, self.retry_after) < 1:
            raise InputError(f"limits must be at least 1; got {self}")
        if self.input_type not in ("query", "document"):
            raise InputError(f"input_type must be 'query' or 'document'; got {self.input_type!r}")


def create_app(encoder: Encoder, config: ServeConfig | None = None) -> Starlette:
    """An ASGI application: ``POST /v1/embeddings``, ``GET /health``, ``GET /metrics``.

    Args:
        encoder: A leaf. Documents need one with a document encoder.
        config: Limits.
    """
    endpoint = Endpoint(encoder, config or ServeConfig())
    routes = [
        Route("/v1/embeddings", endpoint.embeddings, methods=["POST"]),
        Route("/health", endpoint.health),
        Route("/metrics", endpoint.metrics_page),
    ]
    return Starlette(routes=routes, lifespan=endpoint.lifespan)


class TooLargeError(Exception):
    """A body above the limit."""


class Endpoint:
    """Answers requests over one encoder."""

    def __init__(self, encoder: Encoder, config: ServeConfig) -> None:
        self._space = encoder.space
        self._encoder = encoder
        self._config = config
        self._metrics = Metrics()

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Encode while the server runs; what waits at the end is still answered."""
        self._batcher = Batcher(self._encoder, max_waiting=self._config.max_waiting)
        worker = asyncio.create_task(self._batcher.run())
        yield
        self._batcher.close()
        await worker

    async def health(self, request: Request) -> Response:
        """Which space is served."""
        space = self._space
        values = {"status": "ok", "teacher": space.teacher, "dim": space.dim, "fingerprint": space.fingerprint}
        return JSONResponse(values)

    async def metrics_page(self, request: Request) -> Response:
        """Prometheus text."""
        text = self._metrics.render(waiting=self._batcher.waiting)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    async def embeddings(self, request: Request) -> Response:
        """Vectors, or an error in OpenAI's form."""
        response = await self._answer(request)
        self._metrics.request(response.status_code)
        return response

    async def _answer(self, request: Request) -> Response:
        config = self._config
        started = time.perf_counter()
        if not self._allowed(request):
            return _error(401, "give the server's key as 'Authorization: Bearer ...'", "authentication_error")
        try:
            body = await _read(request, config.max_bytes)
            asked = parse_request(body, dim=self._space.dim, max_texts=config.max_texts, default=config.input_type)
            if asked.tokens:
                texts = await asyncio.to_thread(decode_tokens, asked.tokens, asked.model)
                asked = replace(asked, texts=texts)
            made = await self._batcher.encode(asked.texts, asked.role)
        except TooLargeError:
            return _error(413, f"the body is larger than {config.max_bytes} bytes; send fewer texts", "invalid_request")
        except (InputError, MissingExtraError) as error:  # the latter: token numbers, and nothing to read them by
            return _error(400, str(error), "invalid_request_error")
        except LeafEmbedError as error:  # such as a teacher that does not belong to the leaf
            return _error(500, str(error), "server_error")
        except OverloadError:
            response = _error(503, f"too much waits; try again in {config.retry_after} s", "overloaded_error")
            response.headers["Retry-After"] = str(config.retry_after)
            return response
        self._metrics.embedded(asked.role, len(asked.texts), time.perf_counter() - started)
        return JSONResponse(response_json(asked, made.rows, made.tokens))

    def _allowed(self, request: Request) -> bool:
        key = self._config.api_key
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        return key is None or hmac.compare_digest(given.encode(), key.encode())


async def _read(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise TooLargeError
    return bytes(body)


def _error(status: int, message: str, kind: str) -> Response:
    return JSONResponse(error_json(message, kind), status_code=status)
