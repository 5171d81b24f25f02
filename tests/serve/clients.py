"""Clients of a soak: good ones that measure, and four hostile kinds in a process of their own.

    python -m tests.serve.clients PORT SECONDS COUNT

slow      a head byte by byte, half a body, an answer that is not read, a connection that says nothing
broken    no HTTP, no JSON, half characters, nesting, wrong types, token ids
greedy    documents and large requests, as fast as they are answered
vanished  a large request whose client hangs up: at once, soon, or in the middle of its answer
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from leaf_embed.vectors import FloatArray

LONG = "the river carries cold water to the old stone bridge and the wind " * 30
BROKEN = [
    b"nonsense\r\n\r\n",
    b"POST /v1/embeddings HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
]


def request(body: Any, path: str = "/v1/embeddings") -> bytes:
    """A request as bytes; ``body`` is JSON, or bytes as they are."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of one answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    return int(head.split(b" ", 2)[1]), await reader.readexactly(length)


@dataclass
class Tally:
    """What good clients saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wrong: int = 0

    @property
    def p95(self) -> float:
        """95th percentile of the seconds of a request."""
        return float(np.percentile(self.seconds, 95))


async def good(port: int, seconds: float, texts: Sequence[str], vectors: FloatArray, count: int = 32) -> Tally:
    """``count`` clients that ask a question, check its vector, and think for a quarter of a second."""
    tally, until = Tally(), time.monotonic() + seconds

    async def one(draw: random.Random) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(draw.random() / 4)
        while time.monotonic() < until:
            place = draw.randrange(len(texts))
            began = time.perf_counter()
            writer.write(request({"input": texts[place]}))
            status, body = await asyncio.wait_for(answer(reader), 30)
            tally.seconds.append(time.perf_counter() - began)
            tally.statuses[status] += 1
            if status == 200:
                row = np.array(json.loads(body)["data"][0]["embedding"], dtype=np.float32)
                tally.wrong += int(not np.allclose(row, vectors[place], atol=0.02))
            await asyncio.sleep(draw.uniform(0.2, 0.3))
        writer.close()

    await asyncio.gather(*(one(random.Random(seed)) for seed in range(count)))
    return tally


async def slow(port: int, draw: random.Random) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    kind = draw.randrange(4)
    if kind == 0:
        for byte in request({"input": "a"}):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.1)
    elif kind == 1:
        writer.write(request({"input": [LONG] * 200})[:-100_000])
    elif kind == 2:
        writer.write(request({"input": ["a"] * 2000}) * 4)
        await asyncio.sleep(10)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(reader.read(), 10)
    writer.close()


async def broken(port: int, draw: random.Random) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    bodies: list[Any] = [{"input": "half \ud83d"}, b"[" * 50_000, {"input": [1, 2, 3]}, {"input": {"a": LONG}}, b"\xff"]
    bodies += [{"input": "a", "model": "\ud83d"}, {"input": ["a", None]}, {"input": "a", "dimensions": 10**30}]
    writer.write(draw.choice(BROKEN) if draw.random() < 0.3 else request(draw.choice(bodies), "/v1/embeddings"))
    writer.write_eof()
    await reader.read()
    writer.close()
    await asyncio.sleep(0.05)


async def greedy(port: int, draw: random.Random) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(5):
        size = draw.choice([64, 500, 1500])
        text = LONG if size == 64 else LONG[:300]
        writer.write(request({"input": [text] * size, "input_type": draw.choice(["query", "document"])}))
        status, _ = await answer(reader)
        await asyncio.sleep(1 if status == 503 else 0)
    writer.close()


async def vanished(port: int, draw: random.Random) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request({"input": [LONG] * draw.choice([10, 100]), "input_type": "document"}))
    if draw.random() < 0.3:
        await reader.read(1000)
    else:
        await asyncio.sleep(draw.choice([0, 0.02, 0.5]))
    writer.transport.abort()
    await asyncio.sleep(0.2)


HOSTILE: dict[str, Callable[[int, random.Random], Awaitable[None]]] = {
    "slow": slow,
    "broken": broken,
    "greedy": greedy,
    "vanished": vanished,
}


async def hostile(port: int, seconds: float, count: int) -> Counter[str]:
    """``count`` clients of each hostile kind; how often each had its way."""
    until, rounds = time.monotonic() + seconds, Counter[str]()

    async def one(kind: str, seed: int) -> None:
        draw = random.Random(f"{kind} {seed}")
        while time.monotonic() < until:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await asyncio.wait_for(HOSTILE[kind](port, draw), max(0.1, until + 1 - time.monotonic()))
            rounds[kind] += 1

    everybody = (one(kind, seed) for kind in HOSTILE for seed in range(count))
    await asyncio.gather(*everybody, return_exceptions=True)
    return rounds


if __name__ == "__main__":
    os.nice(19)  # they would sit on machines of their own
    print(json.dumps(asyncio.run(hostile(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))))
