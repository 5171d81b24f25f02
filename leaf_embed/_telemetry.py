"""OpenTelemetry spans and metrics where its API is installed, and nothing where it is not.

A span holds counts and names, never a text, a vector or a key; an error is named by its type alone, since its message
may quote a text. Every span has a histogram of its name and seconds: ``leaf_embed.encode.duration``.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeAlias

__all__ = ["record", "span"]

Value: TypeAlias = "str | int | float | bool"

NAME = "leaf_embed"
_NOTHING = nullcontext()


@functools.cache
def _api() -> tuple[Any, Any] | None:
    """OpenTelemetry's trace and metrics modules; ``None`` if they are not installed."""
    try:
        from opentelemetry import metrics, trace
    except ImportError:
        return None
    return trace, metrics


@functools.cache
def _histogram(name: str) -> Any:
    _, metrics = _api() or (None, None)
    assert metrics is not None
    return metrics.get_meter(NAME).create_histogram(f"{name}.duration", unit="s")


def span(name: str, **attributes: Value) -> AbstractContextManager[None]:
    """Returns a context that is recorded as a span and in the histogram of its name.

    Args:
        name: Such as ``"leaf_embed.encode"``.
        attributes: Counts and names; no texts.
    """
    return _NOTHING if _api() is None else _recorded(name, attributes)


@contextmanager
def _recorded(name: str, attributes: dict[str, Value]) -> Iterator[None]:
    trace, _ = _api() or (None, None)
    assert trace is not None
    began = time.perf_counter()
    tracer = trace.get_tracer(NAME)
    with tracer.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except BaseException as error:
            current.set_status(trace.Status(trace.StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            _histogram(name).record(time.perf_counter() - began, attributes)


def record(name: str, seconds: float, **attributes: Value) -> None:
    """Records a span that ends now and took ``seconds``, and its histogram."""
    api = _api()
    if api is None:
        return
    ends = time.time_ns()
    begun = api[0].get_tracer(NAME).start_span(name, attributes=attributes, start_time=ends - int(seconds * 1e9))
    begun.end(ends)
    _histogram(name).record(seconds, attributes)
