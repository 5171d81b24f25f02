"""Routes, key, limits and metrics of the endpoint."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import InputError, LeafEmbedError, MissingExtraError
from leaf_embed.serve.batcher import Batcher, OverloadError
from leaf_embed.serve.protocol import decode_tokens, error_json, parse_request, response_json
from leaf_embed.texts import Role

__all__ = ["ServeConfig", "create_app"]

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class ServeConfig:
    """Key and limits of a server.

    Attributes:
        api_key: Key that clients must send as ``Authorization: Bearer``; ``None`` asks for none.
        input_type: Role of texts that come without ``input_type``, as OpenAI's clients send them.
        max_texts: Texts per request.
        max_bytes: Bytes per request body.
        max_waiting: Texts that may wait; beyond them a request is answered by 503 with ``Retry-After``.
        retry_after: Seconds of that header.

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
    """Returns an ASGI application: ``POST /v1/embeddings``, ``GET /health``, ``GET /metrics``.

    Args:
        encoder: A leaf. Documents need one with a document encoder.
        config: Limits.
    """
    service = EmbeddingService(encoder, config or ServeConfig())
    routes = [
        Route("/v1/embeddings", service.embeddings, methods=["POST"]),
        Route("/health", service.health),
        Route("/metrics", service.metrics),
    ]
    return Starlette(routes=routes, lifespan=service.lifespan)


class TooLargeError(Exception):
    """A body above the limit."""


class EmbeddingService:
    """Answers requests over one encoder, and counts them in a registry of its own."""

    def __init__(self, encoder: Encoder, config: ServeConfig) -> None:
        self._space = encoder.space
        self._encoder = encoder
        self._config = config
        self._registry = registry = CollectorRegistry()
        self._requests = Counter("leaf_embed_requests_total", "Requests", ["status"], registry=registry)
        self._texts = Counter("leaf_embed_texts_total", "Embedded texts", ["input_type"], registry=registry)
        self._seconds = Histogram(
            "leaf_embed_request_seconds", "From arrival to answer", registry=registry, buckets=SECONDS
        )
        waiting = Gauge("leaf_embed_waiting_texts", "Texts that wait to be encoded", registry=registry)
        waiting.set_function(lambda: self._batcher.waiting)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Encode while the server runs; what waits at the end is still answered."""
        self._batcher = Batcher(self._encoder, max_waiting=self._config.max_waiting)
        worker = asyncio.create_task(self._batcher.run())
        yield
        self._batcher.close()
        await worker

    async def health(self, request: Request) -> Response:
        """The space that is served."""
        space = self._space
        values = {"status": "ok", "teacher": space.teacher, "dim": space.dim, "fingerprint": space.fingerprint}
        return JSONResponse(values)

    async def metrics(self, request: Request) -> Response:
        """Counters in Prometheus' text format."""
        return PlainTextResponse(generate_latest(self._registry), media_type="text/plain; version=0.0.4")

    async def embeddings(self, request: Request) -> Response:
        """Vectors, or an error in OpenAI's form."""
        response = await self._answer(request)
        self._requests.labels(response.status_code).inc()
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
        except (InputError, MissingExtraError) as error:  # the latter: token ids, and nothing to read them by
            return _error(400, str(error), "invalid_request_error")
        except LeafEmbedError as error:  # such as a teacher that does not belong to the leaf
            return _error(500, str(error), "server_error")
        except OverloadError:
            response = _error(503, f"too many texts wait; try again in {config.retry_after} s", "overloaded_error")
            response.headers["Retry-After"] = str(config.retry_after)
            return response
        self._texts.labels(asked.role).inc(len(asked.texts))
        self._seconds.observe(time.perf_counter() - started)
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
