"""Retries of requests to a busy or absent server, bounded in number.

Every request that is sent this way may be carried out twice with the same outcome: points are written under ids that
follow from the documents, and reads change nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from leaf_embed._extras import require
from leaf_embed.errors import InputError

__all__ = ["Retry"]

T = TypeVar("T")

# Of qdrant-client: network or half a body; 429 with Retry-After in seconds; 429 with Retry-After as a date.
PASSING = {"ResponseHandlingException", "ResourceExhaustedResponse", "QdrantException"}
GRPC_CODES = {"RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED"}


@dataclass(frozen=True)
class Retry:
    """The number of attempts at a request, and the waits between them.

    Asked again after: 429 (after the seconds of its Retry-After), 408, 5xx, a time-out, a broken or refused connection
    and half a body. Anything else fails at once.

    Attributes:
        attempts: Requests in all; 1 never asks again.
        first_wait: Seconds before the second request, with jitter; doubled each time.
        longest_wait: Seconds that no wait exceeds, Retry-After included.

    Raises:
        InputError: A number out of range.
    """

    attempts: int = 6
    first_wait: float = 0.25
    longest_wait: float = 20.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first_wait < 0 or self.longest_wait < self.first_wait:
            raise InputError(f"expected attempts ≥ 1 and 0 ≤ first_wait ≤ longest_wait; got {self}")

    def call(self, function: Callable[[], T]) -> T:
        """Calls a function until it returns, or raises its last error."""
        result: T = _tenacity().Retrying(**self._rules())(function)
        return result

    async def call_async(self, function: Callable[[], Awaitable[T]]) -> T:
        """:meth:`call` for a function to await."""

        async def attempt() -> T:
            return await function()

        result: T = await _tenacity().AsyncRetrying(**self._rules())(attempt)
        return result

    def _rules(self) -> dict[str, Any]:
        tenacity = _tenacity()
        return {
            "stop": tenacity.stop_after_attempt(self.attempts),
            "wait": self._wait,
            "retry": tenacity.retry_if_exception(is_passing),
            "reraise": True,
        }

    def _wait(self, state: Any) -> float:
        asked = retry_after(state.outcome.exception())
        if asked is not None:
            return min(asked, self.longest_wait)
        backoff = _tenacity().wait_random_exponential(multiplier=self.first_wait, max=self.longest_wait)
        return min(self.longest_wait, self.first_wait / 2 + float(backoff(state)))


def is_passing(error: BaseException) -> bool:
    """Returns whether the same request may well succeed a little later."""
    if type(error).__name__ in PASSING:
        return True
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return status in (408, 429) or status >= 500
    code = getattr(error, "code", None)  # of gRPC: a method that returns an enumeration
    return callable(code) and getattr(code(), "name", "") in GRPC_CODES


def retry_after(error: BaseException | None) -> float | None:
    """Returns the seconds that the server asked to wait; ``None`` if it named none."""
    seconds = getattr(error, "retry_after_s", None)
    return None if seconds is None else max(0.0, float(seconds))


def _tenacity() -> Any:
    return require("tenacity", "qdrant", "A collection behind a client")
