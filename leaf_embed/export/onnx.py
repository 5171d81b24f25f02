"""ONNX export: a leaf's graphs, proven against its model, and the tokenizer files that other libraries read."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from leaf_embed._extras import require
from leaf_embed._files import check_writable, replacing_directory, replacing_file, write_json, writing
from leaf_embed.canaries import CANARY_TEXTS, Canaries
from leaf_embed.encoders.base import Encoder
from leaf_embed.encoders.torch_models import Loading
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.errors import ExportError, InputError, LeafEmbedError
from leaf_embed.export.graph import write_graph
from leaf_embed.export.graph_files import move_graph, remove_graph
from leaf_embed.export.parity import FLOORS, GOAL, Floor, Parity, Proof, require_floor
from leaf_embed.export.quantize import LADDER, Quantizer
from leaf_embed.format import GRAPHS, PARITY_FILE, read_leaf, write_leaf
from leaf_embed.leaf_record import LEAF_FLOOR, ROUNDING, SAME_LEAF, LeafRecord
from leaf_embed.texts import Text

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["Floor", "Parity", "export", "write_record", "write_tokenizer_files"]

CALIBRATION = 32  # texts that int8 scales are set on
SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")

logger = logging.getLogger(__name__)


def export(
    directory: str | os.PathLike[str],
    texts: Sequence[Text],
    *,
    floors: Mapping[str, Floor] = FLOORS,
    goal: Floor = GOAL,
    trained: SentenceTransformer | None = None,
) -> dict[str, Parity]:
    """Writes a leaf's graphs and ``parity.json`` into its directory.

    Pooling, Dense and normalisation are inside the graphs: a runtime that reads nothing else cannot return a vector of
    the wrong space, the field's most frequent silent error. The int8 graph is made by the first recipe of
    :data:`leaf_embed.export.quantize.LADDER`, fastest first, that reaches the goal on this machine: what int8 loses
    depends on the model and on the CPU. If none does, the best one is kept and a warning is logged.

    Args:
        directory: A leaf directory from :func:`leaf_embed.distill.distill`.
        texts: Real texts to compare on, queries and documents, some hundred. The first 32 also set the int8 scales.
        floors: The least parity of the graphs by their variants' names; below it the export fails.
        goal: The parity that an int8 recipe has to reach.
        trained: The model as it was trained, to compare with; by default the one that the directory holds.

    Returns:
        The parity of each graph by its variant's name.

    Raises:
        NotALeafError: No leaf there.
        InputError: No texts.
        ExportError: No graph can be made of the model; no file of the directory was changed.
        ParityError: A graph is below its floor; no file of the directory was changed.
        StorageError: There is no room for the graphs; no file of the directory was changed.
    """
    path = Path(directory)
    info = read_leaf(path)
    if not info.needs_graph:
        raise InputError(f"{path} is a static leaf: it needs no graph, leaf_embed.load reads its table")
    if not texts:
        raise InputError("an export needs some real texts to compare on; got none")
    require("onnxscript", "train", "An export")
    from leaf_embed.encoders.onnx import OnnxEncoder

    check_writable(path / PARITY_FILE)
    saved = SentenceTransformerEncoder(path, precision="float32", device="cpu")
    proof = Proof(texts, saved if trained is None else _as_trained(trained, saved))
    parity: dict[str, Parity] = {}
    with _as_export_error(path), replacing_directory(path / "onnx") as folder:
        exact = folder / Path(GRAPHS["float32"]).name
        write_graph(saved.model, exact)
        encoder = OnnxEncoder(path, graph=exact)
        parity["float32"] = proof.judge(encoder, exact)
        require_floor(parity["float32"], floors["float32"], "float32")
        feeds = [encoder.feed(text.text, text.kind) for text in texts[:CALIBRATION]]
        parity["int8"] = _best_int8(path, Quantizer(exact, feeds), folder / Path(GRAPHS["int8"]).name, proof, goal)
        require_floor(parity["int8"], floors["int8"], "int8")
    write_tokenizer_files(path, info.max_tokens)
    write_record(path, saved, [OnnxEncoder(path, graph=path / file) for file in reversed([*GRAPHS.values()])])
    write_json(path / PARITY_FILE, {variant: asdict(found) for variant, found in parity.items()})
    return parity


def _as_trained(model: SentenceTransformer, saved: SentenceTransformerEncoder) -> Encoder:
    """The model in memory as an encoder of the leaf's space."""
    loading = Loading(space=saved.space)
    return SentenceTransformerEncoder(model, precision="float32", device="cpu", loading=loading)


