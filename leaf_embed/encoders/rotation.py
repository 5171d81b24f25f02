"""Rotations of a space, which make the vectors of any teacher truncatable and change no cosine between whole ones.

The axes are the eigenvectors of the teacher's second moment, so the first dimensions hold most of every vector, as in
a space trained for truncation (Matryoshka, arXiv 2205.13147). The leaf's last layer has the rotation inside; the
teacher's vectors are rotated after encoding.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from leaf_embed import vectors
from leaf_embed._files import replacing_file
from leaf_embed.canaries import Canaries
from leaf_embed.encoders.base import BaseEncoder, Encoder, precision_of, threads_of
from leaf_embed.encoders.checks import check_kind, check_whole
from leaf_embed.errors import NotALeafError, SpaceMismatchError, VectorError
from leaf_embed.space import EmbeddingSpace
from leaf_embed.texts import Role
from leaf_embed.vectors import FloatArray

__all__ = ["ROTATION_FILE", "RotatedEncoder", "Rotation"]

ROTATION_FILE = "rotation.npy"


@dataclass(frozen=True, eq=False)
class Rotation:
    """An orthogonal matrix between a teacher's own space and the rotated one.

    Attributes:
        matrix: Shape ``(dim, dim)``, float32; its columns are the new axes, by descending share of the norm.

    Raises:
        VectorError: Not orthogonal, or not square.
    """

    matrix: FloatArray

    def __post_init__(self) -> None:
        try:
            matrix = np.ascontiguousarray(self.matrix, dtype="<f4")
        except (TypeError, ValueError) as error:
            raise VectorError(f"a rotation is a matrix of numbers; got {self.matrix!r:.80}") from error
        vectors.rotate(matrix[:1], matrix)  # checks shape and orthogonality
        object.__setattr__(self, "matrix", matrix)

    @property
    def digest(self) -> str:
        """``sha256:...`` of the matrix, as a space names it."""
        return "sha256:" + hashlib.sha256(self.matrix.tobytes()).hexdigest()

    def apply(self, rows: FloatArray) -> FloatArray:
        """Rotates vectors of the teacher's own space, shape ``(..., dim)``; norms and cosines stay the same."""
        rotated: FloatArray = np.asarray(rows, dtype=np.float32) @ self.matrix
        return rotated

    def rotated(self, space: EmbeddingSpace) -> EmbeddingSpace:
        """Returns the rotated space of a teacher's own space, canaries included."""
        if space.rotation is not None:
            raise SpaceMismatchError(f"the space {space.describe()} is rotated already; rotate the teacher's own")
        canaries = space.canaries and Canaries(space.canaries.texts, self.apply(space.canaries.vectors))
        return replace(space, rotation=self.digest, canaries=canaries)

    def plain(self, space: EmbeddingSpace) -> EmbeddingSpace:
        """Returns the teacher's own space of a rotated one; without canaries if truncation has shortened those."""
        self._require(space)
        if space.dim < len(self.matrix):
            return replace(space, dim=len(self.matrix), rotation=None, canaries=None)
        canaries = space.canaries and Canaries(space.canaries.texts, space.canaries.vectors @ self.matrix.T)
        return replace(space, rotation=None, canaries=canaries)

    def _require(self, space: EmbeddingSpace) -> None:
        if space.rotation != self.digest:
            raise SpaceMismatchError(
                f"the space {space.describe()} was made with the rotation {space.rotation}, but this one is "
                f"{self.digest}; use the {ROTATION_FILE} of the leaf that belongs to this space"
            )

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Writes the matrix into a leaf directory."""
        with replacing_file(Path(directory) / ROTATION_FILE) as temporary, temporary.open("wb") as stream:
            np.save(stream, self.matrix)

    @classmethod
    def load(cls, directory: str | os.PathLike[str], space: EmbeddingSpace) -> Rotation | None:
        """Reads the rotation of a leaf directory's space; ``None`` if the space is not rotated.

        Raises:
            NotALeafError: The file is missing or damaged.
            SpaceMismatchError: It is another rotation than the space names.
        """
        if space.rotation is None:
            return None
        file = Path(directory) / ROTATION_FILE
        try:
            found = cls(np.load(file, allow_pickle=False))
        except (OSError, ValueError) as error:
            raise NotALeafError(
                f"the leaf's space is rotated, but {file} cannot be read ({error}); fetch the leaf again"
            ) from error
        found._require(space)
        return found


class RotatedEncoder(BaseEncoder):
    """A teacher whose vectors are rotated after encoding, and truncated if the leaf's space is."""

    def __init__(self, encoder: Encoder, rotation: Rotation, dim: int | None = None) -> None:
        """Wrap an encoder.

        Args:
            encoder: An encoder of a space that is not rotated.
            rotation: The rotation of its vectors.
            dim: Dimensions to keep, renormalised; ``None`` keeps all.
        """
        check_kind("the encoder", encoder, Encoder)
        check_kind("rotation", rotation, Rotation)
        check_whole("dim", dim, optional=True)
        self._encoder = encoder
        self._rotation = rotation
        self._space = rotation.rotated(encoder.space)
        self._short = dim is not None and dim < self._space.dim
        if dim is not None and self._short:
            known = self._space.canaries
            canaries = known and known.truncated(dim)
            self._space = replace(self._space, dim=dim, canaries=canaries)

    @property
    def space(self) -> EmbeddingSpace:
        return self._space

    @property
    def precision(self) -> str | None:
        """What the encoder computes in, if it says so."""
        return precision_of(self._encoder)

    @property
    def threads(self) -> int | None:
        """The threads that the encoder computes one text with, if it says so."""
        return threads_of(self._encoder)

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        encode = self._encoder.encode_query if role == "query" else self._encoder.encode_document
        rotated = self._rotation.apply(encode(texts))
        return vectors.truncate(rotated, self.dim) if self._short else rotated
