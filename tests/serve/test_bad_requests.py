"""Requests that no client should send: each gets an answer in OpenAI's form, harms nobody, and is counted."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason="pip install starlette uvicorn")

from leaf_embed import LeafEncoder
from leaf_embed.space import Role
from leaf_embed.vectors import FloatArray
from tests.integrations.encoders import LetterEncoder
from tests.serve.helpers import SlowEncoder, ask, counted, post, raw, serving

HALF = "a smiling face \ud83d"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(LeafEncoder(LetterEncoder()), max_bytes=20_000) as found:
        yield found


class StrictEncoder(SlowEncoder):
    """Fails for a whole batch if one of its texts holds an x, and writes NaN for one with an n."""

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        rows = super()._encode(texts, role)
        if any("x" in text for text in texts):
            raise UnicodeError(f"cannot read {texts}")
        if any("n" in text for text in texts):
            return rows * np.float32("nan")
        return rows


@pytest.mark.parametrize("field", ["input", "model", "input_type", "encoding_format", "dimensions", "\ud83d"])
def test_half_a_character_anywhere(address: str, field: str) -> None:
    body = {"input": "abba", field: HALF}
    status, answer, _ = post(address, body)
    if field in ("input", "\ud83d"):
        assert status == 200
        text = HALF.replace("\ud83d", "\ufffd") if field == "input" else "abba"
        np.testing.assert_allclose(answer["data"][0]["embedding"], LetterEncoder().encode_query(text), atol=1e-6)
    else:
        assert status == (404 if field == "model" else 400)
        assert field in answer["error"]["message"] or "does not exist" in answer["error"]["message"]


def test_only_the_request_at_fault_fails(caplog: pytest.LogCaptureFixture) -> None:
    """Seven requests wait together; two of them make the encoder fail, each in its way."""
    encoder = StrictEncoder()
    with serving(encoder) as address, ThreadPoolExecutor(8) as pool:
        first = pool.submit(post, address, {"input": "first"})
        while not encoder.batches:
            time.sleep(0.01)
        texts = ["abba", "an x", "cab", "nan", "b", "c"]
        others = [pool.submit(post, address, {"input": text}) for text in texts]
        time.sleep(0.3)  # they gather
        encoder.go.set()
        assert first.result()[0] == 200
        statuses = [other.result()[0] for other in others]
        assert statuses == [200, 500, 200, 500, 200, 200]
        for text, other in zip(texts, others, strict=True):
            if other.result()[0] == 200:
                vector = other.result()[1]["data"][0]["embedding"]
                np.testing.assert_allclose(vector, LetterEncoder().encode_query(text), atol=1e-6)
            else:
                assert other.result()[2]["x-request-id"] in other.result()[1]["error"]["message"]
        assert ("query", 6) in encoder.batches
        assert (counted(address, 200), counted(address, 500)) == (5, 2)
    assert "an x" not in caplog.text


def test_deep_nesting(address: str) -> None:
    for body in (b'{"input":' + b"[" * 9_000, b"[" * 9_000 + b"]" * 9_000, b'{"a":' * 3_000 + b"1" + b"}" * 3_000):
        status, answer, _ = post(address, body)
        assert status == 400
        assert answer["error"]["type"] == "invalid_request_error"
    for depth in (50, 900):  # deep, but JSON
        status, answer, _ = post(address, b'{"input":' + b"[" * depth + b"]" * depth + b"}")
        assert (status, len(answer["error"]["message"]) < 300) == (400, True)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("POST", "/v1/embeddings/", 404),
        ("GET", "/v1/embeddings", 405),
        ("DELETE", "/v1/models", 405),
        ("OPTIONS", "/v1/embeddings", 405),
        ("GET", "/v1/models/%ED%A0%80/../../etc/passwd", 404),
    ],
)
def test_starlettes_own_errors_are_json(address: str, method: str, path: str, status: int) -> None:
    before = counted(address, status)
    code, answer, headers = ask(address + path, method=method)
    assert code == status
    assert answer["error"]["type"] == "invalid_request_error"
    assert counted(address, status) == before + 1
    if status == 405:
        assert headers["allow"] in answer["error"]["message"]


def test_a_client_that_still_sends_reads_that_its_request_is_broken(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        for _ in range(4):
            time.sleep(0.05)
            connection.sendall(b"x" * 50_000)
        found = b""
        while part := connection.recv(65_536):
            found += part
    assert found.startswith(b"HTTP/1.1 400 ")
    assert json.loads(found.partition(b"\r\n\r\n")[2])["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nno header\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 20_000,
    ],
)
def test_what_is_no_http_is_answered_in_json(address: str, data: bytes) -> None:
    before = counted(address, 400)
    head, _, body = raw(address, data).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert json.loads(body)["error"]["type"] == "invalid_request_error"
    assert counted(address, 400) == before + 1


STRINGS = ["", "abba", HALF, "\ud83d\ud83d", "\x00", "é" * 50, "日本語", "<|endoftext|>", "a" * 5_000, "\U0010ffff"]
ATOMS: list[Any] = [None, True, False, 0, -1, 2**63, 10**400, 1.5, 1e308, float("nan"), float("inf"), *STRINGS]
KEYS = ["input", "model", "input_type", "encoding_format", "dimensions", "user", "extra", "\ud83d", ""]
PATHS = ["/v1/embeddings", "/v1/models", "/v1/models/leaf", "/v1/models/no%00ne", "/health", "/livez", "/readyz"]
PATHS += ["/metrics", "/", "//", "/v1/embeddings/", "/%ff%fe", "/v1/models/" + "m" * 3_000]
METHODS = ["POST"] * 6 + ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "WEIRD"]
HEADERS: list[dict[str, str]] = [
    {},
    {"Content-Type": "text/html; charset=utf-7"},
    {"Authorization": "Bearer \xff"},
    {"X-Request-Id": "x" * 500},
    {"Origin": "null"},
    {"Expect": "200-never"},
    {"Content-Encoding": "gzip"},
    {"Upgrade": "websocket", "Connection": "upgrade"},
]


def value(draw: random.Random, depth: int = 0) -> Any:
    """Any JSON value, odd ones likely."""
    kind = draw.random()
    if depth > 3 or kind < 0.6:
        return draw.choice(ATOMS)
    if kind < 0.9:
        item = draw.choice([draw.choice(STRINGS), draw.randrange(100_000), value(draw, depth + 1)])
        return [item] * draw.randrange(6) + [value(draw, depth + 1)] * draw.randrange(2)
    return {draw.choice(KEYS): value(draw, depth + 1) for _ in range(draw.randrange(4))}


def body(draw: random.Random) -> bytes:
    """A request's body: an object with some right and some odd fields, or something else, perhaps damaged."""
    right = {"input": ["abba", "cab"], "model": "leaf", "input_type": "query", "encoding_format": "float"}
    made: Any = {key: right[key] for key in right if draw.random() < 0.7}
    for _ in range(draw.randrange(3)):
        made[draw.choice(KEYS)] = value(draw)
    if draw.random() < 0.1:
        made = value(draw)
    data = json.dumps(made).encode(draw.choice(["utf-8"] * 6 + ["utf-16", "utf-32-be", "latin-1"]))
    if draw.random() < 0.25:
        place = draw.randrange(len(data) + 1)
        data = (
            data[:place]
            + draw.choice([b"", b"\xff", b"\x00", b"[" * 5_000, b'{"a":', b"\xed\xa0\xbd"])
            + data[place + 1 :]
        )
    return data


