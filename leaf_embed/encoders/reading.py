"""How a torch model reads texts: its limits, and batches of token ids that are tokenized once, ahead of the model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from leaf_embed.encoders.batching import TokenBudget, round_up, token_batches
from leaf_embed.encoders.torch_models import input_modules
from leaf_embed.errors import InputError
from leaf_embed.texts import Role

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

__all__ = ["Batch", "Features", "Reader", "TextWindow", "ahead", "batches", "read_limit", "readable_copy", "windows"]

Features: TypeAlias = "dict[str, Any]"
"""A batch as sentence-transformers' modules take it: tensors of shape ``(n, length)``, and facts about the batch."""

Batch: TypeAlias = "tuple[NDArray[np.intp], Features]"
"""The places of a batch's texts in the list of all texts, and the batch."""

WINDOW = 512  # texts tokenized at a time: some batches, so that the next window is tokenized while these are computed
WINDOW_CHARACTERS = 1 << 22  # bounds the memory of a window of long texts
CHARACTERS_PER_TOKEN = 512  # far above any real text; keeps a text of many megabytes from being tokenized whole
NO_LIMIT = 1 << 30  # tokenizers write 10**30 for "no limit"
T = TypeVar("T")


@dataclass(frozen=True)
class Reader:
    """What a model's input module makes of texts.

    Attributes:
        limit: Tokens that it reads of a text at most; ``None`` if it reads all.
        pad_id: Id of the token to pad with.
        embeddings: Number of tokens that it has an embedding of; ``None`` if unknown.
        tokenizer: Its tokenizer, of whatever kind.
    """

    limit: int | None
    pad_id: int
    embeddings: int | None
    tokenizer: Any

    @classmethod
    def of(cls, model: SentenceTransformer, task: Role) -> Reader:
        """Returns the reader of texts of a role: of a Router that of its route.

        Raises:
            InputError: A Router has no route for the role.
        """
        import torch

        module: Any = model[0]
        while hasattr(module, "sub_modules"):
            try:
                module = module.sub_modules[module._resolve_route(task=task, modality="text")][0]
            except ValueError as error:
                raise InputError(f"the Router of this model has no route for a {task}: {error}") from error
        tokenizer = getattr(module, "tokenizer", None)
        table = getattr(module, "embedding", None)
        if hasattr(getattr(module, "auto_model", None), "get_input_embeddings"):
            with suppress(AttributeError, NotImplementedError):
                table = module.auto_model.get_input_embeddings()
        known = table.num_embeddings if isinstance(table, torch.nn.Embedding | torch.nn.EmbeddingBag) else None
        return cls(read_limit(module), getattr(tokenizer, "pad_token_id", None) or 0, known, tokenizer)

    def cut(self, text: str, prompt: str) -> str:
        """Returns the part of a very long text that can hold what is read of it."""
        if self.limit is None or len(text) <= self.limit * CHARACTERS_PER_TOKEN:
            return text
        most = self.limit * CHARACTERS_PER_TOKEN + len(prompt)
        return text[-most:] if getattr(self.tokenizer, "truncation_side", "right") == "left" else text[:most]

    def checked(self, features: Features) -> Features:
        """Returns features whose padding is a token that the model has an embedding of.

        Raises:
            InputError: A text holds a token that it has none of; the message names the token.
        """
        import torch

        ids, mask = features.get("input_ids"), features.get("attention_mask")
        known = self.embeddings
        if known is None or not isinstance(ids, torch.Tensor) or not ids.numel() or int(ids.max()) < known:
            return features
        unknown = ids >= known if mask is None else (ids >= known) & (mask != 0)
        if unknown.any():
            token = int(ids[unknown][0])
            name = getattr(self.tokenizer, "convert_ids_to_tokens", repr)(token)
            raise InputError(
                f"the tokenizer writes {name!r} as token {token}, but the model has embeddings of {known} tokens only: "
                "tokens were added and the embeddings not resized. Resize them (resize_token_embeddings) and save the "
                "model again, or take the tokenizer that belongs to the model"
            )
        return {**features, "input_ids": ids.masked_fill(ids >= known, 0)}


