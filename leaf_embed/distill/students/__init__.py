"""The kinds of student, and the one that a name or a model asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leaf_embed.distill.students.base import Student
from leaf_embed.distill.students.static import StaticStudent
from leaf_embed.distill.students.transformer import TransformerStudent

__all__ = ["NAMED", "student_class"]

NAMED: Mapping[str, type[Student]] = {"static": StaticStudent}
"""Kinds that are asked for by name; a model, its path or its hub id asks for a :class:`TransformerStudent`."""


def student_class(source: Any) -> type[Student]:
    """Returns the kind of student that ``student=`` of :func:`leaf_embed.distill.distill` asks for."""
    return NAMED.get(source, TransformerStudent) if isinstance(source, str) else TransformerStudent
