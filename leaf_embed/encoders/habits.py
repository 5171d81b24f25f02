"""The options that users of ``SentenceTransformer.encode`` are used to, for every encoder of ours.

``model.encode(texts, prompt_name="query", normalize_embeddings=True)`` means the same here, so that a leaf can take the
place of a ``SentenceTransformer``. Vectors are NumPy arrays unless a tensor is asked for; torch is not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypedDict

import numpy as np

from leaf_embed import vectors
from leaf_embed._extras import require
from leaf_embed.encoders.checks import check_whole, is_one_of
from leaf_embed.errors import InputError
from leaf_embed.texts import Role
from leaf_embed.vectors import FloatArray

__all__ = ["EncodeOptions", "check_options", "check_role", "encode_with", "role_of"]

HINTS = {
    "device": "an encoder stays on the device that it was loaded on",
    "precision": "say it when loading: variant='int8', or precision= of a SentenceTransformerEncoder",
    "prompt": "prompts are those of the space; name one by prompt_name='query' or 'document'",
    "output_value": "an encoder writes one vector per text",
}


class EncodeOptions(TypedDict, total=False):
    """Options of ``encode``, ``encode_query`` and ``encode_document``, as sentence-transformers has them.

    Attributes:
        batch_size: Texts per call of the model, and per step of the bar; by default all texts, in batches that the
            encoder bounds by tokens itself.
        show_progress_bar: Whether to draw a bar on standard error.
        normalize_embeddings: Whether to scale vectors to unit norm.
        truncate_dim: Leading dimensions to keep; not renormalised unless ``normalize_embeddings`` says so.
        convert_to_tensor: Whether to return a torch tensor, on the CPU, instead of a NumPy array.
        convert_to_numpy: ``False`` returns a list of vectors, unless a tensor is asked for.
    """

    batch_size: int
    show_progress_bar: bool | None
    normalize_embeddings: bool
    truncate_dim: int | None
    convert_to_tensor: bool
    convert_to_numpy: bool


def check_options(options: EncodeOptions, dim: int) -> None:
    """Refuses an option that does not exist or cannot be.

    Args:
        options: As given.
        dim: Dimensions of the encoder's vectors.

    Raises:
        InputError: The message names the option.
    """
    known = EncodeOptions.__annotations__
    for name in options:
        if name not in known:
            hint = f"; {HINTS[name]}" if name in HINTS else ""
            raise InputError(f"there is no option {name!r} here{hint}. There are {', '.join(known)}")
    check_whole("batch_size", options.get("batch_size", 1))
    for name in set(options) - {"batch_size", "truncate_dim"}:
        if not isinstance(options[name], bool | None):  # type: ignore[literal-required]
            raise InputError(f"{name} is True or False; got {options[name]!r:.80}")  # type: ignore[literal-required]
    short = options.get("truncate_dim")
    if short is not None and (isinstance(short, bool) or not isinstance(short, int) or not 1 <= short <= dim):
        raise InputError(f"truncate_dim must be 1 to {dim}, the dimensions of the vectors; got {short!r}")


def encode_with(encode: Callable[[list[str]], FloatArray], texts: list[str], dim: int, options: EncodeOptions) -> Any:
    """Encodes clean texts as options say.

    Args:
        encode: Returns vectors ``(n, dim)`` of at least one text.
        texts: Any number of texts.
        dim: Dimensions of the vectors.
        options: Options of ``encode``.

    Raises:
        InputError: An option that does not exist or cannot be.
    """
    check_options(options, dim)
    step = options.get("batch_size", max(1, len(texts)))
    blocks = [encode(texts[start : start + step]) for start in _starts(len(texts), step, options)]
    found = np.concatenate(blocks) if blocks else np.empty((0, dim), dtype=np.float32)
    if options.get("truncate_dim") is not None:
        found = np.ascontiguousarray(found[:, : options["truncate_dim"]])
    if options.get("normalize_embeddings"):
        found = vectors.normalize(found)
    if options.get("convert_to_tensor"):
        return require("torch", "train", "convert_to_tensor").from_numpy(found)
    return found if options.get("convert_to_numpy", True) else list(found)


def _starts(count: int, step: int, options: EncodeOptions) -> Iterable[int]:
    """The first row of each batch, with a bar if one is asked for."""
    starts = range(0, count, step)
    if not options.get("show_progress_bar"):
        return starts
    from rich.console import Console
    from rich.progress import track

    return track(starts, "encoding", console=Console(stderr=True))


def role_of(prompt_name: str | None, query_prompt: str, document_prompt: str) -> Role:
    """Returns the role that a prompt name of ``encode`` means.

    Args:
        prompt_name: ``"query"``, ``"document"``, or ``None`` for no prompt.
        query_prompt: The space's prompt of queries.
        document_prompt: That of documents.

    Raises:
        InputError: Another name, or ``None`` where both roles have a prompt.
    """
    if prompt_name is None:
        if query_prompt and document_prompt:
            raise InputError(
                "queries and documents of this space both have a prompt; give prompt_name='query' or 'document'"
            )
        return "query" if document_prompt else "document"
    return check_role(prompt_name)


def check_role(role: Any) -> Role:
    """Returns a role.

    Raises:
        InputError: Neither ``"query"`` nor ``"document"``.
    """
    if not is_one_of(role, ("query", "document")):
        raise InputError(f"expected 'query' or 'document'; got {role!r:.80}")
    found: Role = role
    return found
