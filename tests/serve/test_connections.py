"""Clients that are slow, silent or many: each connection makes progress or ends, and the start and its readiness."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("starlette", reason="pip install starlette uvicorn")

import uvicorn
from uvicorn.server import ServerState

from leaf_embed import LeafEncoder
from leaf_embed.errors import InputError
from leaf_embed.serve import ServeConfig
from leaf_embed.serve.connections import TimedProtocol
from leaf_embed.serve.limits import FREE, TOGETHER
from tests.integrations.encoders import LetterEncoder, query_only
from tests.serve.helpers import ask, counted, get, post, serving

HEAD = "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n"


def connect(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def seconds_until_closed(connection: socket.socket, drip: bytes = b"") -> tuple[float, bytes]:
    """How long a connection lives that sends a byte of ``drip`` at a time, and what came back."""
    began, found = time.monotonic(), b""
    connection.settimeout(0.05)
    drops = iter(drip)
    while time.monotonic() - began < 10:
        try:
            part = connection.recv(65_536)
            if not part:
                break
            found += part
        except TimeoutError:
            if (byte := next(drops, None)) is not None:
                try:
                    connection.sendall(bytes([byte]))
                except OSError:
                    break
        except OSError:
            break
    return time.monotonic() - began, found


def test_slow_clients_are_let_go() -> None:
    """Nothing sent, a head byte by byte, half a body, a body byte by byte, and silence after an answer."""
    head = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    body = HEAD.format(1000).encode()
    cases: dict[str, tuple[bytes, bytes, bytes]] = {
        "nothing": (b"", b"", b""),
        "head": (b"", b"GET /health HTTP/1.1\r\n" + b"a: b\r\n" * 100, b""),
        "half a body": (body + b"{", b"", b" 408 "),
        "slow body": (body, b"{" + b" " * 900, b" 408 "),
        "kept": (head, b"", b" 200 "),
        "second head": (head, b"GET /health HTTP/1.1\r\n" + b"a: b\r\n" * 100, b" 200 "),
    }
    found: dict[str, tuple[float, bytes]] = {}
    with serving(LetterEncoder(), timeout=0.6) as address:

        def live(name: str, first: bytes, drip: bytes) -> None:
            with connect(address) as connection:
                connection.sendall(first)
                found[name] = seconds_until_closed(connection, drip)

        threads = [threading.Thread(target=live, args=(name, first, drip)) for name, (first, drip, _) in cases.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counted(address, 408) == 2
    for name, (_, _, expected) in cases.items():
        seconds, answer = found[name]
        assert 0.4 < seconds < 4, (name, seconds)
        assert expected in answer, (name, answer)
    assert json.loads(found["half a body"][1].partition(b"\r\n\r\n")[2])["error"]["type"] == "invalid_request_error"


def test_a_client_that_does_not_read_is_let_go() -> None:
    process, body = psutil.Process(), json.dumps({"input": ["a"] * 2000}).encode()
    with serving(LetterEncoder(), timeout=0.5) as address:
        before = process.num_fds()
        with connect(address) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with contextlib.suppress(OSError):
                for _ in range(40):  # the system's buffers hold some of the answers
                    connection.sendall(HEAD.format(len(body)).encode() + body)
            while counted(address, 200) < 5:
                time.sleep(0.05)
            for _ in range(100):
                if process.num_fds() <= before + 1:  # this end is open, the server's is not
                    break
                time.sleep(0.05)
            assert process.num_fds() <= before + 1


class BlockedTransport(asyncio.Transport):
    """A connection whose client reads nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.held, self.aborted = 0, False
        self.socket = socket.socket()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.socket if name == "socket" else default

    def get_write_buffer_size(self) -> int:
        return self.held

    def abort(self) -> None:
        self.aborted = True
        self.socket.close()


def test_answers_that_nobody_reads_share_their_room() -> None:
    """The fourth client with 3 MB that it does not read is one too many for 10 MB: the first has waited longest."""

    async def main() -> None:
        config = uvicorn.Config(lambda: None, log_config=None)
        state, transports = ServerState(), [BlockedTransport() for _ in range(4)]
        for transport in transports:
            protocol = TimedProtocol(config, state, {})
            protocol.max_unread = 10_000_000
            protocol.connection_made(transport)
            transport.held = 3_000_000
            protocol.pause_writing()
            await asyncio.sleep(0.01)
        assert [transport.aborted for transport in transports] == [True, False, False, False]
        for transport in transports:
            transport.abort()

    asyncio.run(main())


def test_answers_are_sent_at_once() -> None:
    """Head and body are two packets; the second must not wait for the first to be acknowledged (40 ms on Linux)."""
    http = pytest.importorskip("httpx", reason="pip install httpx")
    with serving(LetterEncoder()) as address, http.Client(base_url=address) as client:
        times = []
        for _ in range(20):
            began = time.perf_counter()
            client.get("/livez")
            times.append(time.perf_counter() - began)
    assert sorted(times)[10] < 0.03


