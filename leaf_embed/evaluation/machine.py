"""What else runs on the machine while something is timed, and how many threads take part."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Clocks", "Watch", "pinned_threads"]

SPARE = 0.5  # share of the cores beyond our threads that other processes may use
INTERRUPTIONS = 50  # per second; an idle machine has some, two processes on one core have 100 and more


def _machine_seconds() -> float | None:
    """Processor seconds that all processes of this machine have used; ``None`` where Linux's /proc is missing."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split(maxsplit=9)[1:9]
    except OSError:
        return None
    user, nice, system, _idle, _waiting, *rest = map(int, fields)
    return float(user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


def _interruptions() -> int | None:
    """How often the kernel took a core from this process; ``None`` where it does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _with_children() -> int:
    """Processor time of this process and of its children that have ended, nanoseconds."""
    times = os.times()
    return time.process_time_ns() + int(1e9 * (times.children_user + times.children_system))


def _load() -> float | None:
    """Processes that ran or wanted to, mean over the last minute; ``None`` where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Clocks:
    """What a measurement reads.

    Attributes:
        wall: Time, nanoseconds.
        cpu: Processor time of all threads of this process, nanoseconds.
        interruptions: Involuntary context switches of this process so far; ``None`` if unknown.
        machine: Processor seconds of all processes so far; ``None`` if unknown.
        load: The load average of the last minute; ``None`` if unknown.
        cores: Cores that this process may use.
    """

    wall: Callable[[], int] = time.perf_counter_ns
    cpu: Callable[[], int] = time.process_time_ns
    interruptions: Callable[[], int | None] = _interruptions
    machine: Callable[[], float | None] = _machine_seconds
    load: Callable[[], float | None] = _load
    cores: int = field(default_factory=_cores)

    @staticmethod
    def of_children() -> Clocks:
        """Returns clocks that count what child processes do as our own."""
        return Clocks(cpu=_with_children)


class Watch:
    """Watches what else runs on the machine, from its construction on."""

    def __init__(self, clocks: Clocks | None = None) -> None:
        self.clocks = clocks or Clocks()
        self._began = self._read()

    def _read(self) -> tuple[float, float, float | None, int | None]:
        clocks = self.clocks
        return clocks.wall() / 1e9, clocks.cpu() / 1e9, clocks.machine(), clocks.interruptions()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return self.clocks.wall() / 1e9 - self._began[0]

    def seen(self) -> dict[str, float | None]:
        """Returns the cores, those that other processes used, the interruptions per second and the load."""
        (wall, cpu, machine, switches), (wall_0, cpu_0, machine_0, switches_0) = self._read(), self._began
        seconds, load = max(wall - wall_0, 1e-9), self.clocks.load()
        others = None if machine is None or machine_0 is None else (machine - machine_0 - (cpu - cpu_0)) / seconds
        rate = None if switches is None or switches_0 is None else (switches - switches_0) / seconds
        return {
            "cores": self.clocks.cores,
            "other_processes": None if others is None else round(max(others, 0.0), 2),
            "interruptions_per_second": None if rate is None else round(rate, 1),
            "load": None if load is None else round(load, 2),
        }

    @staticmethod
    def refusal(seen: Mapping[str, float | None], threads: int) -> str:
        """Returns why times measured meanwhile cannot be compared; ``""`` if they can."""
        cores, load = int(seen["cores"] or 1), seen["load"]
        others, rate = seen["other_processes"], seen["interruptions_per_second"]
        allowed = SPARE * max(cores - threads, 0.25)
        if others is not None and others > allowed:
            return f"other processes used {others:.1f} of {cores} cores"
        if rate is not None and rate > INTERRUPTIONS:
            return f"the process was interrupted {rate:.0f} times per second"
        if others is None and load is not None and load - threads > allowed:
            return f"the load average is {load:.1f} on {cores} cores"
        if others is None and (rate is None or load is None):
            return "this system does not tell what else it runs"
        return ""


@contextmanager
def pinned_threads(count: int) -> Iterator[None]:
    """Holds torch, if anything has loaded it, to so many threads while the block runs."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
