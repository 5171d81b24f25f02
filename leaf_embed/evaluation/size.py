"""What a model costs: bytes of its files and parameters; the start, memory and throughput of a process that asks it."""

from __future__ import annotations

import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite, prod
from pathlib import Path
from typing import Any

from leaf_embed.encoders.checks import check_whole
from leaf_embed.errors import InputError
from leaf_embed.evaluation.machine import Clocks, Watch
from leaf_embed.format import graphs_for

__all__ = [
    "ModelSize",
    "ProcessCosts",
    "check_price",
    "measure_leaf",
    "measure_model",
    "measure_process",
    "per_million",
]

TOKENIZER = "tokenizer.json"
STARTS = 3
SECONDS = 0.5  # of throughput, at least
ASKED = 256  # texts
CHILD = """
import sys
sys.path[:] = {path!r}
import json, time
asked = json.loads(sys.stdin.readline())
import leaf_embed
encoder = leaf_embed.load(asked["leaf"], variant=asked["variant"], threads=asked["threads"])
if "torch" in sys.modules:
    sys.modules["torch"].set_num_threads(asked["threads"])
encoder.encode_query(asked["texts"][0])
print("first", flush=True)
done, wall, cpu = 0, time.perf_counter(), time.process_time()
while done == 0 or time.perf_counter() - wall < asked["seconds"]:
    encoder.encode_query(asked["texts"])
    done += len(asked["texts"])
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
try:
    peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
except OSError:
    peak = None
print(json.dumps({{"per_second": done / wall, "cpu_ms": 1000 * cpu / done, "peak_kib": peak}}))
"""


@dataclass(frozen=True)
class ModelSize:
    """Size of a model.

    Attributes:
        bytes: Of weights and tokenizer on disk, as they are loaded to encode.
        parameters: Number of weights, before any quantization.
    """

    bytes: int
    parameters: int

    def to_dict(self) -> dict[str, int]:
        """The JSON form."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.bytes / 1e6:.1f} MB, {self.parameters / 1e6:.1f} M parameters"


def measure_model(directory: Path) -> ModelSize:
    """Returns the size of a sentence-transformers directory as torch loads it.

    Raises:
        InputError: There are no weights.
    """
    files = [file for file in sorted(directory.rglob("*.safetensors")) if "onnx" not in file.parts]
    if not files:
        raise InputError(f"there is no *.safetensors in {directory}; expected a sentence-transformers directory")
    return ModelSize(sum(file.stat().st_size for file in files) + _tokenizer(directory), sum(map(_parameters, files)))


def measure_leaf(directory: Path, variant: str = "auto") -> ModelSize:
    """Returns the size of a leaf directory as queries load it.

    Args:
        directory: A leaf.
        variant: ``auto`` (int8 where it was exported, else float32), ``int8``, ``float32`` or ``torch``.

    Raises:
        InputError: There are no weights, or an unknown variant.
    """
    whole = measure_model(directory)
    names = [] if variant == "torch" else graphs_for(variant)
    graph = next((directory / name for name in names if (directory / name).is_file()), None)
    if graph is None:  # torch, or a static leaf, whose table is read as it is
        return whole
    outside = sum(file.stat().st_size for file in graph.parent.glob(f"{graph.name}*data"))  # weights beside a big graph
    return ModelSize(graph.stat().st_size + outside + _tokenizer(directory), whole.parameters)


def _tokenizer(directory: Path) -> int:
    file = next(iter(sorted(directory.rglob(TOKENIZER))), None)
    return 0 if file is None else file.stat().st_size


def _parameters(file: Path) -> int:
    """The number of values in a safetensors file, from its header: a length of 8 bytes, then JSON."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    return sum(prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")