def check(status: int, answer: Any, method: str) -> None:
    """An answer to a bad or a good request: JSON in OpenAI's form, never an error of the server's."""
    assert status < 500 or status == 503, (status, answer)
    if status >= 400 and method != "HEAD":
        assert set(answer["error"]) == {"message", "type", "param", "code"}
        assert isinstance(answer["error"]["message"], str)
    elif method == "POST":
        assert all(
            np.isfinite(item["embedding"]).all() for item in answer["data"] if isinstance(item["embedding"], list)
        )


def storm(address: str, seed: int, count: int, seen: Counter[int]) -> None:
    """Sends requests from the grammar, and checks and counts each answer."""
    import httpx

    draw = random.Random(seed)
    with httpx.Client(base_url=address, timeout=20) as client:
        for _ in range(count):
            method, path = draw.choice(METHODS), draw.choice(PATHS if draw.random() < 0.4 else PATHS[:1])
            headers = {key: text.encode("latin-1") for key, text in draw.choice(HEADERS).items()}
            answer = client.request(method, path, content=body(draw), headers=headers)
            page = path == "/metrics" and answer.status_code == 200
            check(answer.status_code, None if page or method == "HEAD" else answer.json(), method)
            if not (answer.status_code == 200 and path in ("/health", "/livez", "/readyz", "/metrics")):
                seen[answer.status_code] += 1


@pytest.mark.parametrize(("clients", "count"), [(2, 150), pytest.param(8, 5_000, marks=pytest.mark.chaos, id="40,000")])
def test_a_grammar_of_bad_requests(clients: int, count: int) -> None:
    pytest.importorskip("httpx", reason="pip install httpx")
    pair = LeafEncoder(LetterEncoder(), LetterEncoder())
    with serving(pair, max_bytes=20_000) as address:
        tallies = [Counter[int]() for _ in range(clients)]
        threads = [
            threading.Thread(target=storm, args=(address, seed, count, tally)) for seed, tally in enumerate(tallies)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seen = sum(tallies, Counter[int]())
        assert sum(seen.values()) > 0.8 * clients * count  # a thread that failed stops counting
        assert {200, 400, 404, 405} <= set(seen)
        assert {status: counted(address, status) for status in seen} == dict(seen)
        assert post(address, {"input": "abba"})[0] == 200
