"""One request to an embeddings endpoint: key, time-outs, retries, and the check of the response."""

from __future__ import annotations

import email.utils
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import SplitResult, urlsplit

from leaf_embed._extras import require
from leaf_embed.encoders.checks import check_text
from leaf_embed.errors import InputError, TeacherError

__all__ = ["ApiOptions", "EmbeddingResponse", "Endpoint", "RefusedTextsError"]

PURPOSE = "An API as a teacher"
UNREADABLE = frozenset({400, 413, 422})  # how endpoints refuse texts that are too long
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
EXHAUSTED = "insufficient_quota"  # a 429 that waiting does not help
LATER = "What was embedded before is kept in the cache; the same call later goes on where it stopped."


@dataclass(frozen=True)
class ApiOptions:
    """Options of calls to an endpoint. The key itself is in none of these, only the name of its environment variable.

    Attributes:
        key_env: Environment variable that holds the key; read when a request is sent. Unset means no key is sent.
        timeout: Seconds without a response after which a request has failed.
        attempts: Maximal number of times that a request is sent.
        max_wait: Maximal seconds between two attempts; a longer Retry-After of the server ends the call.
        items: Maximal number of texts per request.
        tokens: Maximal number of estimated tokens per request; a single longer text makes a request of its own.

    Raises:
        InputError: A value out of range.
    """

    key_env: str = "OPENAI_API_KEY"
    timeout: float = 60.0
    attempts: int = 6
    max_wait: float = 60.0
    items: int = 256
    tokens: int = 100_000

    def __post_init__(self) -> None:
        if min(self.timeout, self.attempts, self.max_wait, self.items, self.tokens) <= 0:
            raise InputError(f"timeout, attempts, max_wait, items and tokens must be above 0; got {self}")
        if not self.key_env.isidentifier():
            raise InputError("key_env is the name of an environment variable, as in OPENAI_API_KEY; got something else")


@dataclass(frozen=True)
class EmbeddingResponse:
    """A response: rows in the order of the texts, and tokens as the server counted them, if it did."""

    rows: list[Any]
    tokens: int | None


