"""``leaf-embed serve`` under 32 clients at once, and under more than it has room for.

    python benchmarks/serve.py LEAF [--seconds 8] [--clients 32]

The clients are bare HTTP over kept connections in this process; the server has a process of its own, so both share the
machine. Each request is one question. In the overload run 256 clients ask for 16 texts each and the server lets 256
texts wait: the others must get 503 with Retry-After at once, and those that are answered must not have waited long. The
result is written to benchmarks/results/serve.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import leaf_embed
from leaf_embed._files import write_json

QUESTIONS = [
    "how do I read a file line by line",
    "why does a river carry cold water in spring",
    "what is the difference between a list and a tuple",
    "which planet has the most moons",
    "can a small model answer for a big one",
    "where can I find the documentation of the standard library",
    "how long does it take to bake bread with honey",
    "who wrote the first compiler",
]
CROWD, CROWD_TEXTS, CROWD_ROOM, CROWD_SECONDS = 256, 16, 256, 5.0


@dataclass
class Tally:
    """What the clients saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    answered_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    without_retry_after: int = 0
    most_waiting: int = 0

    def add(self, status: int, headers: bytes, ms: float) -> None:
        self.statuses[status] += 1
        (self.answered_ms if status == 200 else self.refused_ms).append(ms)
        if status in (429, 503) and b"retry-after:" not in headers.lower():
            self.without_retry_after += 1


@contextmanager
def serving(leaf: Path, *options: str) -> Iterator[int]:
    """The server as a user starts it; its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    arguments = ["serve", "--leaf", str(leaf), "--port", str(port), *options]
    code = f"from leaf_embed.cli import main; main({arguments!r})"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port)
            yield port
        finally:
            process.terminate()


def wait_for(port: int) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not start; run leaf-embed serve by hand to see why")


async def ask(port: int, bodies: list[bytes], until: float, tally: Tally) -> None:
    """One client: a request, its answer, the next request; a refused one waits a little, less than it is told to."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number = 0
    while time.perf_counter() < until:
        body = bodies[number % len(bodies)]
        head = f"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        started = time.perf_counter()
        writer.write(head.encode() + body)
        headers = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in headers.lower().split(b"\r\n") if b"content-length" in line)
        await reader.readexactly(length)
        status = int(headers.split(b" ", 2)[1])
        tally.add(status, headers, 1000 * (time.perf_counter() - started))
        if status != 200:
            await asyncio.sleep(0.1)
        number += 1
    writer.close()


async def watch(port: int, until: float, tally: Tally) -> None:
    """How many texts wait, by the server's own page."""
    while time.perf_counter() < until:
        page = await asyncio.to_thread(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read())
        waiting = next(line for line in page.splitlines() if line.startswith(b"leaf_embed_waiting_texts "))
        tally.most_waiting = max(tally.most_waiting, int(waiting.split()[1]))
        await asyncio.sleep(0.1)


def run(port: int, clients: int, texts: int, seconds: float) -> tuple[Tally, float]:
    """What ``clients`` see who ask as fast as they can, and the seconds it took."""
    tally = Tally()
    kinds = [[QUESTIONS[(i + j) % len(QUESTIONS)] for j in range(texts)] for i in range(len(QUESTIONS))]
    bodies = [json.dumps({"model": "leaf", "input": kind, "encoding_format": "base64"}).encode() for kind in kinds]
    started = time.perf_counter()
    until = started + seconds

    async def everybody() -> None:
        await asyncio.gather(watch(port, until, tally), *(ask(port, bodies, until, tally) for _ in range(clients)))

    asyncio.run(everybody())
    return tally, time.perf_counter() - started


def summary(tally: Tally, seconds: float, texts: int) -> dict[str, Any]:
    return {
        "seconds": round(seconds, 2),
        "statuses": {str(status): count for status, count in sorted(tally.statuses.items())},
        "answered_per_s": round(len(tally.answered_ms) / seconds, 1),
        "texts_per_s": round(texts * len(tally.answered_ms) / seconds, 1),
        "answered_ms": percentiles(tally.answered_ms),
        "refused_ms": percentiles(tally.refused_ms),
        "refused_without_retry_after": tally.without_retry_after,
        "most_texts_waiting": tally.most_waiting,
    }


def percentiles(times: list[float]) -> dict[str, float]:
    marks = (("p50", 50), ("p95", 95), ("p99", 99), ("max", 100))
    return {name: round(float(np.percentile(times, q)), 2) for name, q in marks} if times else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("leaf", type=Path)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "serve.json")
    options = parser.parse_args()
    space = leaf_embed.load(options.leaf).space
    with serving(options.leaf) as port:
        run(port, options.clients, 1, 1.0)  # the first requests pay for warming up
        steady, seconds = run(port, options.clients, 1, options.seconds)
    with serving(options.leaf, "--max-waiting", str(CROWD_ROOM)) as port:
        crowd, crowd_seconds = run(port, CROWD, CROWD_TEXTS, CROWD_SECONDS)
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    result = {
        "commit": done.stdout.strip() or "unknown",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load": [round(x, 1) for x in os.getloadavg()],
        "leaf": {"teacher": space.teacher.rsplit("/", 1)[-1], "dim": space.dim},
        "clients": {"clients": options.clients, **summary(steady, seconds, 1)},
        "overload": {
            "clients": CROWD,
            "texts_a_request": CROWD_TEXTS,
            "room_for_texts": CROWD_ROOM,
            **summary(crowd, crowd_seconds, CROWD_TEXTS),
        },
    }
    write_json(options.output, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
