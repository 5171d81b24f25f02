"""Routes of the endpoint, and what stands around them: key, origins, errors, and the start of the encoder."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser, requires
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from leaf_embed.encoders.base import Encoder
from leaf_embed.encoders.leaf import LeafEncoder
from leaf_embed.errors import InputError, LeafEmbedError, MissingExtraError
from leaf_embed.serve.access import Access, note
from leaf_embed.serve.batcher import Batcher, Embedded, OverloadError
from leaf_embed.serve.config import ServeConfig
from leaf_embed.serve.limits import Bodies
from leaf_embed.serve.metrics import Metrics
from leaf_embed.serve.protocol import EmbedRequest, error_response, model_json, parse_request, response_parts
from leaf_embed.serve.readiness import DocumentSide
from leaf_embed.serve.tokens import Vocabulary
from leaf_embed.space import model_name

__all__ = ["create_app"]

KEY = "key"
SLICE = 0.001  # seconds of writing JSON before other requests get their turn


def create_app(encoder: Encoder, config: ServeConfig | None = None) -> Starlette:
    """Returns an ASGI application.

    ``POST /v1/embeddings``, ``GET /v1/models`` and ``GET /v1/models/{name}`` ask for the key, if there is one;
    ``GET /health``, ``/livez``, ``/readyz`` and ``/metrics`` do not. Time-outs of connections are those of the server
    that runs it; :func:`leaf_embed.serve.connections.make_server` has them.

    Args:
        encoder: A leaf. Documents need one with a document encoder, which is loaded when the server starts.
        config: Names, key and limits.

    Raises:
        SpaceMismatchError: The leaf does not write into the space it declares, by its canaries.
        InputError: The vocabulary's file cannot be read.
    """
    config = config or ServeConfig()
    encoder.space.require_leaf(encoder, ("query",))
    service = EmbeddingService(encoder, config)
    routes = [
        Route("/v1/embeddings", service.embeddings, methods=["POST"]),
        Route("/v1/models", service.models),
        Route("/v1/models/{name:path}", service.model),
        Route("/health", service.health),
        Route("/livez", service.livez),
        Route("/readyz", service.readyz),
        Route("/metrics", service.page),
    ]
    middleware = [Middleware(Access, metrics=service.metrics, routes={route.path for route in routes})]
    if config.allow_origins:
        origins: dict[str, Any] = {"allow_origins": config.allow_origins, "allow_methods": ["GET", "POST"]}
        origins |= {"allow_headers": ["*"], "expose_headers": ["X-Request-Id", "X-Cut-Texts", "Retry-After"]}
        middleware.append(Middleware(CORSMiddleware, **origins))
    middleware.append(Middleware(AuthenticationMiddleware, backend=Bearer(config.api_key)))
    handlers: dict[Any, Any] = {
        HTTPException: _http_error,
        InputError: _bad_request,
        MissingExtraError: _bad_request,  # token ids, and nothing to read them by
        LeafEmbedError: _failure,
        OverloadError: service.overload,
    }
    app = Starlette(routes=routes, middleware=middleware, exception_handlers=handlers, lifespan=service.lifespan)
    app.router.redirect_slashes = False
    return app


class Bearer(AuthenticationBackend):
    """Knows a client by the key in ``Authorization: Bearer``, the scheme in any case as RFC 9110 has it."""

    def __init__(self, key: str | None) -> None:
        self._key = key

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        """Returns who asks, or ``None`` for somebody without the key."""
        scheme, _, given = conn.headers.get("authorization", "").partition(" ")
        right = self._key is None or (
            scheme.lower() == "bearer"
            and hmac.compare_digest(given.strip(" ").encode("latin-1"), self._key.encode())  # headers are Latin-1
        )
        return (AuthCredentials([KEY]), SimpleUser(KEY)) if right else None


class EmbeddingService:
    """Answers requests over one encoder."""

    def __init__(self, encoder: Encoder, config: ServeConfig) -> None:
        self._encoder = encoder
        self._config = config
        self._created = int(time.time())
        self._bodies = Bodies(config.max_bytes, config.timeout)
        self._vocabulary = Vocabulary(config.vocabulary)
        self._documents = DocumentSide(encoder)
        self._worker: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self.metrics = Metrics()

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[dict[str, Any]]:
        """Encode while the server runs; what waits at the end is still answered."""
        limits = {"max_waiting": self._config.max_waiting, "max_waiting_tokens": self._config.max_waiting_tokens}
        self._batcher = Batcher(self._encoder, **limits)
        self.metrics.watch([self._batcher.short, self._batcher.bulk])
        self._worker = asyncio.create_task(self._batcher.run())
        self._vocabulary.start()
        await self._documents.start()
        yield {"metrics": self.metrics}
        self._batcher.close()
        await self._worker

    async def health(self, request: Request) -> Response:
        """That the server is there; with the key, or if there is none, also the space that is served."""
        if KEY not in request.auth.scopes:
            return JSONResponse({"status": "ok"})
        space = self._encoder.space
        names = {"status": "ok", "model": self._config.name, "teacher": model_name(space.teacher)}
        return JSONResponse({**names, "dim": space.dim, "fingerprint": space.fingerprint})

    async def livez(self, request: Request) -> Response:
        """Whether the server works at all; if not, start it again."""
        alive = self._worker is not None and not self._worker.done()
        return JSONResponse({"status": "ok"}) if alive else error_response(503, "the encoder's loop has ended")

    async def readyz(self, request: Request) -> Response:
        """Whether all that the server offers can be answered now."""
        problem = self._documents.problem
        return error_response(503, problem) if problem else JSONResponse({"status": "ok"})

    async def page(self, request: Request) -> Response:
        """Counters in Prometheus' text format."""
        return PlainTextResponse(self.metrics.page(), media_type="text/plain; version=0.0.4")

    @requires(KEY, 401)
    async def models(self, request: Request) -> Response:
        """The one model there is, in OpenAI's form of a list."""
        return JSONResponse({"object": "list", "data": [model_json(self._config.name, self._created)]})

    @requires(KEY, 401)
    async def model(self, request: Request) -> Response:
        """The model, under any of its names."""
        name = str(request.path_params["name"])
        if not self._config.serves(name):
            return self._unknown(name)
        return JSONResponse(model_json(self._config.name, self._created))

    @requires(KEY, 401)
    async def embeddings(self, request: Request) -> Response:
        """Vectors, or an error in OpenAI's form."""
        began = time.perf_counter()
        limits: dict[str, Any] = {"dim": self._encoder.space.dim, "max_texts": self._config.max_texts}
        asked = parse_request(await self._bodies.read(request), **limits, default=self._config.input_type)
        if not self._config.serves(asked.model):
            return self._unknown(asked.model)
        if asked.role == "document" and (refused := self._without_documents()):
            return refused
        if asked.tokens:
            asked = replace(asked, texts=await asyncio.to_thread(self._vocabulary.decode, asked.tokens))
        made = await self._embed(request, asked)
        body = await self._written(response_parts(asked, self._config.name, made.rows, made.tokens))
        self.metrics.embedded(asked.role, made, time.perf_counter() - began)
        times = {"queue_ms": round(1000 * made.queued, 1), "encode_ms": round(1000 * made.encoding, 1)}
        note(request.scope, role=asked.role, texts=len(asked.texts), tokens=made.tokens, cut=made.cut, **times)
        headers = {"X-Cut-Texts": str(made.cut)} if made.cut else {}
        return Response(body, media_type="application/json", headers=headers)

    async def overload(self, request: Request, error: Exception) -> Response:
        """503: too much waits."""
        seconds = self._config.retry_after
        return error_response(503, f"too much waits; try again in {seconds} s", {"Retry-After": str(seconds)})

    async def _embed(self, request: Request, asked: EmbedRequest) -> Embedded:
        """Vectors; not computed if the client hangs up before their turn comes."""
        made = asyncio.ensure_future(self._batcher.encode(asked.texts, asked.role))
        gone = asyncio.ensure_future(_hung_up(request))
        with _cancelled_at_end(made, gone):
            await asyncio.wait([made, gone], return_when=asyncio.FIRST_COMPLETED)
            if not made.done():
                raise ClientDisconnect
            return made.result()

    async def _written(self, parts: Iterator[str]) -> bytes:
        """The parts as one body. Large bodies take turns, and leave half of the time to everything else."""
        written: list[str] = []
        while _write(parts, written):
            async with self._writing:
                await asyncio.sleep(SLICE)
        return "".join(written).encode()

    def _without_documents(self) -> Response | None:
        leaf = self._encoder
        if isinstance(leaf, LeafEncoder) and not leaf.can_encode_documents:
            return error_response(
                400,
                "this leaf was loaded for queries only. Start the server with --document teacher, or leaf, to encode "
                "documents; or leave input_type out.",
                param="input_type",
            )
        if not self._documents.problem:
            return None
        if self._documents.failed:
            return error_response(500, self._documents.problem)
        return error_response(503, self._documents.problem, {"Retry-After": "5"})

    def _unknown(self, name: str) -> Response:
        message = f"the model {name[:100]!r} does not exist; this server has {self._config.name!r}"
        return error_response(404, message, code="model_not_found", param="model")


def _write(parts: Iterator[str], written: list[str]) -> bool:
    """Writes parts for a while; returns whether there may be more."""
    until = time.perf_counter() + SLICE
    for part in parts:
        written.append(part)
        if time.perf_counter() > until:
            return True
    return False


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


@contextmanager
def _cancelled_at_end(*tasks: asyncio.Future[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


async def _bad_request(request: Request, error: Exception) -> Response:
    return error_response(400, str(error))


async def _failure(request: Request, error: Exception) -> Response:
    return error_response(500, str(error))


async def _http_error(request: Request, error: HTTPException) -> Response:
    """An error of starlette's own in OpenAI's form."""
    headers = dict(error.headers or {})
    if error.status_code == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="leaf-embed"'
        return error_response(401, "give the server's key as 'Authorization: Bearer ...'", headers)
    message = error.detail
    if error.status_code == 404:
        message = "no such route; there are POST /v1/embeddings, GET /v1/models, /health, /livez, /readyz, /metrics"
    elif error.status_code == 405:
        message = f"{request.method[:20]} is not possible here; allowed: {headers.get('Allow', '')}"
    return error_response(error.status_code, message, headers)
