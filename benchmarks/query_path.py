"""The query path on a CPU: the leaf's int8 graph against what else runs the same weights, and against the floor.

Everything is measured in one run on one machine that does nothing else: latency in turns of ten calls, and no ratio
where other work was seen meanwhile; cold start and peak memory in new processes of each kind, interleaved; throughput
on mixed texts; memory over many.

    python benchmarks/query_path.py --leaf .demo/leaf --static .demo/static --output benchmarks/results/query_path.json

Leave OMP_NUM_THREADS unset: sentence-transformers is measured at its defaults, which take all cores. ``--quick`` is a
tenth of it, to see that everything runs. fastembed takes part if it is installed.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
import typer
from floor import floor_of
from tokenizers import Tokenizer

import leaf_embed
from leaf_embed._files import write_json
from leaf_embed.demo import QUESTIONS, load_demo_corpus
from leaf_embed.encoders.onnx import SLOWER_WHEN_FUSED
from leaf_embed.evaluation.machine import Clocks, Watch
from leaf_embed.format import GRAPHS

TURN = 10
BLOCK = 1000
SAME = "sentence-transformers, same weights"
SAME_ONE_THREAD = "sentence-transformers, same weights, 1 thread"
TEACHER = "sentence-transformers, teacher"
TEACHER_ONE_THREAD = "sentence-transformers, teacher, 1 thread"
LEAF = "import leaf_embed; leaf_embed.load({path!r}).encode_query({text!r})"
TORCH = "from sentence_transformers import SentenceTransformer as S; S({path!r}, device='cpu').encode({text!r})"
# VmHWM and not ru_maxrss: a new process inherits the latter from the one that started it.
PEAK = "; print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
MANY = """
import json, sys, leaf_embed
leaf, texts, blocks = leaf_embed.load(sys.argv[1]), json.load(sys.stdin), int(sys.argv[2])
for number in range(blocks):
    leaf.encode_query(texts[number % 10 :] + texts[: number % 10])
    print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmRSS')))
"""
Ask = Callable[[str], Any]


def main(
    leaf: Annotated[Path, typer.Option(help="Leaf directory with graphs; its teacher must be on this machine.")],
    output: Annotated[Path | None, typer.Option(help="Result file to write.")] = None,
    static: Annotated[Path | None, typer.Option(help="A static leaf, to time it beside.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the work.")] = False,
) -> None:
    """Measure, print what was reached and what was aimed at, and write the result."""
    count, starts, blocks = (60, 2, 8) if quick else (600, 7, 100)
    corpus = load_demo_corpus()
    queries = [*QUESTIONS, *corpus.evaluation.queries][:count]
    mixed = _mixed(corpus, 1000 if quick else 10_000)
    watch, one = Watch(Clocks.of_children()), _latency(leaf, static, queries)
    result = {
        "commit": _commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "quick": quick,
        "latency": one,
        "floor": _floor(leaf, queries, one["leaf int8"]["p50_ms"]),
        "cold_start": _cold(leaf, static, queries[0], starts),
        "throughput": _throughput(leaf, mixed),
        "memory": _memory(leaf, mixed[:BLOCK], blocks),
    }
    result["machine_meanwhile"] = seen = watch.seen()
    result["refused"] = one["refused"] or watch.refusal(seen, os.cpu_count() or 1)
    result["aims"] = _aims(result)
    if output is not None:
        write_json(output, result)
    print(json.dumps(result, indent=2))


def _latency(leaf: Path, static: Path | None, queries: list[str]) -> dict[str, Any]:
    """Milliseconds of one query each, in turns; ``ratio``: how many times the int8 leaf's time, query by query.

    The ratios are ``None`` if other work was seen; ``machine`` says what was seen, ``refused`` the reason.
    """
    import torch

    encoder, threads = leaf_embed.load(leaf), torch.get_num_threads()
    asks: dict[str, Ask] = {
        "leaf int8": encoder.encode_query,
        "onnxruntime, same graph": _plain(leaf, encoder.space.query_prompt),
        SAME: _torch(str(leaf)),
        SAME_ONE_THREAD: _torch(str(leaf), threads=1),
        TEACHER: _torch(encoder.space.teacher),
        TEACHER_ONE_THREAD: _torch(encoder.space.teacher, threads=1),
    }
    if static is not None:
        asks["static leaf"] = leaf_embed.load(static).encode_query
    fast = _fastembed(leaf, encoder.space)
    if fast is not None:
        asks["fastembed, float32 graph"] = fast
    watch = Watch()
    times = turns(asks, queries)
    seen = watch.seen()
    torch.set_num_threads(threads)
    own, refused = times["leaf int8"], watch.refusal(seen, threads)
    found: dict[str, Any] = {
        name: {
            "p50_ms": round(float(np.percentile(values, 50)), 4),
            "p95_ms": round(float(np.percentile(values, 95)), 4),
            "threads": threads if name in (SAME, TEACHER) else 1,
            "ratio": None if refused else round(float(np.median(values / own)), 3),
        }
        for name, values in times.items()
    }
    return {**found, "machine": seen, "refused": refused}


def turns(asks: Mapping[str, Ask], queries: Sequence[str]) -> dict[str, Any]:
    """Milliseconds per query of each encoder; ten calls per turn, for one would run with the other's caches."""
    times = {name: np.empty(len(queries)) for name in asks}
    for ask in asks.values():
        for text in queries[:TURN]:
            ask(text)
    for start in range(0, len(queries), TURN):
        for name, ask in asks.items():
            for place in range(start, min(start + TURN, len(queries))):
                began = time.perf_counter_ns()
                ask(queries[place])
                times[name][place] = (time.perf_counter_ns() - began) / 1e6
    return times


