"""The output of a distillation: a leaf directory, and beside it a folder that survives a crash.

The trained leaf appears first, whole; its graphs follow. What can go wrong with an export never costs the training.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from leaf_embed._files import check_writable, replacing_directory, writing
from leaf_embed.distill.students.base import Student
from leaf_embed.encoders.rotation import Rotation
from leaf_embed.encoders.torch_models import Loading, load_model, save_model
from leaf_embed.errors import InputError, LeafEmbedError
from leaf_embed.export.card import write_card
from leaf_embed.export.onnx import Parity, export, write_record
from leaf_embed.format import LEAF_FILE, LeafInfo, read_leaf, write_leaf
from leaf_embed.progress import Progress
from leaf_embed.texts import Text
from leaf_embed.vectors import FloatArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["Output", "require_reloadable"]

SAME = 0.01  # share of the largest value by which a saved and loaded model may differ from itself
PROBE = ["one text", "another text, and a longer one: it goes on for some words more than the first"]


@dataclass(frozen=True)
class Output:
    """The directory to write, and whether ONNX graphs belong in it.

    Attributes:
        target: The leaf directory.
        export_graphs: Whether to export ONNX graphs for a student that needs them.

    Raises:
        InputError: ``target`` exists.
        StorageError: It could not be made.
    """

    target: Path
    export_graphs: bool = True

    def __post_init__(self) -> None:
        if (self.target / LEAF_FILE).is_file() and _lacks_graphs(self.target):
            raise InputError(
                f"{self.target} is a leaf that was trained and not exported; make its graphs with: "
                f"leaf-embed export {self.target}"
            )
        if self.target.exists():
            raise InputError(f"{self.target} exists already; choose another --output, or move it away")
        check_writable(self.target)

    @property
    def work(self) -> Path:
        """The folder beside the leaf that keeps what an interrupted distillation goes on from."""
        return self.target.with_name(self.target.name + ".work")

    def publish(self, student: Student, info: LeafInfo, rotation: Rotation | None) -> None:
        """Writes the trained leaf, without graphs.

        Args:
            student: The trained student, rotated if its space is.
            info: Content of ``leaf.json``.
            rotation: The rotation of its space.

        Raises:
            StorageError: It could not be written; nothing was.
        """
        with replacing_directory(self.target) as folder:
            student.save(folder)
            write_leaf(folder, info)
            if rotation is not None:
                rotation.save(folder)
            write_record(folder)
            write_card(folder)

    def export(self, student: Student, sample: Sequence[Text], progress: Progress) -> dict[str, Parity]:
        """Adds the graphs to the leaf.

        Args:
            student: The student that was published.
            sample: Texts to compare the graphs with it on.
            progress: Called with the stage "export".

        Returns:
            The comparison of each graph; empty if none was exported.

        Raises:
            ExportError: A graph could not be made, or differs from the model. The leaf stays, without graphs.
            StorageError: There is no room for them. The leaf stays, without graphs.
        """
        if not (self.export_graphs and student.needs_graph):
            return {}
        progress("export", 0, None, "")
        try:
            parity = export(self.target, sample, trained=student.model)
        except LeafEmbedError as error:
            raise type(error)(
                f"{error} The trained leaf is whole in {self.target}, where variant='torch' runs it. Make its graphs "
                f"with: leaf-embed export {self.target}"
            ) from error
        write_card(self.target)
        progress("export", 1, 1, "")
        return parity


def _lacks_graphs(leaf: Path) -> bool:
    return read_leaf(leaf).needs_graph and not any((leaf / "onnx").glob("*.onnx"))


def require_reloadable(model: SentenceTransformer, work: Path) -> None:
    """Refuses a model that computes other vectors after it was saved and loaded, before it is trained.

    Architectures that treat layers by their numbers do if the lowest is left out: layer 0 of ModernBERT has no norm
    before its attention, so the norm of the layer that takes its place is not read again.

    Args:
        model: The student.
        work: Directory to write it into, for the moment.

    Raises:
        InputError: It computes other vectors.
    """
    folder = work / "probe"
    try:
        with writing(folder):
            save_model(model, folder)
        loaded, _ = load_model(folder, "cpu", Loading())
        before, again = (_outputs(one) for one in (model, loaded))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    apart = float(np.abs(before - again).max() / max(np.abs(before).max(), 1e-12))
    if not apart <= SAME:
        raise InputError(
            f"this student computes other vectors once it was saved and loaded ({apart:.0%} apart): its architecture "
            "treats layers by their numbers, and those that are kept get others. Keep its lowest layers, as in "
            "--layers 0,1,2, or take a --student of another architecture"
        )


def _outputs(model: SentenceTransformer) -> FloatArray:
    """The first module's vectors of the probe, one text at a time: a head that is not started yet returns zeros."""
    import torch

    rows = []
    with torch.inference_mode():
        for text in PROBE:
            features = model.preprocess([text])
            features = {name: value.to(model.device) for name, value in features.items() if torch.is_tensor(value)}
            found = model[0](features)
            rows.append(found.get("token_embeddings", found.get("sentence_embedding")).float().cpu().numpy().ravel())
    return np.concatenate(rows)
