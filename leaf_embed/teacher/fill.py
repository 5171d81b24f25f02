"""Filling the cache: from a corpus and a teacher, or from vectors that exist, to rows of the cache."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np

from leaf_embed.encoders.api import cut_to_tokens
from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import CacheError, CorpusError
from leaf_embed.progress import Progress, no_progress
from leaf_embed.space import EmbeddingSpace
from leaf_embed.teacher.cache import Rows, TeacherCache
from leaf_embed.teacher.corpus import Corpus, Counted, evaluation_files
from leaf_embed.teacher.filled import FilledCache
from leaf_embed.teacher.filtering import Exclusion, Without
from leaf_embed.teacher.given_texts import checked_texts
from leaf_embed.teacher.roles import BITS, RoleBits, SeenRoles
from leaf_embed.teacher.stored_vectors import StoredVectors
from leaf_embed.texts import Text

__all__ = ["Gathered", "as_exclusion", "cut_texts", "gather", "readable", "teacher_tokenizer"]

CHARACTERS_PER_TOKEN = 512  # far above any real text

SAME_TEXT = "the same text again"
EMPTY_TEXT = "empty text"
EXCLUDED = "excluded"


def as_exclusion(exclude: Sequence[str | os.PathLike[str]] | Exclusion) -> Exclusion:
    """Returns what to exclude: the texts of files, with their titles and without, since training on either leaks.

    Of a directory in BEIR layout these are its corpus and its queries, see :func:`evaluation_files`.
    """
    if isinstance(exclude, Exclusion):
        return exclude
    files = evaluation_files(exclude)
    return Exclusion(chain(Corpus(files), Corpus(files, titles=False)) if files else ())


class Gathered(NamedTuple):
    """What was gathered into a cache to learn from.

    Attributes:
        rows: The cache's row of each distinct text, shape ``(n,)``.
        roles: The roles in which it came, shape ``(n,)``; see :mod:`leaf_embed.teacher.roles`.
        skipped: Number of texts that were left out, by reason. A text that comes again in its other role is not.
    """

    rows: Rows
    roles: RoleBits
    skipped: dict[str, int]


def gather(
    cache: TeacherCache,
    texts: Iterable[Text],
    teacher: Encoder,
    max_tokens: int,
    exclusion: Exclusion | None = None,
    progress: Progress = no_progress,
) -> Gathered:
    """Fills a cache with the teacher's vector of every text, cut to what the teacher is to read of it.

    Both ``leaf-embed cache`` and :func:`leaf_embed.distill.distill` fill a cache through this function. How a text is
    cut does not depend on the student, so that a vector that was computed or paid for serves every student.

    Args:
        cache: The cache to fill.
        texts: What to embed; a ``str`` is a document. Counts in its attributes ``skipped`` and ``__len__`` are used if
            it has them. Those of a :class:`~leaf_embed.teacher.filled.FilledCache` are not cut again.
        teacher: An encoder, or vectors that exist already, with which ``texts`` may be empty.
        max_tokens: Texts are cut to this many of the teacher's tokens; see :func:`cut_texts`.
        exclusion: Texts to leave out.
        progress: Called with the stages "vectors" and "teacher".

    Returns:
        The cache's rows of the texts, their roles, and for each reason how many texts were left out.

    Raises:
        CorpusError: There is no text, or a file is damaged.
        CacheError: The cache is in use or damaged, or an earlier release filled it with texts that are cut otherwise.
    """
    exclusion = exclusion or Exclusion()
    kept = Without(checked_texts(texts), exclusion, lambda text: text.text)
    given = Counted(kept)
    whole_already = isinstance(texts, FilledCache)
    cut = Counted(given if whole_already else _cut_for(cache, given, teacher, max_tokens))
    total = len(texts) if isinstance(texts, Sized) else None
    skipped: Counter[str] = Counter()
    rows: Rows = np.empty(0, dtype=np.int64)
    seen = SeenRoles()
    read = 0
    if isinstance(teacher, StoredVectors):
        chosen = Without(teacher, exclusion, lambda pair: pair[0].text)
        pairs = Counted(chosen)
        whole = teacher.total
        rows = cache.fill_pairs(pairs, lambda stage, seen, _, note: progress(stage, seen, whole, note), seen)
        read += pairs.count
        skipped += teacher.skipped + Counter({EXCLUDED: chosen.count})
    asked = cache.fill(cut, teacher, lambda stage, seen, _, note: progress(stage, seen, total, note), seen)
    read += cut.count
    skipped += Counter(getattr(texts, "skipped", {}))
    rows = np.concatenate([rows, asked[~np.isin(asked, rows)]])
    roles = seen.of(rows)
    distinct = len(rows) + int((roles == sum(BITS.values())).sum())
    skipped += Counter({EMPTY_TEXT: given.count - cut.count, SAME_TEXT: read - distinct, EXCLUDED: kept.count})
    if not len(rows):
        left_out = "".join(f"; {count} left out: {reason}" for reason, count in skipped.items())
        raise CorpusError(f"the corpus holds no text; expected at least one that is not empty{left_out}")
    return Gathered(rows, roles, dict(skipped))


def _cut_for(cache: TeacherCache, texts: Iterable[Text], teacher: Encoder, max_tokens: int) -> Iterator[Text]:
    """Cuts texts; a cache in which they may lie cut otherwise is refused, before they are embedded again in silence."""
    for text, whole in cut_texts(texts, teacher_tokenizer(teacher), cache.space, max_tokens):
        if cache.version == 1 and not whole and text not in cache:
            raise CacheError(
                f"the cache {cache.path} was filled by an earlier release, which cut long texts as one student read "
                "them. This release cuts them as the teacher reads them, and would embed them again. Learn from the "
                "cache as it is (leaf-embed distill --cache, without --corpus), or fill another directory"
            )
        yield text


def teacher_tokenizer(teacher: Encoder) -> Any:
    """Returns the tokenizer that a teacher's texts are cut with, ``None`` if there is none at hand, as for an API."""
    encoder = teacher.encoder if isinstance(teacher, StoredVectors) else teacher
    found = getattr(getattr(encoder, "model", None), "tokenizer", None)
    return found if callable(found) and getattr(found, "is_fast", False) else None


