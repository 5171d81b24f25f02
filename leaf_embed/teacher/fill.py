"""Filling the cache: from a corpus and a teacher, or from vectors that exist, to rows of the cache."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np

from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import CorpusError, InputError
from leaf_embed.progress import Progress, no_progress
from leaf_embed.space import EmbeddingSpace
from leaf_embed.teacher.cache import Rows, TeacherCache
from leaf_embed.teacher.corpus import Corpus, Counted, evaluation_files
from leaf_embed.teacher.filtering import Exclusion, Without
from leaf_embed.teacher.given_texts import checked_texts
from leaf_embed.teacher.roles import BITS, RoleBits, SeenRoles
from leaf_embed.teacher.stored_vectors import StoredVectors
from leaf_embed.texts import Text

__all__ = ["Gathered", "as_exclusion", "cut_texts", "gather", "readable"]

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
    tokenizer: Any,
    max_tokens: int,
    exclusion: Exclusion | None = None,
    progress: Progress = no_progress,
) -> Gathered:
    """Fills a cache with the teacher's vector of every text, cut to what the student will read.

    Both ``leaf-embed cache`` and :func:`leaf_embed.distill.distill` fill a cache through this function.

    Args:
        cache: The cache to fill.
        texts: What to embed; a ``str`` is a document. Counts in its attributes ``skipped`` and ``__len__`` are used if
            it has them.
        teacher: An encoder, or vectors that exist already, with which ``texts`` may be empty.
        tokenizer: A transformers tokenizer: the student's; ``None`` where nothing is to be cut.
        max_tokens: Texts are cut to this many of its tokens.
        exclusion: Texts to leave out.
        progress: Called with the stages "vectors" and "teacher".

    Returns:
        The cache's rows of the texts, their roles, and for each reason how many texts were left out.

    Raises:
        CorpusError: There is no text, or a file is damaged.
        CacheError: The cache is in use or damaged.
        InputError: The teacher's texts were cut to more tokens than ``max_tokens``, or a prompt leaves no room for a
            text.
    """
    if isinstance(teacher, StoredVectors) and (teacher.cut or 0) > max_tokens:
        raise InputError(
            f"the cached vectors stand for texts of up to {teacher.cut} tokens, of which the student would read "
            f"{max_tokens}; take a student that reads more, or run leaf-embed cache --max-tokens {max_tokens} "
            "--student STUDENT, with the same teacher and corpus, and distil from that"
        )
    if tokenizer is not None:
        _check_prompts(cache.space, tokenizer, max_tokens)
    exclusion = exclusion or Exclusion()
    kept = Without(checked_texts(texts), exclusion, lambda text: text.text)
    given = Counted(kept)
    cut = Counted(cut_texts(given, tokenizer, cache.space, max_tokens))
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


def _check_prompts(space: EmbeddingSpace, tokenizer: Any, max_tokens: int) -> None:
    """Refuses a space of which the student would read nothing but the prompt: it would learn from no text at all."""
    for role, prompt in (("query", space.query_prompt), ("document", space.document_prompt)):
        count = len(tokenizer(prompt)["input_ids"]) if prompt else 0
        if count >= max_tokens:
            raise InputError(
                f"the {role} prompt {prompt!r:.80} takes {count} tokens, and {max_tokens} are read in all: nothing of "
                f"a text would be seen. Set max_tokens above {count} (--set max_tokens=, or cache --max-tokens), "
                "with a student that reads as many"
            )


def cut_texts(texts: Iterable[Text], tokenizer: Any, space: EmbeddingSpace, max_tokens: int) -> Iterator[Text]:
    """Cuts each text to what the student reads of it, so that the teacher's vector stands for the same text.

    The vector of a teacher that reads 512 tokens depends on text that a student of 128 tokens never reads; the student
    would learn the difference as noise.
    """
    iterator = (Text(readable(text.text, max_tokens), text.kind) for text in texts)
    while chunk := list(islice(iterator, 1024)):
        prompts = [space.prompt(text.kind) for text in chunk]
        prompted = [prompt + text.text for prompt, text in zip(prompts, chunk, strict=True)]
        encoded = tokenizer(prompted, truncation=True, max_length=max_tokens, return_offsets_mapping=True)
        for text, prompt, offsets in zip(chunk, prompts, encoded["offset_mapping"], strict=True):
            end = max(stop for _, stop in offsets) - len(prompt)
            cut = text.text[:end] if len(offsets) >= max_tokens else text.text
            if cut.strip():
                yield Text(cut, text.kind)


def readable(text: str, max_tokens: int) -> str:
    """Returns the part of a text that can hold ``max_tokens`` tokens, since a tokenizer is slow on megabytes."""
    return text[: max_tokens * CHARACTERS_PER_TOKEN]
