"""Truncation parity: a student learns from the texts of which it reads all that the teacher has read.

Texts are cut once, by the teacher's tokens and for every student alike (:func:`leaf_embed.teacher.fill.cut_texts`). A
student that counts other tokens, or reads fewer, would learn from a target that depends on text that it never sees;
such texts are left out, and counted. Vectors that came with whole texts are the exception: there is nothing
else to learn from.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from leaf_embed.distill.students.base import Student
from leaf_embed.encoders.base import Encoder
from leaf_embed.errors import InputError
from leaf_embed.space import EmbeddingSpace
from leaf_embed.teacher.cache import Rows, TeacherCache
from leaf_embed.teacher.fill import Gathered, teacher_tokenizer
from leaf_embed.teacher.stored_vectors import StoredVectors

__all__ = ["leave_out_longer"]

LONGER = "longer than the student reads"
LEAST = 0.5  # share of the texts below which nothing is learned


def leave_out_longer(
    found: Gathered, cache: TeacherCache, teacher: Encoder, student: Student, max_tokens: int, cut: int
) -> Gathered:
    """Leaves out the texts that the student does not read whole.

    Args:
        found: What was gathered.
        cache: Where it lies.
        teacher: The teacher; texts with vectors that were never cut stay.
        student: The student.
        max_tokens: Number of tokens that it reads.
        cut: Number of the teacher's tokens to which the texts were cut.

    Raises:
        InputError: Less than half of the texts would remain, or a prompt leaves no room for a text.
    """
    _check_prompts(cache.space, student.tokenizer, max_tokens)
    if isinstance(teacher, StoredVectors):
        if teacher.cut is None:
            return found
        cut = teacher.cut
    if cut <= max_tokens and _same_tokens(teacher_tokenizer(teacher), student.tokenizer):
        return found
    keep = _reads_whole(found.rows, cache, student, max_tokens)
    longer = int((~keep).sum())
    if len(keep) - longer < LEAST * len(keep):
        raise InputError(
            f"{longer} of {len(keep)} texts have more than the {max_tokens} tokens that the student reads, and the "
            "teacher's vectors stand for all of them. Let the student read more (max_tokens of the recipe, up to what "
            f"its model reads), or have texts cut to {max_tokens} of the teacher's tokens or fewer: --max-tokens of "
            "leaf-embed cache, or teacher_tokens of the recipe; long texts are then embedded again"
        )
    skipped = found.skipped | ({LONGER: longer} if longer else {})
    return Gathered(found.rows[keep], found.roles[keep], skipped)


def _check_prompts(space: EmbeddingSpace, tokenizer: Any, max_tokens: int) -> None:
    """Refuses a space of which the student would read nothing but the prompt: it would learn from no text at all."""
    for role, prompt in (("query", space.query_prompt), ("document", space.document_prompt)):
        count = len(tokenizer(prompt)["input_ids"]) if prompt else 0
        if count >= max_tokens:
            raise InputError(
                f"the {role} prompt {prompt!r:.80} takes {count} tokens, and {max_tokens} are read in all: nothing of "
                f"a text would be seen. Set max_tokens above {count} (--set max_tokens=), with a student that reads as "
                "many"
            )


def _same_tokens(one: Any, other: Any) -> bool:
    if not hasattr(one, "get_vocab") or not hasattr(other, "get_vocab"):
        return False
    return bool(one.get_vocab() == other.get_vocab())


def _reads_whole(rows: Rows, cache: TeacherCache, student: Student, max_tokens: int) -> NDArray[np.bool_]:
    """Whether each text has no more tokens than the student reads, shape ``(n,)``."""
    keep = np.ones(len(rows), dtype=np.bool_)
    for start in range(0, len(rows), 8192):
        lengths = student.tokenize(cache, rows[start : start + 8192], max_tokens + 1).lengths()
        keep[start : start + 8192] = lengths <= max_tokens
    return keep