@contextmanager
def _as_export_error(path: Path) -> Iterator[None]:
    """Turns what the exporters raise, for which they have no class, into an error of ours."""
    try:
        with writing(path / "onnx"):
            yield
    except LeafEmbedError:
        raise
    except Exception as error:
        said = str(error).strip().splitlines() or [""]
        raise ExportError(
            f"no graph could be made of the model in {path} ({type(error).__name__}: {said[0]:.200}). Nothing was "
            "written; if its architecture has no ONNX form, use the leaf with variant='torch'."
        ) from error


def write_record(directory: Path, model: Encoder | None = None, graphs: Sequence[Encoder] = ()) -> None:
    """Writes into ``leaf.json`` what the leaf computes, by which it is recognised from now on.

    Args:
        directory: A leaf directory; texts of its own that its record has already are kept.
        model: The leaf in float32; by default it is loaded.
        graphs: Its graphs, the preferred one last. The farthest from the model sets how far a leaf may be.
    """
    info = read_leaf(directory)
    model = model or SentenceTransformerEncoder(directory, precision="float32")
    own, known = info.record.own, info.space.canaries
    texts = [*CANARY_TEXTS, *(own.texts if own else ())]
    answers = Canaries.of(model, texts, skip_zeros=True)
    farthest = min((answers.check(graph, 0).mean for graph in graphs), default=1.0)
    record = LeafRecord(
        cosines={} if known is None else known.measure(graphs[-1] if graphs else model),
        answers=answers,
        own=own,
        floor=round(max(LEAF_FLOOR, min(SAME_LEAF, farthest - ROUNDING)), 4),
    )
    write_leaf(directory, replace(info, record=record))


def _best_int8(leaf: Path, quantizer: Quantizer, target: Path, proof: Proof, goal: Floor) -> Parity:
    """Writes the int8 graph of the fastest recipe that reaches the goal, or else of the most exact one."""
    from leaf_embed.encoders.onnx import OnnxEncoder

    tried: list[Parity] = []
    best = target.with_suffix(".best")
    for recipe in LADDER:
        quantizer.write(recipe, target)
        found = proof.judge(OnnxEncoder(leaf, graph=target), target, recipe.name)
        if found.reaches(goal):
            remove_graph(best)
            return found
        if not tried or found.mean_cosine > max(other.mean_cosine for other in tried):
            move_graph(target, best)
        tried.append(found)
    move_graph(best, target)
    kept = max(tried, key=lambda parity: parity.mean_cosine)
    logger.warning(
        "no int8 recipe reached the goal on this machine (mean cosine %s, lowest %s, same top ten %.0f %%); kept the "
        "best, %r: %.5f, %.5f and %.1f %%. Use variant='float32' where that is too little.",
        *(goal.mean, goal.lowest, 100 * goal.overlap),
        *(kept.recipe, kept.mean_cosine, kept.min_cosine, 100 * kept.top10_overlap),
    )
    return kept


def write_tokenizer_files(directory: Path, max_tokens: int) -> None:
    """Makes every runtime truncate texts where the leaf does, and writes the map of special tokens.

    A backbone's files often disagree: all-MiniLM-L6-v2's say 512 and 128 in ``tokenizer_config.json`` and 128 in
    ``tokenizer.json``. fastembed takes the smaller number, tokenizers the last, transformers the first; their vectors
    of long texts then differ silently. fastembed and older readers of ``special_tokens_map.json`` get that too,
    which transformers 5 no longer writes.

    Args:
        directory: A leaf directory with ``tokenizer.json``; changed in place. Without ``tokenizer_config.json`` only
            the first is changed.
        max_tokens: Number of tokens after which the leaf stops reading, special tokens included.
    """
    _cut_at(directory / "tokenizer.json", max_tokens)
    file = directory / "tokenizer_config.json"
    if not file.is_file():
        return
    config = json.loads(file.read_text(encoding="utf-8"))
    kept = {name: value for name, value in config.items() if name not in ("max_length", "is_local", "local_files_only")}
    write_json(file, kept | {"model_max_length": max_tokens})
    write_json(directory / "special_tokens_map.json", {name: config[name] for name in SPECIAL if config.get(name)})


def _cut_at(file: Path, max_tokens: int) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.enable_truncation(max_tokens)
    with replacing_file(file) as temporary:
        tokenizer.save(str(temporary))