def test_half_sent_bodies_share_their_room_and_leave_questions_theirs() -> None:
    limit = 1_000_000
    with serving(LetterEncoder(), max_bytes=limit, timeout=8.0) as address:
        senders = [connect(address) for _ in range(20)]

        def send(connection: socket.socket) -> None:
            with contextlib.suppress(OSError):
                connection.sendall(HEAD.format(limit).encode() + b" " * (limit - 1))

        threads = [threading.Thread(target=send, args=(connection,)) for connection in senders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for _ in range(100):
            if counted(address, 503) >= 20 - TOGETHER - 1:
                break
            time.sleep(0.05)
        assert counted(address, 503) >= 20 - TOGETHER - 1
        assert post(address, {"input": "a" * (FREE // 2)})[0] == 200
        assert post(address, b" " * 900_000 + b'{"input": "a"}')[0] == 503
        for connection in senders:
            connection.close()
        time.sleep(0.2)
        assert post(address, b" " * 900_000 + b'{"input": "a"}')[0] == 200


def test_a_large_body_is_refused_before_it_comes() -> None:
    with serving(LetterEncoder(), max_bytes=1000) as address, connect(address) as connection:
        connection.sendall(HEAD.format(10**9).encode())
        assert b" 413 " in connection.recv(65_536)
        with connect(address) as chunked:
            head = b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            chunked.sendall(head + (b"200\r\n" + b" " * 512 + b"\r\n") * 20)
            assert b" 413 " in chunked.recv(65_536)


def test_the_oldest_idle_connection_makes_room() -> None:
    with serving(LetterEncoder(), max_connections=8) as address:
        idle = [connect(address) for _ in range(8)]
        assert post(address, {"input": "a"})[0] == 200
        assert _closed(idle[0])
        assert not _closed(idle[7])
        for connection in idle:
            connection.close()


def _closed(connection: socket.socket) -> bool:
    connection.settimeout(0.5)
    try:
        return connection.recv(10, socket.MSG_PEEK) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_documents_are_ready_when_their_encoder_is_loaded() -> None:
    go = threading.Event()

    def load() -> LetterEncoder:
        assert go.wait(20)
        return LetterEncoder()

    with serving(LeafEncoder(LetterEncoder(), load)) as address:
        assert ask(f"{address}/readyz")[0] == 503
        assert ask(f"{address}/livez")[0] == 200
        status, answer, headers = post(address, {"input": "a", "input_type": "document"})
        assert (status, headers["retry-after"]) == (503, "5")
        assert "still being loaded" in answer["error"]["message"]
        assert post(address, {"input": "a"})[0] == 200
        go.set()
        while ask(f"{address}/readyz")[0] == 503:
            time.sleep(0.01)
        assert post(address, {"input": "a", "input_type": "document"})[0] == 200


def test_a_document_encoder_that_cannot_be_loaded(caplog: pytest.LogCaptureFixture) -> None:
    with serving(query_only()) as address:
        status, answer, _ = ask(f"{address}/readyz")
        assert (status, answer["error"]["message"]) == (
            503,
            "the document encoder could not be loaded; the server's log says why",
        )
        assert post(address, {"input": "a", "input_type": "document"})[0] == 500
        assert post(address, {"input": "a"})[0] == 200
    assert "could not be loaded: AssertionError" in caplog.text


@pytest.mark.parametrize(
    ("option", "value"), [("timeout", 0), ("max_waiting_tokens", 0), ("name", ""), ("aliases", "a"), ("timeout", "nan")]
)
def test_options_are_checked(option: str, value: Any) -> None:
    with pytest.raises(InputError):
        ServeConfig(**{option: float(value) if value == "nan" else value})


def run(*arguments: str) -> subprocess.Popen[str]:
    code = f"from leaf_embed.cli import main; main({['serve', *arguments]!r})"
    environment = {**os.environ, "LEAF_EMBED_API_KEY": ""}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True)


def test_the_command_announces_what_it_has_bound(leaf_path: Path) -> None:
    leaf = ["--leaf", str(leaf_path), "--vocabulary", "none"]
    with socket.create_server(("127.0.0.1", 0)) as taken, run(*leaf, "--port", str(taken.getsockname()[1])) as failing:
        message = failing.communicate(timeout=60)[1]
        assert failing.returncode == 1
        assert "cannot listen on 127.0.0.1 port" in message
        assert "serving" not in message
    with run(*leaf, "--port", "0", "--alias", "mine") as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith(f"serving the leaf {leaf_path.name} on http://127.0.0.1:")
        address = line.split()[-1].removesuffix("/v1")
        status, answer, headers = post(address, {"input": "red stone", "model": "mine"})  # at once: it is bound
        assert (status, answer["model"]) == (200, leaf_path.name)
        assert json.loads(get(f"{address}/health"))["model"] == leaf_path.name
        process.terminate()
        rest = process.communicate(timeout=20)[1]
    assert f"{headers['x-request-id']} POST /v1/embeddings 200" in rest
    assert "red stone" not in rest
