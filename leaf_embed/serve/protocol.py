"""The request and the response of ``POST /v1/embeddings``, as OpenAI's clients write and read them.

Beyond OpenAI's fields a request may hold ``input_type``: ``"query"`` or ``"document"``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from leaf_embed import vectors
from leaf_embed._extras import require
from leaf_embed.errors import InputError
from leaf_embed.texts import Role
from leaf_embed.vectors import FloatArray

Encoding: TypeAlias = Literal["float", "base64"]

__all__ = ["EmbedRequest", "decode_tokens", "error_json", "parse_request", "response_json"]

T = TypeVar("T")

ROLES: tuple[Role, ...] = ("query", "document")
ENCODINGS: tuple[Encoding, ...] = ("float", "base64")
FALLBACK = "cl100k_base"  # of OpenAI's embedding models, and what LangChain takes for a model that it does not know
ADVICE = "Send texts instead: in LangChain's OpenAIEmbeddings set check_embedding_ctx_length=False."


@dataclass(frozen=True)
class EmbedRequest:
    """A checked request.

    Attributes:
        texts: At least one, unless there are ``tokens``.
        tokens: Token ids in the place of texts, one row per text; see :func:`decode_tokens`.
        role: Of the texts: which side of the leaf encodes them.
        dimensions: Dimensions to keep; ``None`` for all.
        encoding: Lists of floats, or base64 of little-endian float32, which OpenAI's own client asks for.
        model: Returned as it came.
    """

    texts: tuple[str, ...] = ()
    role: Role = "query"
    dimensions: int | None = None
    encoding: Encoding = "float"
    model: str = ""
    tokens: tuple[tuple[int, ...], ...] = ()


def parse_request(body: bytes, *, dim: int, max_texts: int, default: Role = "query") -> EmbedRequest:
    """Check a request's body.

    Args:
        body: JSON.
        dim: Dimensions of the space.
        max_texts: Texts of one request at most.
        default: Role where ``input_type`` is missing.

    Raises:
        InputError: Something that cannot be answered; the message names the field.
    """
    try:
        value = json.loads(body)
    except ValueError as error:
        raise InputError(f"the body is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"the body must be a JSON object with 'input'; got {type(value).__name__}")
    role = _choice(value, "input_type", ROLES, default)
    encoding = _choice(value, "encoding_format", ENCODINGS, "float")
    dimensions = value.get("dimensions")
    whole = isinstance(dimensions, int) and not isinstance(dimensions, bool)
    if dimensions is not None and not (whole and 1 <= dimensions <= dim):
        raise InputError(f"dimensions must be a whole number from 1 to {dim}; got {dimensions!r:.40}")
    texts, tokens = _inputs(value.get("input"), max_texts)
    return EmbedRequest(texts, role, dimensions, encoding, str(value.get("model") or ""), tokens)


def _choice(value: dict[str, Any], key: str, choices: tuple[T, ...], default: T) -> T:
    given = value.get(key)
    if given is None:
        return default
    for choice in choices:
        if given == choice:
            return choice
    raise InputError(f"{key} must be one of {', '.join(map(repr, choices))}; got {given!r:.40}")


def _inputs(value: Any, limit: int) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Texts, or rows of token ids: a text, a list of texts, one row, or a list of rows."""
    items = (value,) if isinstance(value, str) or _is_tokens(value) else value
    if not isinstance(items, list | tuple) or not items:
        raise InputError(f"input must be a text or a list of texts; got {value!r:.40}")
    if len(items) > limit:
        raise InputError(f"input holds {len(items)} texts; this server takes up to {limit} in a request")
    if all(isinstance(item, str) for item in items):
        return tuple(items), ()
    if all(_is_tokens(item) for item in items):
        return (), tuple(tuple(item) for item in items)
    raise InputError(f"input must hold texts alone, or lists of token ids alone; got {value!r:.60}")


def _is_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(token) is int for token in value)


def response_json(request: EmbedRequest, rows: FloatArray, tokens: int) -> dict[str, Any]:
    """Returns the response in OpenAI's form.

    Args:
        request: The request.
        rows: Vectors, shape ``(n, dim)``, float32. Cut to fewer dimensions they get unit norm again.
        tokens: Tokens that the encoder read.
    """
    kept = rows if request.dimensions is None else vectors.truncate(rows, request.dimensions)
    encoded = [_base64(row) for row in kept] if request.encoding == "base64" else kept.tolist()
    data = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(encoded)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": request.model, "usage": usage}


def _base64(row: FloatArray) -> str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode("ascii")


def error_json(message: str, kind: str) -> dict[str, Any]:
    """Returns an error in OpenAI's form."""
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def decode_tokens(rows: Sequence[Sequence[int]], model: str) -> tuple[str, ...]:
    """Returns the texts that token ids stand for.

    Some of OpenAI's clients send token ids instead of texts: LangChain's ``OpenAIEmbeddings`` does unless told
    otherwise, by the tokenizer (tiktoken) of the model that it believes to be there. The text is the same again after
    decoding; a leaf's own tokenizer then reads it.

    Args:
        rows: Token ids of each text.
        model: The request's model, which names the tokenizer; :data:`FALLBACK` for a name that tiktoken does not know.

    Raises:
        InputError: No such token, or the tokenizer's vocabulary, which tiktoken fetches once, is out of reach.
        MissingExtraError: tiktoken is not installed.
    """
    encoding = _encoding(model)
    texts = []
    for place, row in enumerate(rows):
        try:
            texts.append(encoding.decode(list(row)))
        except (KeyError, OverflowError) as error:
            raise InputError(f"input {place} holds an id that is no token of {encoding.name}. {ADVICE}") from error
    return tuple(texts)


def _encoding(model: str) -> Any:
    tiktoken = require("tiktoken", "serve", "Reading token ids")
    try:
        try:
            return tiktoken.encoding_for_model(model)
        except KeyError:
            return tiktoken.get_encoding(FALLBACK)
    except Exception as error:  # a network error of requests, or a damaged download
        raise InputError(
            f"input holds token ids, and the vocabulary to read them by cannot be fetched here "
            f"({type(error).__name__}). {ADVICE} Or give the server a copy in the directory TIKTOKEN_CACHE_DIR."
        ) from error