def _plain(leaf: Path, prompt: str) -> Ask:
    """The least code that asks the same graph: what our checks, batching and locks cost on top is the overhead."""
    tokenizer = Tokenizer.from_file(str(leaf / "tokenizer.json"))
    tokenizer.no_padding()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(leaf / GRAPHS["int8"]), options, ["CPUExecutionProvider"], disabled_optimizers=SLOWER_WHEN_FUSED
    )
    names = [node.name for node in session.get_inputs()]

    def ask(text: str) -> Any:
        tokens = tokenizer.encode(prompt + text)
        values = {"input_ids": tokens.ids, "attention_mask": tokens.attention_mask, "token_type_ids": tokens.type_ids}
        return session.run(["sentence_embedding"], {name: np.array([values[name]]) for name in names})[0][0]

    return ask


def _torch(path: str, threads: int | None = None) -> Ask:
    """``SentenceTransformer.encode_query``; by default with as many threads as torch takes by itself."""
    import torch
    from sentence_transformers import SentenceTransformer

    model, count = SentenceTransformer(path, device="cpu"), threads or torch.get_num_threads()

    def ask(text: str) -> Any:
        torch.set_num_threads(count)  # one number for the whole process, so it is set again at each turn
        return model.encode_query(text)

    return ask


def _fastembed(leaf: Path, space: Any) -> Ask | None:
    try:
        from fastembed import TextEmbedding
        from fastembed.common.model_description import ModelSource, PoolingType
    except ImportError:
        return None
    TextEmbedding.add_custom_model(
        model="leaf",
        dim=space.dim,
        pooling=PoolingType.DISABLED,
        normalization=False,
        sources=ModelSource(url="file:///none"),
        output_name="sentence_embedding",
    )
    model = TextEmbedding("leaf", specific_model_path=str(leaf), threads=1)
    return lambda text: next(iter(model.embed([space.query_prompt + text])))


def _floor(leaf: Path, queries: list[str], measured: float) -> dict[str, float]:
    tokenizer = Tokenizer.from_file(str(leaf / "tokenizer.json"))
    tokenizer.no_padding()
    tokens = statistics.median(len(tokenizer.encode(text)) for text in queries)
    floor = floor_of(leaf / GRAPHS["int8"], tokens)
    return floor.to_dict() | {"tokens": tokens, "times_the_floor": round(measured / floor.ms, 2)}


def _cold(leaf: Path, static: Path | None, text: str, runs: int) -> dict[str, Any]:
    """New process to first vector; all kinds in turns, so that all see the same machine."""
    codes = {"leaf": LEAF.format(path=str(leaf), text=text), SAME: TORCH.format(path=str(leaf), text=text)}
    if static is not None:
        codes["static leaf"] = LEAF.format(path=str(static), text=text)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in codes}
    for _ in range(runs):
        for name, code in codes.items():
            found[name].append(_start(code))
    return {name: _summary(values) for name, values in found.items()}