def read_limit(module: Any) -> int | None:
    """Returns how many tokens an input module reads: what it declares, and never more than it has positions for.

    ``None`` for a module that reads all, such as a static one.
    """
    declared = getattr(module, "max_seq_length", None)
    found = [int(declared)] if declared and 0 < declared < NO_LIMIT else []
    return min([*found, *_positions(module)], default=None)


def _positions(module: Any) -> Iterator[int]:
    """Lengths of the tables of learned positions of a text model, without the rows that no token is put on.

    Models of RoBERTa's family put the first token on the row after that of padding, OPT's on row 2.
    """
    import torch

    model = getattr(module, "auto_model", None) or getattr(module, "model", None)
    if not isinstance(model, torch.nn.Module):
        return
    for part in getattr(model, "text_model", model).modules():
        skipped = getattr(part, "padding_idx", None)
        for name in ("position_embeddings", "position_embedding", "wpe", "embed_positions"):
            table = getattr(part, name, None)
            if isinstance(table, torch.nn.Embedding):
                after_padding = skipped + 1 if name == "position_embeddings" and isinstance(skipped, int) else 0
                yield table.num_embeddings - max(after_padding, int(getattr(table, "offset", 0) or 0))


def readable_copy(model: SentenceTransformer, max_tokens: int | None, *, owned: bool) -> SentenceTransformer:
    """Returns a model that cuts texts where it can read them, and whose tokenizer pads them.

    Weights are shared with ``model``, whose own tokenizer is not changed unless it is ``owned``.
    """
    changes = [change for module in input_modules(model) for change in _needed(module, max_tokens)]
    if changes and not owned:
        model = copy.deepcopy(model, _weights_kept(model))
        changes = [change for module in input_modules(model) for change in _needed(module, max_tokens)]
    for change in changes:
        change()
    return model


def _weights_kept(model: SentenceTransformer) -> dict[int, Any]:
    """A memo for ``deepcopy`` with which the copy shares the weights."""
    tensors = [*model.parameters(), *model.buffers()]
    return {id(tensor): tensor for tensor in tensors}


def _needed(module: Any, max_tokens: int | None) -> Iterator[Callable[[], None]]:
    """What must be changed of an input module."""
    limit, declared = read_limit(module), getattr(module, "max_seq_length", None)
    tokenizer = getattr(module, "tokenizer", None)
    if not callable(tokenizer):  # that of a static model, which reads all
        return
    if max_tokens is not None:
        limit = min(max_tokens, limit or max_tokens)
    if limit is not None and limit != declared:
        yield partial(setattr, module, "max_seq_length", limit)
    if getattr(module, "can_flatten_inputs", False):  # with flash attention: batches are made here, by length
        yield partial(setattr, module, "unpad_inputs", False)
    if hasattr(tokenizer, "pad_token") and tokenizer.pad_token is None:
        yield partial(setattr, tokenizer, "pad_token", _spare_token(module, tokenizer))


def _spare_token(module: Any, tokenizer: Any) -> str:
    """A token to pad with: that of the model, which may count positions by it, or any, since padding is masked."""
    pad_id = getattr(getattr(getattr(module, "auto_model", None), "config", None), "pad_token_id", None)
    if isinstance(pad_id, int) and 0 <= pad_id < len(tokenizer):
        return str(tokenizer.convert_ids_to_tokens(pad_id))
    return str(tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0))


@dataclass(frozen=True)
class TextWindow:
    """Some texts, tokenized.

    Attributes:
        rows: Their places in the list of all texts, shape ``(n,)``.
        features: One batch of all of them.
        lengths: Tokens of each, shape ``(n,)``.
        padded: The side that short texts are padded on; ``None`` if no smaller batches can be cut out of ``features``.
    """

    rows: NDArray[np.intp]
    features: Features
    lengths: NDArray[np.intp]
    padded: Literal["left", "right"] | None = None


