"""Export: a leaf's graphs, proven against its model, and the files by which other libraries read it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from leaf_embed._extras import require
from leaf_embed._files import replacing_directory, write_json
from leaf_embed.distill.corpus import Text
from leaf_embed.distill.graph import quiet_exporters, write_graph
from leaf_embed.distill.parity import FLOORS, Floor, Parity, compare, require_floor, role_vectors
from leaf_embed.distill.portable import write_tokenizer_files
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.errors import InputError
from leaf_embed.format import GRAPHS, PARITY_FILE, read_leaf

__all__ = ["Floor", "Parity", "export"]


def export(
    directory: str | os.PathLike[str], texts: Sequence[Text], *, floors: Mapping[str, Floor] = FLOORS
) -> dict[str, Parity]:
    """Write ``onnx/model.onnx``, ``onnx/model_quantized.onnx`` and ``parity.json`` into a leaf directory.

    Pooling, Dense and normalisation are inside the graphs: a runtime that reads nothing else cannot give a vector in
    the wrong space, the field's most frequent silent error. The int8 graph is quantised per channel; per tensor it
    lost 3 to 5 hundredths of cosine on MiniLM (examples/LOG.md).

    Args:
        directory: A leaf directory from :func:`leaf_embed.distill.distill`.
        texts: Real texts to compare on, queries and documents, some hundred.
        floors: The least parity of the graphs ``"float32"`` and ``"int8"``.

    Returns:
        The parity of each graph by its variant's name.

    Raises:
        NotALeafError: No leaf there.
        InputError: No texts.
        ParityError: A graph is below its floor; no file of the directory was changed.
    """
    path = Path(directory)
    info = read_leaf(path)
    if not texts:
        raise InputError("an export needs some real texts to prove itself on; got none")
    require("onnxscript", "train", "An export")
    from leaf_embed.encoders.onnx import OnnxEncoder

    reference = SentenceTransformerEncoder(path, precision="float32", device="cpu")
    expected = role_vectors(reference, texts)
    parity: dict[str, Parity] = {}
    with replacing_directory(path / "onnx") as folder:
        graphs = {variant: folder / Path(GRAPHS[variant]).name for variant in ("float32", "int8")}
        write_graph(reference.model, graphs["float32"])
        quantize(graphs["float32"], graphs["int8"])
        for variant, graph in graphs.items():
            parity[variant] = compare(role_vectors(OnnxEncoder(path, graph=graph), texts), expected, graph)
            require_floor(parity[variant], floors[variant], variant)
    write_tokenizer_files(path, info.max_tokens)
    write_json(path / PARITY_FILE, {variant: asdict(found) for variant, found in parity.items()})
    return parity


def quantize(source: Path, target: Path) -> None:
    """Weights to int8, one scale a channel; activations are quantised as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with quiet_exporters():
        quantize_dynamic(source, target, per_channel=True, reduce_range=False, weight_type=QuantType.QInt8)
