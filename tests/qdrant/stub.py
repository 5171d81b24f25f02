"""A loopback server that speaks as much of Qdrant's REST as our helpers use, and misbehaves on demand.

Requests are checked against the OpenAPI (if there is one), recorded, and answered by the client's local mode. It is
no Qdrant: it shows what a server would be sent, and what becomes of faults on the way.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import TypeAdapter
from qdrant_client import QdrantClient, models

from tests.qdrant.openapi import OpenApi


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    Attributes:
        kind: ``"status"``, ``"reset"`` (the connection breaks), ``"half"`` (half a body), ``"slow"`` (after the
            client's time-out).
        applied: Whether the request is carried out before it goes wrong.
        status: For ``"status"``.
        headers: For ``"status"``.
        seconds: For ``"slow"``.
    """

    kind: str
    applied: bool = False
    status: int = 500
    headers: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0


@dataclass
class Stub:
    """The server's state.

    Attributes:
        openapi: What requests have to obey.
        fault: Asked before each request, with its method, path and number; ``None`` lets it through.
        requests: Method, path and body of each.
        problems: What the OpenAPI says against them.
    """

    openapi: OpenApi | None = None
    fault: Callable[[str, str, int], Fault | None] = lambda method, path, number: None
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    engine: QdrantClient = field(default_factory=lambda: QdrantClient(":memory:"))
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __enter__(self) -> Stub:
        stub = self

        class Handler(_Handler):
            owner = stub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.engine.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def client(self, **options: Any) -> QdrantClient:
        return QdrantClient(self.url, check_compatibility=False, **{"timeout": 5, **options})

    def answer(self, method: str, path: str, body: Any) -> Any:
        """Carry out a request by local mode; the result is JSON."""
        for pattern, action in ROUTES:
            match = re.fullmatch(pattern, f"{method} {path}")
            if match:
                result = action(self.engine, body, *map(unquote, match.groups()))
                return TypeAdapter(Any).dump_python(result, mode="json", exclude_none=True)
        raise LookupError(f"the stub knows no {method} {path}")


class _Handler(BaseHTTPRequestHandler):
    owner: Stub

    def handle_any(self) -> None:
        stub, url = self.owner, urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        with stub.lock:
            number = len(stub.requests)
            stub.requests.append((self.command, url.path, body))
            if stub.openapi is not None and url.path != "/":
                stub.problems += stub.openapi.problems(self.command, url.path, dict(parse_qsl(url.query)), body)
            fault = stub.fault(self.command, url.path, number)
            status, answer = 200, {"status": "ok", "time": 0.0}
            if fault is None or fault.applied:
                try:
                    answer["result"] = stub.answer(self.command, url.path, body)
                except (ValueError, LookupError, FileExistsError) as error:
                    status = 409 if isinstance(error, FileExistsError) else 404
                    answer = {"status": {"error": str(error)}, "time": 0.0}
        self._reply(status, answer, fault)

    def _reply(self, status: int, answer: Any, fault: Fault | None) -> None:
        text = json.dumps(answer).encode()
        if fault is not None and fault.kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            self.connection.close()
            return
        if fault is not None and fault.kind == "slow":
            time.sleep(fault.seconds)
        headers: tuple[tuple[str, str], ...] = ()
        if fault is not None and fault.kind == "status":
            status, headers, text = fault.status, fault.headers, b'{"status": {"error": "busy"}, "time": 0.0}'
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text[: len(text) // 2] if fault is not None and fault.kind == "half" else text)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def _create(engine: QdrantClient, body: Any, name: str) -> bool:
    if engine.collection_exists(name):
        raise FileExistsError(f"Wrong input: Collection `{name}` already exists!")
    request = models.CreateCollection.model_validate(body)
    return engine.create_collection(
        name,
        vectors_config=request.vectors,
        sparse_vectors_config=request.sparse_vectors,
        metadata=request.metadata,
    )


def _update(engine: QdrantClient, body: Any, name: str) -> bool:
    request = models.UpdateCollection.model_validate(body)
    return engine.update_collection(name, metadata=request.metadata)


def _aliases(engine: QdrantClient, body: Any) -> bool:
    request = models.ChangeAliasesOperation.model_validate(body)
    return engine.update_collection_aliases(request.actions)


def _retrieve(engine: QdrantClient, body: Any, name: str) -> Any:
    return engine.retrieve(name, body["ids"], body["with_payload"], body["with_vector"])


def _batch(engine: QdrantClient, body: Any, name: str) -> Any:
    request = models.UpdateOperations.model_validate(body)
    return engine.batch_update_points(name, request.operations)


def _vectors(engine: QdrantClient, body: Any, name: str) -> Any:
    return engine.update_vectors(name, models.UpdateVectors.model_validate(body).points)


def _upsert(engine: QdrantClient, body: Any, name: str) -> Any:
    return engine.upsert(name, models.PointsList.model_validate(body).points)


def _delete(engine: QdrantClient, body: Any, name: str) -> Any:
    return engine.delete(name, models.PointIdsList.model_validate(body))


def _scroll(engine: QdrantClient, body: Any, name: str) -> Any:
    request = models.ScrollRequest.model_validate(body)
    records, after = engine.scroll(
        name,
        request.filter,
        request.limit or 10,
        offset=request.offset,
        with_payload=request.with_payload,
        with_vectors=request.with_vector,
    )
    return {"points": records, "next_page_offset": after}


def _count(engine: QdrantClient, body: Any, name: str) -> Any:
    return engine.count(name, models.CountRequest.model_validate(body).filter)


def _query(engine: QdrantClient, body: Any, name: str) -> Any:
    return engine.query_batch_points(name, [models.QueryRequest.model_validate(body)])[0]


def _query_batch(engine: QdrantClient, body: Any, name: str) -> Any:
    return engine.query_batch_points(name, models.QueryRequestBatch.model_validate(body).searches)


def _vector_name(engine: QdrantClient, body: Any, name: str, vector: str) -> Any:
    return engine.create_vector_name(name, vector, models.DenseVectorNameConfig.model_validate(body))


NAME = "([^/]+)"
ROUTES: list[tuple[str, Callable[..., Any]]] = [
    ("GET /", lambda engine, body: {"title": "stub", "version": "1.20.0"}),
    ("GET /collections", lambda engine, body: engine.get_collections()),
    ("GET /aliases", lambda engine, body: engine.get_aliases()),
    ("POST /collections/aliases", _aliases),
    (f"GET /collections/{NAME}/exists", lambda engine, body, name: {"exists": engine.collection_exists(name)}),
    (f"GET /collections/{NAME}", lambda engine, body, name: engine.get_collection(name)),
    (f"PUT /collections/{NAME}", _create),
    (f"DELETE /collections/{NAME}", lambda engine, body, name: engine.delete_collection(name)),
    (f"PATCH /collections/{NAME}", _update),
    (f"PUT /collections/{NAME}/index", lambda engine, body, name: {"operation_id": 0, "status": "completed"}),
    (f"PUT /collections/{NAME}/vectors/{NAME}", _vector_name),
    (f"POST /collections/{NAME}/points", _retrieve),
    (f"PUT /collections/{NAME}/points", _upsert),
    (f"POST /collections/{NAME}/points/batch", _batch),
    (f"PUT /collections/{NAME}/points/vectors", _vectors),
    (f"POST /collections/{NAME}/points/delete", _delete),
    (f"POST /collections/{NAME}/points/scroll", _scroll),
    (f"POST /collections/{NAME}/points/count", _count),
    (f"POST /collections/{NAME}/points/query", _query),
    (f"POST /collections/{NAME}/points/query/batch", _query_batch),
]