class Endpoint:
    """An endpoint, ``POST <base>/embeddings``, with retries of failures that may pass."""

    def __init__(self, base_url: str, options: ApiOptions, *, sleep: Callable[[float], object] = time.sleep) -> None:
        """Checks the address; no request is sent.

        Raises:
            MissingExtraError: The extra ``api`` is not installed.
            InputError: No http address, or one that holds a password.
        """
        self._httpx: Any = require("httpx", "api", PURPOSE)
        self._tenacity: Any = require("tenacity", "api", PURPOSE)
        check_text("the API's address", base_url)
        parts = _parts(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError("the API's address must be like https://api.openai.com/v1; got none of http or https")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise InputError(
                "the API's address holds a user, a password or a query, which would end up in logs. Give the bare "
                "address, and the key in an environment variable"
            )
        self.url = base_url.rstrip("/").removesuffix("/embeddings") + "/embeddings"
        self.options = options
        self._sleep = sleep
        self._client: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the modules and the connection, which a copy in another process opens for itself."""
        return {**self.__dict__, "_client": None, "_httpx": None, "_tenacity": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._httpx = require("httpx", "api", PURPOSE)
        self._tenacity = require("tenacity", "api", PURPOSE)

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r}, {self.options})"

    def post(self, body: Mapping[str, Any], on_lost: Callable[[], object] = lambda: None) -> EmbeddingResponse:
        """Sends texts, with retries.

        Args:
            body: JSON with the texts under ``input``.
            on_lost: Called for each request without a response, which may have been billed all the same.

        Raises:
            TeacherError: Refused, failed on every attempt, or answered with anything but one row per text.
        """
        retrying = self._tenacity.Retrying(
            retry=self._tenacity.retry_if_exception_type(_AgainError),
            stop=self._tenacity.stop_after_attempt(self.options.attempts),
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            found: EmbeddingResponse = retrying(self._once, body, on_lost)
        except _AgainError as error:
            raise TeacherError(f"{self.url} failed {self.options.attempts} times, at last: {error}. {LATER}") from None
        return found

    def _wait(self, state: Any) -> float:
        """Seconds until the next attempt: as the server demands, else random up to 1, 2, 4, ...; bounded."""
        demanded: float | None = state.outcome.exception().seconds
        if demanded is not None:
            return demanded
        backoff = self._tenacity.wait_random_exponential(multiplier=1, max=self.options.max_wait)
        return float(backoff(state))

    def _once(self, body: Mapping[str, Any], on_lost: Callable[[], object]) -> EmbeddingResponse:
        self._key()
        if self._client is None:
            self._client = self._httpx.Client(timeout=self.options.timeout, follow_redirects=False, auth=self._sign)
        try:
            response = self._client.post(self.url, json=dict(body))
        except self._httpx.TransportError as error:  # from None: the exception holds the request and so the key
            if not isinstance(error, self._httpx.ConnectError | self._httpx.ConnectTimeout | self._httpx.PoolTimeout):
                on_lost()
            raise _AgainError(f"{type(error).__name__} ({self._clean(str(error)) or 'no detail'})") from None
        except self._httpx.HTTPError as error:
            raise TeacherError(f"{self.url} cannot be called: {type(error).__name__}") from None
        if response.status_code != 200:
            self._refused(response)
        return _checked(response, len(body["input"]), self.url)

    def _sign(self, request: Any) -> Any:
        """Adds the key at the last moment, so that no attribute and no variable of a frame that may fail holds it."""
        if key := self._key():
            request.headers["Authorization"] = f"Bearer {key}"
        return request

    def _key(self) -> str:
        """The key, ``""`` for none."""
        key = os.environ.get(self.options.key_env, "").strip()
        if not key.isascii() or (key and not key.isprintable()) or " " in key:
            raise InputError(f"${self.options.key_env} holds what cannot be a key: a space, a line break, ...")
        return key

    def _refused(self, response: Any) -> NoReturn:
        """Raises the error of a response without vectors."""
        status, (detail, code) = response.status_code, map(self._clean, _detail(response))
        if status in (401, 403):  # servers quote the key here: nothing of the answer is repeated
            state = "is set" if self._key() else "is not set"
            raise TeacherError(f"{self.url} refused access ({status}); ${self.options.key_env} {state}. {LATER}")
        said = f"status {status}: {detail or 'no detail'}"
        if status not in RETRIED or code == EXHAUSTED:
            kind = RefusedTextsError if status in UNREADABLE else TeacherError
            raise kind(f"{self.url} refused the texts, {said}. {LATER}")
        seconds = _retry_after(response.headers.get("retry-after"))
        if seconds is not None and seconds > self.options.max_wait:
            raise TeacherError(
                f"{self.url} asks to wait {seconds:.0f} s, above max_wait={self.options.max_wait:.0f}: {said}. {LATER}"
            )
        raise _AgainError(said, seconds)

    def _clean(self, text: str) -> str:
        """A message of the server without the key, as one short line."""
        key = self._key()
        return " ".join((text.replace(key, "***") if key else text).split())[:200]


def _parts(base_url: str) -> SplitResult:
    """The parts of an address.

    Raises:
        InputError: It is none.
    """
    try:
        return urlsplit(base_url)
    except ValueError as error:
        raise InputError(f"the API's address must be like https://api.openai.com/v1; {error}") from None


class RefusedTextsError(TeacherError):
    """The endpoint refused the texts of a request, which may be too long for the model."""


class _AgainError(Exception):
    """A failure worth another attempt; ``seconds`` is the wait that the server demands."""

    def __init__(self, message: str, seconds: float | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds


def _detail(response: Any) -> tuple[str, str]:
    """The error message of the server, and its code."""
    try:
        value = response.json()
    except ValueError:
        return response.text[:1000], ""
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, dict):
        return str(error.get("message") or ""), str(error.get("code") or error.get("type") or "")
    return str(error or value)[:1000], ""


def _retry_after(header: str | None) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date (RFC 9110, 10.2.3)."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except (TypeError, ValueError):
            return None
    return max(0.0, seconds) if seconds == seconds else None


def _checked(response: Any, count: int, url: str) -> EmbeddingResponse:
    """One row per text, ordered by index.

    Raises:
        TeacherError: Any other response; no row is guessed.
    """
    try:
        value = response.json()
        data: Sequence[Any] = value["data"]
        found = {int(item["index"]): item["embedding"] for item in data}
    except (ValueError, KeyError, TypeError) as error:
        raise TeacherError(
            f"{url} answered with something else than embeddings ({type(error).__name__}); expected "
            '{"data": [{"index", "embedding"}, ...]}. Is it the address of an OpenAI-compatible endpoint?'
        ) from None
    if len(data) != count or sorted(found) != list(range(count)):
        raise TeacherError(
            f"{url} answered {count} texts with {len(data)} vectors of indices {sorted(found)[:5]}...; expected one "
            "each, 0 to n - 1. Nothing of this answer is kept."
        )
    usage = value.get("usage")
    tokens = usage.get("total_tokens", usage.get("prompt_tokens")) if isinstance(usage, dict) else None
    return EmbeddingResponse(
        [found[i] for i in range(count)], tokens if isinstance(tokens, int) and tokens > 0 else None
    )
