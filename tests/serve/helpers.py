"""A server in a thread, as the command runs it, and plain HTTP to ask it."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from leaf_embed.serve import ServeConfig, create_app
from leaf_embed.serve.connections import make_server
from leaf_embed.space import Role
from leaf_embed.vectors import FloatArray
from tests.integrations.encoders import LetterEncoder


class SlowEncoder(LetterEncoder):
    """Waits until it is let go, and remembers the sizes of its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.batches: list[tuple[Role, int]] = []

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        self.batches.append((role, len(texts)))
        assert self.go.wait(20)
        return super()._encode(texts, role)


@contextmanager
def serving(encoder: Any, **options: Any) -> Iterator[str]:
    """A server in a thread; its address. It has no vocabulary unless one is named."""
    config = ServeConfig(**{"vocabulary": "none", **options})
    server = make_server(create_app(encoder, config), config)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)
    assert not thread.is_alive()


def post(address: str, body: Any, **headers: str) -> tuple[int, Any, dict[str, str]]:
    """Status, JSON and headers of a request for embeddings."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ask(f"{address}/v1/embeddings", data, {"Content-Type": "application/json", **headers})


def ask(
    url: str, data: bytes | None = None, headers: dict[str, str] | None = None, method: str | None = None
) -> tuple[int, Any, dict[str, str]]:
    """Status, JSON and headers of any request."""
    request = urllib.request.Request(url, data, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read() or b"null"), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null"), dict(error.headers)


def wait_until_ready(address: str) -> None:
    """Waits until the document encoder is loaded; before, requests for documents get 503."""
    until = time.monotonic() + 60
    while ask(f"{address}/readyz")[0] != 200:
        assert time.monotonic() < until
        time.sleep(0.01)


def get(address: str) -> str:
    """The text of a page."""
    with urllib.request.urlopen(address, timeout=20) as answer:
        return str(answer.read().decode())


def raw(address: str, data: bytes, *, read: bool = True) -> bytes:
    """What a server sends back to these bytes until it closes the connection."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(data)
        found = b""
        while read and (part := connection.recv(65_536)):
            found += part
        return found


def counted(address: str, status: int) -> int:
    """How many answers of a status /metrics counted."""
    start = f'leaf_embed_requests_total{{status="{status}"}} '
    found = [line for line in get(f"{address}/metrics").splitlines() if line.startswith(start)]
    return int(float(found[0].removeprefix(start))) if found else 0
