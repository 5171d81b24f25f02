"""The protocol of a student: all that the pipeline and the training loop know of it.

A new kind of student is a module beside this one with a class that follows :class:`Student`, and its name in
:data:`leaf_embed.distill.students.NAMED`.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

from leaf_embed.distill.config import DistillConfig
from leaf_embed.distill.dataset import TokenizedTexts
from leaf_embed.encoders.base import Encoder
from leaf_embed.encoders.rotation import Rotation
from leaf_embed.encoders.transformer import save_model
from leaf_embed.errors import InputError
from leaf_embed.format import Kind
from leaf_embed.space import EmbeddingSpace
from leaf_embed.teacher.cache import Rows, TeacherCache
from leaf_embed.texts import Text

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

__all__ = ["Features", "Student", "StudentOptions"]

Features: TypeAlias = "dict[str, torch.Tensor]"


@dataclass(frozen=True)
class StudentOptions:
    """The student's side of a distillation: the model or kind to build, and how.

    Attributes:
        source: A model or leaf, its path or its hub id; or the name of a kind, such as ``"static"``.
        layers: Layers to keep; see :func:`leaf_embed.distill.students.backbone.choose_layers`.
        head: Widths of hidden layers between pooling and vector.
        tokenizer: For a student without layers, the model that its tokenizer comes from; the teacher's by default.
        space_of: A leaf whose rotated space the student shares.

    Raises:
        InputError: A width below 1.
    """

    source: str | os.PathLike[str] | SentenceTransformer
    layers: int | Sequence[int] | None = None
    head: Sequence[int] = ()
    tokenizer: str | os.PathLike[str] | SentenceTransformer | None = None
    space_of: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if any(width < 1 for width in self.head):
            raise InputError(f"head is a list of widths from 1 on; got {list(self.head)}")

    def to_dict(self) -> dict[str, Any]:
        """Returns the student's part of the ``recipe`` in ``leaf.json``."""
        source = self.source
        name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else type(source).__name__
        layers = self.layers if self.layers is None or isinstance(self.layers, int) else list(self.layers)
        return {"student": name, "layers": layers}


class Student(Protocol):
    """A small model that learns a teacher's vectors.

    Attributes:
        kind: Kind stored in ``leaf.json``; selects the query encoder.
        needs_graph: Whether queries are answered by an ONNX graph, which then is exported.
        pads: Whether :meth:`batch` pads texts to one length, so that texts of similar length are batched together.
        model: What is trained and saved, as sentence-transformers modules; in evaluation mode, so that dropout is off.
        tokenizer: A transformers tokenizer of the tokens that it reads.
        max_tokens: Number of tokens after which it stops reading.
        rotation: The rotation of the leaf that it starts from, which its space keeps; ``None`` without one.
    """

    kind: ClassVar[Kind]
    needs_graph: ClassVar[bool]
    pads: ClassVar[bool]
    model: SentenceTransformer
    tokenizer: Any
    max_tokens: int
    rotation: Rotation | None = None

    @classmethod
    @abstractmethod
    def build(cls, options: StudentOptions, teacher: Encoder, space: EmbeddingSpace, config: DistillConfig) -> Student:
        """Returns a student that is not started yet.

        Args:
            options: What to build it from.
            teacher: Its teacher.
            space: The teacher's own space, not rotated.
            config: The recipe.

        Raises:
            InputError: An option that this kind does not have, or a model that cannot be used.
        """

    @staticmethod
    def recipe() -> DistillConfig:
        """Returns the recipe that is used if none is named."""
        return DistillConfig.paper()

    def start_texts(self) -> list[Text]:
        """Returns texts beside the corpus whose teacher vectors :meth:`start` looks up in the cache."""
        return []

    @abstractmethod
    def tokenize(self, cache: TeacherCache, rows: Rows, max_tokens: int) -> TokenizedTexts:
        """Returns the texts of some cache rows as the student reads them, prompts included."""

    @abstractmethod
    def start(self, learned: TokenizedTexts) -> None:
        """Sets the weights to begin with, from the texts to learn from and their teacher vectors."""

    @abstractmethod
    def batch(self, texts: TokenizedTexts, places: Rows) -> Features:
        """Returns the inputs of :meth:`vectors` for the texts at some places, on the model's device."""

    @abstractmethod
    def vectors(self, features: Features) -> torch.Tensor:
        """Returns the vectors of a batch, shape ``(n, dim)``, float32, with gradients."""

    @abstractmethod
    def tables(self) -> list[Any]:
        """Returns the modules that hold one row per token; a step updates the rows of the batch's tokens alone."""

    def save(self, folder: Path) -> None:
        """Writes the model as a sentence-transformers directory."""
        save_model(self.model, folder)