def windows(texts: Sequence[str], read: Callable[[list[str]], Features]) -> Iterator[TextWindow]:
    """Yields all texts, tokenized, in windows of texts of similar length, the longest first.

    Args:
        texts: The texts.
        read: The model's ``preprocess`` for one role.
    """
    characters = np.array([len(text) for text in texts], dtype=np.int64)
    order = np.argsort(-characters, kind="stable")
    start = 0
    while start < len(order):
        size = min(WINDOW, max(1, WINDOW_CHARACTERS // max(1, int(characters[order[start]]))))
        rows = order[start : start + size]
        yield from _read(rows, [texts[row] for row in rows], read)
        start += size


def _read(rows: NDArray[np.intp], texts: list[str], read: Callable[[list[str]], Features]) -> Iterator[TextWindow]:
    """One window, or windows of one text each of a model without a mask, by which padding would be left out."""
    features = dict(read(texts))
    mask, ids = features.get("attention_mask"), features.get("input_ids")
    if mask is not None and ids is not None and mask.shape == ids.shape and len(ids) == len(texts):
        lengths = np.asarray(mask.sum(dim=1), dtype=np.intp)
        yield TextWindow(rows, features, lengths, None if "query_expansion_positions" in features else _side(mask))
    elif "offsets" in features:  # a static model: texts of any length, one after the other
        lengths = np.diff(np.append(np.asarray(features["offsets"]), len(features["input_ids"])))
        yield TextWindow(rows, features, lengths.astype(np.intp))
    elif len(texts) == 1:
        length = ids.shape[-1] if ids is not None else len(texts[0])
        yield TextWindow(rows, features, np.array([length], dtype=np.intp))
    else:
        for place, text in zip(rows, texts, strict=True):
            yield from _read(np.array([place]), [text], read)


def _side(mask: torch.Tensor) -> Literal["left", "right"] | None:
    """The side that texts are padded on; ``None`` if the mask has gaps."""
    if bool(((mask[:, 1:] != mask[:, :-1]).sum(dim=1) > 1).any()):
        return None
    return "left" if mask.shape[1] and bool(((mask[:, 0] == 0) & (mask[:, -1] != 0)).any()) else "right"


def batches(window: TextWindow, budget: TokenBudget, reader: Reader, *, exact: bool) -> Iterator[Batch]:
    """Yields batches of similar length out of a window.

    Lengths are rounded up to a multiple of the budget's, but never above what the model reads.

    Args:
        window: Tokenized texts.
        budget: The largest batch.
        reader: How the model reads them.
        exact: Whether only texts of one length share a batch, since the model's vectors depend on padding.
    """
    if window.padded is None:
        yield window.rows, reader.checked(window.features)
        return
    for group in _equal(window.lengths, budget) if exact else token_batches(window.lengths.tolist(), budget):
        longest = max(1, int(window.lengths[group].max()))
        length = longest if exact else round_up(longest, budget.multiple)
        length = max(longest, min(length, reader.limit or length))
        yield window.rows[group], reader.checked(_cut(window, group, length, reader.pad_id))


def _equal(lengths: NDArray[np.intp], budget: TokenBudget) -> Iterator[NDArray[np.intp]]:
    """Rows of one length each, the longest first."""
    for length in np.unique(lengths)[::-1]:
        group = np.flatnonzero(lengths == length)
        rows = min(budget.rows, max(1, budget.tokens // max(1, int(length))))
        yield from (group[start : start + rows] for start in range(0, len(group), rows))


def _cut(window: TextWindow, rows: NDArray[np.intp], length: int, pad_id: int) -> Features:
    """Some rows of a window, cut or padded to a length."""
    import torch

    mask, picked = window.features["attention_mask"], torch.from_numpy(rows)
    width = mask.shape[1]
    missing = max(0, length - width)
    columns = slice(max(0, width - length), None) if window.padded == "left" else slice(0, length)
    sides = (missing, 0) if window.padded == "left" else (0, missing)

    def cut(name: str, value: torch.Tensor) -> torch.Tensor:
        if value.shape != mask.shape:
            return value[picked] if value.ndim and len(value) == len(mask) else value
        part = value[picked][:, columns]
        part = part if width else part.to(torch.long)  # nothing but empty texts: tokenizers write floats
        return torch.nn.functional.pad(part, sides, value=pad_id if name == "input_ids" else 0)

    found = window.features.items()
    return {name: cut(name, value) if isinstance(value, torch.Tensor) else value for name, value in found}


def ahead(items: Iterator[T]) -> Iterator[T]:
    """Yields the same items, each made in a thread while the one before it is in use."""
    end = object()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="leaf-embed-tokenize") as pool:
        future = pool.submit(next, items, end)
        while (item := future.result()) is not end:
            future = pool.submit(next, items, end)
            yield item  # type: ignore[misc]  # not the end
