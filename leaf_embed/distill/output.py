"""The output of a distillation: a leaf directory, written whole or not at all, and a folder that survives a crash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from leaf_embed._files import replacing_directory
from leaf_embed.distill.students.base import Student
from leaf_embed.encoders.rotation import Rotation
from leaf_embed.errors import InputError
from leaf_embed.export.card import write_card
from leaf_embed.export.onnx import Parity, export, write_record
from leaf_embed.format import LeafInfo, write_leaf
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
    """

    target: Path
    export_graphs: bool = True

    def __post_init__(self) -> None:
        if self.target.exists():
            raise InputError(f"{self.target} exists already; choose another --output, or move it away")

    @property
    def work(self) -> Path:
        """The folder beside the leaf that keeps what an interrupted distillation goes on from."""
        return self.target.with_name(self.target.name + ".work")

    def write(
        self, student: Student, info: LeafInfo, rotation: Rotation | None, sample: Sequence[Text], progress: Progress
    ) -> dict[str, Parity]:
        """Writes the leaf.

        Args:
            student: The trained student, rotated if its space is.
            info: Content of ``leaf.json``.
            rotation: The rotation of its space.
            sample: Texts to compare the graphs with the model on.
            progress: Called with the stage "export".

        Returns:
            The comparison of each graph; empty if none was exported.

        Raises:
            ParityError: A graph differs from the model.
        """
        parity: dict[str, Parity] = {}
        with replacing_directory(self.target) as folder:
            student.save(folder)
            write_leaf(folder, info)
            if rotation is not None:
                rotation.save(folder)
            if self.export_graphs and student.needs_graph:
                progress("export", 0, None, "")
                parity = export(folder, sample)
                progress("export", 1, 1, "")
            else:
                write_record(folder)
            write_card(folder)
        return parity
