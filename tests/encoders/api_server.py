"""An embeddings endpoint on loopback that behaves as it is told: it fails, throttles, stalls, shuffles."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def vector(text: str, dim: int = 3) -> list[float]:
    """[characters, e's, 1, 1, ...]: an answer that can be checked by hand."""
    return [float(len(text)), float(text.count("e")), *[1.0] * (dim - 2)]


class Api:
    """The state of the server.

    Attributes:
        script: What happens to the next requests, one word each; afterwards all is well.
        bodies: JSON of every request that came.
        keys: Authorization header of every request that came.
    """

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.times: list[float] = []
        self.tokens_per_text = 5
        self.url = ""

    @property
    def texts(self) -> list[str]:
        """Every text that came."""
        return [text for body in self.bodies for text in body["input"]]

    def answer(self, body: dict[str, Any], mood: Any) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON."""
        dim = body.get("dimensions") or 3
        rows = [{"index": i, "embedding": vector(text, dim)} for i, text in enumerate(body["input"])]
        usage = {"prompt_tokens": 1, "total_tokens": self.tokens_per_text * len(rows)}
        if isinstance(mood, tuple):
            return mood
        if mood == "shuffled":
            rows = rows[::-1]
        elif mood == "one less":
            rows = rows[:-1]
        elif mood == "twice the first":
            rows[-1]["index"] = 0
        elif mood == "no index":
            rows = [{"embedding": row["embedding"]} for row in rows]
        elif mood == "wrong size":
            rows = [{**row, "embedding": [1.0, 2.0]} for row in rows]
        elif mood == "unequal size":
            rows[-1]["embedding"] = [1.0]
        elif mood == "nan":
            rows[-1]["embedding"][0] = float("nan")
        elif mood == "no usage":
            return 200, {}, {"data": rows}
        return 200, {}, {"object": "list", "data": rows, "usage": usage}


@contextmanager
def serving() -> Iterator[Api]:
    """An API, served until the block ends."""
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            api.bodies.append(body)
            api.keys.append(self.headers.get("Authorization"))
            api.times.append(time.monotonic())
            mood = api.script.pop(0) if api.script else "well"
            if mood == "hang up":
                self.close_connection = True
                return
            if mood == "stall":
                time.sleep(0.6)
                self.close_connection = True
                return
            status, headers, value = api.answer(body, mood)
            content = value.encode() if isinstance(value, str) else json.dumps(value).encode()
            self.send_response(status)
            for name, header in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, header)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if mood == "cut off" else content)
            if mood == "cut off":
                self.close_connection = True

        def log_message(self, *args: Any) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    api.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
