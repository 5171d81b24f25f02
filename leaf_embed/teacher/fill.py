"""What a student learns from: texts with their teacher vectors in the cache, less what is kept out or held out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence, Sized
from itertools import chain
from typing import Any

import numpy as np

from leaf_embed.distill.config import DistillConfig
from leaf_embed.distill.dataset import TokenizedTexts, cut_texts
from leaf_embed.distill.students.base import Progress, StudentPlan
from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import CorpusError
from leaf_embed.teacher.cache import Rows, TeacherCache
from leaf_embed.teacher.corpus import Corpus, Counted
from leaf_embed.teacher.filtering import Exclusion, Without, weigh_roles
from leaf_embed.teacher.stored_vectors import StoredVectors
from leaf_embed.texts import Text

__all__ = ["as_exclusion", "as_texts", "gather", "sample", "split"]

MAX_HELD_OUT = 1000
PARITY_TEXTS = 384
SAME_TEXT = "the same text again"
EMPTY_TEXT = "empty text"
EXCLUDED = "excluded"


def as_texts(corpus: Any) -> Iterable[Text]:
    """Texts as they are; paths as a corpus; nothing as no texts."""
    if corpus is None:
        return ()
    if isinstance(corpus, (str, os.PathLike)):
        return Corpus([corpus])
    if isinstance(corpus, Sequence) and all(isinstance(item, (str, os.PathLike)) for item in corpus):
        return Corpus(corpus)
    texts: Iterable[Text] = corpus
    return texts


def as_exclusion(exclude: Sequence[str | os.PathLike[str]] | Exclusion) -> Exclusion:
    """Texts of files with their titles and without: either would give an evaluation set away."""
    if isinstance(exclude, Exclusion):
        return exclude
    return Exclusion(chain(Corpus(exclude), Corpus(exclude, titles=False)) if exclude else ())


def gather(
    cache: TeacherCache,
    texts: Iterable[Text],
    teacher: Encoder,
    plan: StudentPlan,
    config: DistillConfig,
    exclusion: Exclusion,
    tell: Progress,
) -> tuple[Rows, dict[str, int]]:
    """Have the teacher's vector of every text, cut to what the student will read; and what was left out, and why."""
    limit = min(config.max_tokens, plan.max_tokens)
    kept = Without(texts, exclusion, lambda text: text.text)
    given = Counted(kept)
    cut = Counted(cut_texts(given, plan.tokenizer, cache.space, limit))
    total = len(texts) if isinstance(texts, Sized) else None
    skipped: Counter[str] = Counter()
    rows: Rows = np.empty(0, dtype=np.int64)
    if isinstance(teacher, StoredVectors):
        chosen = Without(teacher, exclusion, lambda pair: pair[0].text)
        pairs = Counted(chosen)
        whole = teacher.total
        rows = cache.fill_pairs(pairs, lambda seen, new: tell("vectors", seen, whole, f"{new} taken over, rest known"))
        skipped += teacher.skipped + Counter({SAME_TEXT: pairs.count - len(rows), EXCLUDED: chosen.count})
    asked = cache.fill(cut, teacher, lambda seen, new: tell("teacher", seen, total, f"{new} embedded, rest known"))
    skipped += Counter(getattr(texts, "skipped", {}))
    skipped += Counter({EMPTY_TEXT: given.count - cut.count, SAME_TEXT: cut.count - len(asked), EXCLUDED: kept.count})
    rows = np.concatenate([rows, asked[~np.isin(asked, rows)]])
    if not len(rows):
        left_out = "".join(f"; {count} left out: {reason}" for reason, count in skipped.items())
        raise CorpusError(f"the corpus holds no text; expected at least one that is not empty{left_out}")
    return rows, dict(skipped)


def split(
    rows: Rows, cache: TeacherCache, plan: StudentPlan, config: DistillConfig
) -> tuple[TokenizedTexts, TokenizedTexts]:
    """Texts to learn from, and texts held out to measure on: of queries alone if the recipe is for queries alone."""
    shuffled = np.random.default_rng(config.seed).permutation(rows)
    held = min(MAX_HELD_OUT, int(len(rows) * config.holdout))
    limit = min(config.max_tokens, plan.max_tokens)
    learned, held_out = np.sort(shuffled[held:]), np.sort(shuffled[:held])
    if config.query_share is not None:
        learned = learned[weigh_roles(cache.are_queries(learned), config.query_share, config.seed)]
    if config.query_share == 1:
        held_out = held_out[cache.are_queries(held_out)]
    return plan.tokenize(cache, learned, limit), plan.tokenize(cache, held_out, limit)


def sample(texts: TokenizedTexts) -> list[Text]:
    """Some of the texts, for the export's proof."""
    return texts.cache.texts(np.random.default_rng(0).permutation(texts.rows)[:PARITY_TEXTS])