def _start(code: str) -> tuple[float, float]:
    """Seconds from a new process to its first vector and its end, and its peak memory in MiB."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code + PEAK], capture_output=True, text=True, check=True)
    return time.perf_counter() - began, int(done.stdout.split()[-1]) / 1024


def _summary(runs: list[tuple[float, float]]) -> dict[str, float]:
    seconds, memory = zip(*runs, strict=True)
    return {
        "seconds": round(statistics.median(seconds), 3),
        "slowest": round(max(seconds), 3),
        "peak_mib": round(max(memory), 1),
    }


def _mixed(corpus: Any, count: int) -> list[str]:
    """Questions and passages as they come, repeated with a number each if there are too few."""
    texts = [text for _, text in corpus.train]
    return [texts[i % len(texts)] + (f" {i}" if i >= len(texts) else "") for i in range(count)]


def _throughput(leaf: Path, texts: list[str]) -> dict[str, float]:
    """Texts a second through the int8 graph and through sentence-transformers at its defaults, with as many threads."""
    import torch
    from sentence_transformers import SentenceTransformer

    encoder = leaf_embed.load(leaf, threads=torch.get_num_threads())
    model = SentenceTransformer(str(leaf), device="cpu")
    seconds = {"leaf": 0.0, "torch": 0.0}
    for start in range(0, len(texts), BLOCK):  # in turns, as with single queries
        block = texts[start : start + BLOCK]
        for name, encode in (("leaf", encoder.encode_query), ("torch", model.encode)):
            began = time.perf_counter()
            encode(block)
            seconds[name] += time.perf_counter() - began
    return {
        "texts": len(texts),
        "threads": torch.get_num_threads(),
        "leaf_per_s": round(len(texts) / seconds["leaf"], 1),
        "sentence_transformers_per_s": round(len(texts) / seconds["torch"], 1),
        "ratio": round(seconds["torch"] / seconds["leaf"], 2),
    }


def _memory(leaf: Path, texts: list[str], blocks: int) -> dict[str, float]:
    """Resident memory of a process after each thousand texts, MiB."""
    command = [sys.executable, "-c", MANY, str(leaf), str(blocks)]
    done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True)
    sizes = [int(line) / 1024 for line in done.stdout.split()]
    settled = sizes[min(2, len(sizes) - 1)]
    return {
        "texts": blocks * len(texts),
        "after_3000_mib": round(settled, 1),
        "last_mib": round(sizes[-1], 1),
        "largest_mib": round(max(sizes), 1),
        "growth": round(sizes[-1] / settled - 1, 4),
    }


def _aims(result: Mapping[str, Any]) -> dict[str, str]:
    """What was reached beside what was aimed at; no ratio of times that was measured beside other work."""
    one, mine = result["latency"], result["cold_start"]["leaf"]
    values = {
        "cold start, s (0.4)": mine["seconds"],
        "peak memory, MiB (130)": mine["peak_mib"],
        "memory growth over many texts (0)": result["memory"]["growth"],
        "times the floor": result["floor"]["times_the_floor"],
    }
    if not result["refused"]:
        values |= _ratios(result)
    if "static leaf" in one:
        values["static leaf, us a query (60)"] = 1000 * one["static leaf"]["p50_ms"]
    return {name: f"{value:.3g}" for name, value in values.items()}


def _ratios(result: Mapping[str, Any]) -> dict[str, float]:
    one, cold = result["latency"], result["cold_start"]
    values = {
        "cold start, times faster (15)": cold[SAME]["seconds"] / cold["leaf"]["seconds"],
        "throughput, times sentence-transformers (2.5)": result["throughput"]["ratio"],
        "times faster than sentence-transformers (6)": min(one[name]["ratio"] for name in (SAME, SAME_ONE_THREAD)),
        "share of plain onnxruntime's time (1.10)": 1 / one["onnxruntime, same graph"]["ratio"],
    }
    if "fastembed, float32 graph" in one:
        values["times faster than fastembed on float32 (2)"] = one["fastembed, float32 graph"]["ratio"]
    return values


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    typer.run(main)
