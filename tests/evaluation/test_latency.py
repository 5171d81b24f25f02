"""Latency on made-up clocks, where every answer is known, and beside real processes that spin."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from leaf_embed.encoders.base import BaseEncoder
from leaf_embed.errors import InputError
from leaf_embed.evaluation import Latency, measure_latency
from leaf_embed.evaluation.compare import compare_reports
from leaf_embed.evaluation.machine import Clocks, Watch
from leaf_embed.space import EmbeddingSpace
from leaf_embed.texts import Role
from leaf_embed.vectors import FloatArray
from tests.evaluation.test_evaluate import SET, Letters, evaluate

SPACE = EmbeddingSpace("timed", 2, unit_norm=False)
TEXTS = [f"text {number}" for number in range(25)]


class Machine:
    """A clock that moves when an encoder works; ``busy`` cores are in use by others all the while."""

    def __init__(self, busy: float | None = 0.0, cores: int = 2, load: float | None = 0.0, switches: float = 0) -> None:
        self.wall = self.cpu = 0
        self.busy, self.switches = busy, switches
        self.clocks = Clocks(
            wall=lambda: self.wall,
            cpu=lambda: self.cpu,
            interruptions=lambda: None if busy is None and load is None else int(self.wall / 1e9 * switches),
            machine=lambda: None if busy is None else 1000 + self.cpu / 1e9 + self.wall / 1e9 * busy,
            load=lambda: load,
            cores=cores,
        )


class Timed(BaseEncoder):
    """Takes some milliseconds by the clock of a machine, on one core unless it takes more."""

    def __init__(self, machine: Machine, milliseconds: Callable[[int], float], cores: float = 1) -> None:
        self.machine, self.milliseconds, self.cores = machine, milliseconds, cores
        self.seen: list[str] = []
        self.torch_threads = 0

    @property
    def space(self) -> EmbeddingSpace:
        return SPACE

    def _encode(self, texts: Sequence[str], role: Role) -> FloatArray:
        nanoseconds = int(1e6 * self.milliseconds(len(self.seen)))
        self.seen.extend(texts)
        self.machine.wall += nanoseconds
        self.machine.cpu += int(self.cores * nanoseconds)
        self.torch_threads = torch.get_num_threads()
        return np.zeros((len(texts), 2), dtype=np.float32)


def measured(machine: Machine, teacher: Timed | None = None, leaf: Timed | None = None, warmup: int = 0) -> Latency:
    leaf = leaf or Timed(machine, lambda _: 0.5)
    teacher = teacher or Timed(machine, lambda _: 10)
    return measure_latency(leaf, teacher, TEXTS, warmup=warmup, clocks=machine.clocks)


def test_alone_the_ratio_is_that_of_the_times() -> None:
    found = measured(Machine(busy=0.1))
    assert found.ratio == pytest.approx(20)
    assert (found.refused, found.queries) == ("", 25)
    assert (found.leaf_p50, found.teacher_p50, found.leaf_cpu, found.teacher_cpu) == pytest.approx((0.5, 10, 0.5, 10))
    assert found.machine["other_processes"] == pytest.approx(0.1)
    assert "20.0 times faster" in str(found)


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        (Machine(busy=1.6), "other processes used 1.6 of 2 cores"),
        (Machine(switches=120), "the process was interrupted 120 times per second"),
        (Machine(busy=None, load=4.0), "the load average is 4.0 on 2 cores"),
        (Machine(busy=None, load=None), "this system does not tell what else it runs"),
    ],
    ids=["others", "interrupted", "load", "unknown"],
)
def test_a_busy_machine_gives_no_ratio(machine: Machine, reason: str) -> None:
    found = measured(machine)
    assert found.ratio is None
    assert found.refused == reason
    assert found.to_dict()["ratio"] is None
    assert f"no ratio: {reason}" in str(found)
    assert "faster" not in str(found)


def test_four_busy_processes_on_many_cores_disturb_nothing() -> None:
    assert measured(Machine(busy=4, cores=16)).ratio == pytest.approx(20)


def test_more_cores_than_threads_give_no_ratio() -> None:
    machine = Machine()
    found = measured(machine, Timed(machine, lambda _: 10, cores=2))
    assert found.ratio is None
    assert found.refused.startswith("the teacher used 2.0 cores, where 1 thread(s) were asked for; set OMP_NUM_THREADS")


def test_measurements_in_turns_that_differ_give_no_ratio() -> None:
    machine = Machine()
    found = measured(machine, Timed(machine, lambda calls: 10 if calls // 25 % 2 else 12))
    assert found.refused == "two measurements in turns gave ratios of 24.0 and 20.0"
    assert measured(machine, Timed(machine, lambda calls: 10 if calls // 25 % 2 else 10.5)).ratio is not None


def test_encoders_alternate_in_blocks_and_every_text_is_timed_as_often() -> None:
    """A leaf of 0.5 and a teacher of 1 ms: 25 texts take 37.5 ms, so half a second takes 14 rounds."""
    machine, order = Machine(), []
    leaf, teacher = (
        Timed(machine, lambda _, who=who, ms=ms: order.append(who) or ms) for who, ms in ((0, 0.5), (1, 1))
    )
    found = measured(machine, teacher, leaf)
    assert order[:50] == [0] * 10 + [1] * 10 + [0] * 10 + [1] * 10 + [0] * 5 + [1] * 5
    assert leaf.seen == teacher.seen == TEXTS * 14
    assert found.ratio == pytest.approx(2)


def test_torch_is_held_to_the_leaf_s_threads_and_let_go() -> None:
    before, machine = torch.get_num_threads(), Machine(cores=8)
    leaf, teacher = Timed(machine, lambda _: 1), Timed(machine, lambda _: 20)
    found = measured(machine, teacher, leaf, warmup=1)
    assert (found.leaf_threads, found.teacher_threads, teacher.torch_threads) == (None, 1, 1)
    leaf.threads = 3  # type: ignore[attr-defined]
    found = measured(machine, teacher, leaf)
    assert (found.leaf_threads, found.teacher_threads, teacher.torch_threads) == (3, 3, 3)
    assert found.threads == "3 threads each"
    assert torch.get_num_threads() == before


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="at least one text"):
        measure_latency(Letters(), Letters(), [])
    with pytest.raises(InputError, match="threads must be a whole number of at least 1; got 0"):
        measure_latency(Letters(), Letters(), ["a"], threads=0)


def test_a_refusal_is_in_the_report_and_in_the_comparison() -> None:
    report = evaluate(Letters(), Letters(), [SET], latency_queries=0).to_dict()
    found = measured(Machine(busy=2)).to_dict()
    compared = str(compare_reports({**report, "latency": found}, {**report, "latency": {**found, "refused": ""}}))
    assert compared.count("0.50 ms per query (not comparable: other processes used 2.0 of 2 cores)") == 1


def test_this_machine_is_watched() -> None:
    watch = Watch()
    while watch.seconds < 0.05:
        sum(range(1000))
    seen = watch.seen()
    assert seen["cores"] == len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert (seen["other_processes"] is not None) == Path("/proc/stat").exists()


class Spinning(BaseEncoder):
    """Works for a real time: what a core does in it depends on nothing but the core."""

    def __init__(self, work: int) -> None:
        self.work = work

    @property
    def space(self) -> EmbeddingSpace:
        return SPACE

    def _encode(self, texts: Sequence[str], role: Role) -> FloatArray:
        for _ in range(self.work):
            sum(range(1000))
        return np.zeros((len(texts), 2), dtype=np.float32)


@pytest.mark.slow
def test_beside_four_busy_processes_the_ratio_is_the_same_or_refused() -> None:
    leaf, teacher = Spinning(30), Spinning(900)
    alone = measure_latency(leaf, teacher, TEXTS)
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        time.sleep(0.5)
        beside = measure_latency(leaf, teacher, TEXTS)
    finally:
        for process in others:
            process.kill()
            process.wait()
    if Clocks().cores <= 4:
        assert beside.ratio is None, str(beside)
    if alone.ratio is not None and beside.ratio is not None:
        assert beside.ratio == pytest.approx(alone.ratio, rel=0.1)