def cut_texts(
    texts: Iterable[Text], tokenizer: Any, space: EmbeddingSpace, max_tokens: int
) -> Iterator[tuple[Text, bool]]:
    """Cuts each text to what the teacher is to read of it, and says of each whether it is whole.

    That is ``max_tokens`` tokens, prompt and special tokens included, or as many as the teacher reads if these are
    fewer; without a tokenizer four bytes of UTF-8 count as a token. The student may cut otherwise: it learns from the
    texts that it reads whole, see :mod:`leaf_embed.distill.reading`.

    Yields:
        The texts that are not blank.
    """
    limit = min(max_tokens, space.max_tokens or max_tokens)
    while chunk := list(islice(texts := iter(texts), 1024)):
        prompts = [space.prompt(text.kind) for text in chunk]
        for text, end in zip(chunk, _ends(chunk, prompts, tokenizer, limit), strict=True):
            if text.text[:end].strip():
                yield Text(text.text[:end], text.kind), end >= len(text.text)


def _ends(texts: Sequence[Text], prompts: Sequence[str], tokenizer: Any, limit: int) -> list[int]:
    """The number of characters that are read of each text."""
    if tokenizer is None:
        return [
            len(cut_to_tokens(prompt + text.text, limit)) - len(prompt)
            for text, prompt in zip(texts, prompts, strict=True)
        ]
    prompted = [prompt + readable(text.text, limit) for text, prompt in zip(texts, prompts, strict=True)]
    encoded = tokenizer(prompted, truncation=True, max_length=limit, return_offsets_mapping=True)
    return [
        max(0, max(stop for _, stop in offsets) - len(prompt)) if len(offsets) >= limit else len(text) - len(prompt)
        for text, prompt, offsets in zip(prompted, prompts, encoded["offset_mapping"], strict=True)
    ]


def readable(text: str, max_tokens: int) -> str:
    """Returns the part of a text that can hold ``max_tokens`` tokens, since a tokenizer is slow on megabytes."""
    return text[: max_tokens * CHARACTERS_PER_TOKEN]