@dataclass(frozen=True)
class ProcessCosts:
    """What a process costs that asks a leaf.

    Attributes:
        threads: Of ONNX Runtime and of torch.
        cold_start: Seconds from a new process to its first vector, median of three.
        peak_mib: Largest resident memory, MiB; ``None`` where the system does not say.
        per_second: Queries per second, many in one call.
        cpu_ms: Processor milliseconds per query, many in one call.
        price: Of one core for one hour, in any currency.
        refused: Why seconds and queries per second are not those of an idle machine; ``""`` if they are.
    """

    threads: int
    cold_start: float
    peak_mib: float | None
    per_second: float
    cpu_ms: float
    price: float
    refused: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; units are in the names."""
        return {
            "threads": self.threads,
            "cold_start_s": round(self.cold_start, 3),
            "peak_mib": None if self.peak_mib is None else round(self.peak_mib, 1),
            "queries_per_second": round(self.per_second, 1),
            "cpu_ms": round(self.cpu_ms, 5),
            "price_per_core_hour": self.price,
            "per_million_in_batches": round(per_million(self.cpu_ms, self.price), 6),
            "refused": self.refused,
        }

    def __str__(self) -> str:
        memory = "" if self.peak_mib is None else f", {self.peak_mib:.0f} MiB"
        cost = per_million(self.cpu_ms, self.price)
        busy = f" (on a busy machine: {self.refused})" if self.refused else ""
        return (
            f"a process with {self.threads} thread(s): first vector after {self.cold_start:.2f} s{memory}; "
            f"{self.per_second:,.0f} queries per second in batches, {cost:.4g} per million at {self.price:g} per core "
            f"and hour{busy}"
        )


def per_million(cpu_ms: float, price: float) -> float:
    """Returns what a million queries cost.

    Args:
        cpu_ms: Processor milliseconds per query.
        price: Of one core for one hour.
    """
    return cpu_ms * 1e6 / 3_600_000 * price


def check_price(price: float) -> None:
    """Refuses a price that is no finite number of at least 0.

    Raises:
        InputError: It is not.
    """
    if not (isfinite(price) and price >= 0):
        raise InputError(f"the price of one core for one hour must be 0 or more; got {price}")


def measure_process(
    leaf: Path, texts: Sequence[str], price: float, variant: str = "auto", threads: int = 1
) -> ProcessCosts:
    """Starts a process three times that opens a leaf and encodes queries.

    Args:
        leaf: A leaf directory.
        texts: Real queries; the first 256 are taken.
        price: Of one core for one hour.
        variant: As of :func:`leaf_embed.load`.
        threads: Of ONNX Runtime and of torch.

    Raises:
        InputError: No texts, a price below 0, a number of threads that cannot be, or the leaf cannot be opened.
    """
    check_price(price)
    check_whole("threads", threads)
    if not texts:
        raise InputError("the costs of a process need at least one query to encode; got none")
    asked = {"leaf": os.fspath(leaf), "variant": variant, "threads": threads, "texts": list(texts[:ASKED])}
    watch, starts = Watch(Clocks.of_children()), []
    for number in range(STARTS):
        seconds, found = _child({**asked, "seconds": SECONDS if number == STARTS - 1 else 0})
        starts.append(seconds)
    peak = found["peak_kib"]
    return ProcessCosts(
        threads,
        statistics.median(starts),
        None if peak is None else peak / 1024,
        found["per_second"],
        found["cpu_ms"],
        price,
        watch.refusal(watch.seen(), threads),
    )


def _child(asked: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """Seconds to the first vector of a new process, and what it measures then."""
    command = [sys.executable, "-c", CHILD.format(path=sys.path)]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as given, tempfile.TemporaryFile("w+") as complaints:
        json.dump(asked, given)
        given.seek(0)
        began = time.perf_counter()
        with subprocess.Popen(
            command, stdin=given, stdout=subprocess.PIPE, stderr=complaints, text=True, encoding="utf-8"
        ) as child:
            lines = iter(child.stdout or ())
            first = next(lines, "")
            seconds = time.perf_counter() - began
            rest = "".join(lines)
        complaints.seek(0)
        reason = [f"exit code {child.returncode}", *complaints.read().strip().splitlines()][-1]
    if first.strip() != "first" or child.returncode:
        raise InputError(f"a new process cannot ask the leaf {asked['leaf']}: {reason}")
    found: dict[str, Any] = json.loads(rest)
    return seconds, found
