"""The output of a distillation: a leaf directory, published before its export, and a folder that survives a crash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from leaf_embed._files import check_writable, replacing_directory
from leaf_embed.distill.students.base import Student
from leaf_embed.encoders.rotation import Rotation
from leaf_embed.errors import ExportError, InputError
from leaf_embed.export.card import write_card
from leaf_embed.export.onnx import Parity, export, write_measured
from leaf_embed.format import GRAPHS, LEAF_FILE, LeafInfo, read_leaf, write_leaf
from leaf_embed.progress import Progress
from leaf_embed.texts import Text

__all__ = ["Output"]


@dataclass(frozen=True)
class Output:
    """The directory to write, and whether ONNX graphs belong in it.

    Attributes:
        target: The leaf directory.
        export_graphs: Whether to export ONNX graphs for a student that needs them.

    Raises:
        InputError: ``target`` exists.
        StorageError: It could not be written.
    """

    target: Path
    export_graphs: bool = True

    def __post_init__(self) -> None:
        if (self.target / LEAF_FILE).is_file() and read_leaf(self.target).needs_graph and not self._has_graphs:
            raise InputError(
                f"{self.target} is a leaf that was trained and not exported; make its graphs with: leaf-embed export "
                f"{self.target}. To train another, choose another --output"
            )
        if self.target.exists():
            raise InputError(f"{self.target} exists already; choose another --output, or move it away")
        check_writable(self.target)

    @property
    def work(self) -> Path:
        """The folder beside the leaf that keeps what an interrupted distillation goes on from."""
        return self.target.with_name(self.target.name + ".work")

    @property
    def _has_graphs(self) -> bool:
        return any((self.target / graph).is_file() for graph in GRAPHS.values())

    def publish(self, student: Student, info: LeafInfo, rotation: Rotation | None) -> None:
        """Writes the leaf as torch loads it, whole or not at all.

        Args:
            student: The trained student, rotated if its space is.
            info: Content of ``leaf.json``.
            rotation: The rotation of its space.
        """
        with replacing_directory(self.target) as folder:
            student.save(folder)
            write_leaf(folder, info)
            if rotation is not None:
                rotation.save(folder)
            write_measured(folder)
            write_card(folder)

    def export(self, student: Student, sample: Sequence[Text], progress: Progress) -> dict[str, Parity]:
        """Adds the graphs to a leaf that was published; without them it stays as it is.

        Args:
            student: The trained student.
            sample: Texts to compare the graphs with the model on.
            progress: Called with the stage "export".

        Returns:
            The comparison of each graph; empty if none was exported.

        Raises:
            ExportError: The export failed. The leaf stays, and can be exported again.
            ParityError: A graph differs from the model; the same holds.
        """
        if not (self.export_graphs and student.needs_graph):
            return {}
        progress("export", 0, None, "")
        try:
            parity = export(self.target, sample)
            write_card(self.target)
        except Exception as error:
            kind = type(error) if isinstance(error, ExportError) else ExportError
            raise kind(
                f"the leaf is trained and whole in {self.target}, where leaf_embed.load(..., variant='torch') reads "
                f"it; only its export failed: {error}\nExport it again with: leaf-embed export {self.target}"
            ) from error
        progress("export", 1, 1, "")
        return parity
