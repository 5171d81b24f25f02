"""The request and the response of ``POST /v1/embeddings``, as OpenAI's clients write and read them.

Beyond OpenAI's fields a request may hold ``input_type``: ``"query"`` or ``"document"``.
"""

from __future__ import annotations

import base64
import json
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from starlette.responses import JSONResponse

from leaf_embed import vectors
from leaf_embed._files import parse_json
from leaf_embed.errors import InputError
from leaf_embed.texts import Role, clean
from leaf_embed.vectors import FloatArray

Encoding: TypeAlias = Literal["float", "base64"]

__all__ = ["EmbedRequest", "error_response", "model_json", "parse_request", "response_parts"]

T = TypeVar("T")

ROLES: tuple[Role, ...] = ("query", "document")
ENCODINGS: tuple[Encoding, ...] = ("float", "base64")
KINDS = {401: "authentication_error", 500: "server_error", 503: "overloaded_error"}  # else invalid_request_error
CODES = {401: "invalid_api_key"}


@dataclass(frozen=True)
class EmbedRequest:
    """A checked request.

    Attributes:
        texts: At least one, unless there are ``tokens``.
        tokens: Token ids in the place of texts, one row per text; see :class:`leaf_embed.serve.tokens.Vocabulary`.
        role: Of the texts: which side of the leaf encodes them.
        dimensions: Dimensions to keep; ``None`` for all.
        encoding: Lists of floats, or base64 of little-endian float32, which OpenAI's own client asks for.
        model: The name that the client gave; empty if none.
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
        value = parse_json(body)
    except ValueError as error:
        raise InputError(f"the body is no JSON: {clean(str(error))}") from error
    if not isinstance(value, dict):
        raise InputError(f"the body must be a JSON object with 'input'; got {type(value).__name__}")
    role = _choice(value, "input_type", ROLES, default)
    encoding = _choice(value, "encoding_format", ENCODINGS, "float")
    dimensions = value.get("dimensions")
    whole = isinstance(dimensions, int) and not isinstance(dimensions, bool)
    if dimensions is not None and not (whole and 1 <= dimensions <= dim):
        raise InputError(f"dimensions must be a whole number from 1 to {dim}; got {reprlib.repr(dimensions)}")
    model = value.get("model") or ""
    if not isinstance(model, str):
        raise InputError(f"model must be a text; got {reprlib.repr(model)}")
    texts, tokens = _inputs(value.get("input"), max_texts)
    return EmbedRequest(texts, role, dimensions, encoding, clean(model), tokens)


def _choice(value: dict[str, Any], key: str, choices: tuple[T, ...], default: T) -> T:
    given = value.get(key)
    if given is None:
        return default
    for choice in choices:
        if given == choice:
            return choice
    raise InputError(f"{key} must be one of {', '.join(map(repr, choices))}; got {reprlib.repr(given)}")


def _inputs(value: Any, limit: int) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Texts, or rows of token ids: a text, a list of texts, one row, or a list of rows."""
    items = (value,) if isinstance(value, str) or _is_tokens(value) else value
    if not isinstance(items, list | tuple) or not items:
        raise InputError(f"input must be a text or a list of texts; got {reprlib.repr(value)}")
    if len(items) > limit:
        raise InputError(f"input holds {len(items)} texts; this server takes up to {limit} in a request")
    if all(isinstance(item, str) for item in items):
        return tuple(map(clean, items)), ()
    if all(_is_tokens(item) for item in items):
        return (), tuple(tuple(item) for item in items)
    raise InputError(f"input must hold texts alone, or lists of token ids alone; got {reprlib.repr(value)}")


def _is_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(token) is int for token in value)


def response_parts(request: EmbedRequest, model: str, rows: FloatArray, tokens: int) -> Iterator[str]:
    """Yields the response in OpenAI's form, a vector at a time, since a large one takes long to write.

    Args:
        request: The request.
        model: Name of the model that made the vectors.
        rows: Vectors, shape ``(n, dim)``, float32. Cut to fewer dimensions they get unit norm again.
        tokens: Tokens that the encoder read.
    """
    kept = rows if request.dimensions is None else vectors.truncate(rows, request.dimensions)
    yield '{"object":"list","data":['
    for index, row in enumerate(kept):
        embedding = _base64(row) if request.encoding == "base64" else row.tolist()
        item = {"object": "embedding", "index": index, "embedding": embedding}
        yield ("," if index else "") + json.dumps(item, separators=(",", ":"))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    yield f'],"model":{json.dumps(model)},"usage":{json.dumps(usage)}}}'


def _base64(row: FloatArray) -> str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode("ascii")


def model_json(name: str, created: int) -> dict[str, Any]:
    """Returns a model in OpenAI's form.

    Args:
        name: Its id.
        created: Seconds since 1970.
    """
    return {"id": name, "object": "model", "created": created, "owned_by": "leaf-embed"}


def error_response(
    status: int,
    message: str,
    headers: Mapping[str, str] | None = None,
    *,
    code: str | None = None,
    param: str | None = None,
) -> JSONResponse:
    """Returns an error in OpenAI's form."""
    kind = KINDS.get(status, "invalid_request_error")
    error = {"message": clean(message), "type": kind, "param": param, "code": code or CODES.get(status)}
    return JSONResponse({"error": error}, status_code=status, headers=headers)
