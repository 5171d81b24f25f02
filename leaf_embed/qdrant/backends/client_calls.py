"""One call of a Qdrant client as a value, and the senders that carry it out, blocking and async."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from leaf_embed._extras import require
from leaf_embed.errors import InputError
from leaf_embed.qdrant.backends.base import mapped_errors
from leaf_embed.qdrant.backends.retry import Retry

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient, QdrantClient

__all__ = ["AsyncSender", "Call", "LoopSender", "Sender", "client_models", "is_local"]

T = TypeVar("T")
Answer = TypeVar("Answer", covariant=True)

THERE = "Is the server there?"
AGAIN = "Do the same again to go on where it stopped."

# We send search parameters on purpose: local mode needs none, a server does.
warnings.filterwarnings(
    "ignore", "Local mode performs exact", UserWarning, module=r"(leaf_embed\w*|qdrant_client\.local)\."
)

_LOCKS: WeakKeyDictionary[Any, threading.RLock] = WeakKeyDictionary()  # one per local client, however often it is given


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """One call of a client's method.

    Attributes:
        method: Its name.
        kwargs: Its arguments.
        action: What is done, for a message: ``"counting 'docs'"``.
        read: Turns the method's answer into ours.
        hint: What to do if it fails.
        repeatable: Whether a second time does no harm.
    """

    method: str
    kwargs: dict[str, Any]
    action: str
    read: Callable[[Any], Answer]
    hint: str = THERE
    repeatable: bool = True


class Sender:
    """Carries out calls by a client: again if the server is busy, one at a time in local mode.

    Raises:
        InputError: ``client`` is no ``QdrantClient``.
    """

    def __init__(self, client: QdrantClient, retry: Retry) -> None:
        _require_client(client, "QdrantClient")
        self._client, self._retry = client, retry
        self.local = is_local(client)
        self._lock = _LOCKS.setdefault(client, threading.RLock()) if self.local else nullcontext()

    def send(self, call: Call[T]) -> T:
        method = getattr(self._client, call.method)
        with mapped_errors(call.action, _hint(call, self._client)), self._lock:
            return call.read(_retry(self._retry, call).call(lambda: method(**call.kwargs)))

    def send_all(self, calls: Iterable[Call[None]]) -> None:
        for call in calls:
            self.send(call)


class AsyncSender:
    """Carries out calls by an async client: again if the server is busy.

    Raises:
        InputError: ``client`` is no ``AsyncQdrantClient``.
    """

    def __init__(self, client: AsyncQdrantClient, retry: Retry) -> None:
        _require_client(client, "AsyncQdrantClient")
        self._client, self._retry = client, retry

    async def send(self, call: Call[T]) -> T:
        method = getattr(self._client, call.method)
        with mapped_errors(call.action, _hint(call, self._client)):
            return call.read(await _retry(self._retry, call).call_async(lambda: method(**call.kwargs)))

    async def send_all(self, calls: Iterable[Call[None]]) -> None:
        for call in calls:
            await self.send(call)


class LoopSender(Sender):
    """Carries out calls by an async client from another thread than that of its event loop, which has to run."""

    def __init__(self, client: AsyncQdrantClient, retry: Retry, loop: asyncio.AbstractEventLoop) -> None:
        self._calls, self._loop = AsyncSender(client, retry), loop
        self.local = is_local(client)

    def send(self, call: Call[T]) -> T:
        return asyncio.run_coroutine_threadsafe(self._calls.send(call), self._loop).result()


def client_models() -> Any:
    """Returns the module of the client's request classes, imported on first use."""
    return require("qdrant_client.models", "qdrant", "A collection behind a client")


def is_local(client: Any) -> bool:
    """Returns whether a client of either kind is in local mode."""
    return "Local" in type(client._client).__name__


def _require_client(client: Any, kind: str) -> None:
    module = require("qdrant_client", "qdrant", "A collection behind a client")
    if not isinstance(client, getattr(module, kind)):
        raise InputError(f"client must be a qdrant_client.{kind}; got {type(client).__name__}")


def _hint(call: Call[Any], client: Any) -> str:
    """What to look at if a call fails, with the address of the server."""
    address = getattr(client._client, "rest_uri", None)
    return call.hint if call.hint != THERE or address is None else f"Is the server there, at {address}?"


def _retry(retry: Retry, call: Call[Any]) -> Retry:
    return retry if call.repeatable else Retry(attempts=1)
