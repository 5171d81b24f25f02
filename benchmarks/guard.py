"""How often the guard of a leaf takes rounding for a change, and which changes it does not see.

A leaf is recognised by its vectors of some texts (:mod:`leaf_embed.leaf_record`). Honest encoders compute what the leaf
does: other graphs, bfloat16. Changed ones are what goes wrong in practice: prompts, pooling, a lost layer, weights of
another leaf, of the teacher or damaged, vectors that are rotated, permuted or of another sign. For each it prints the
guard's own decision, and the share of alarms over random draws of as many texts as a check uses, so that the rates do
not depend on the texts that happen to be the canaries.

    python benchmarks/guard.py --leaf bank-leaf --leaf docs-leaf --teacher T --texts a.jsonl b.jsonl --output guard.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from sentence_transformers import SentenceTransformer

import leaf_embed
from leaf_embed import vectors
from leaf_embed.canaries import CANARY_TEXTS, ROLES
from leaf_embed.distill import Corpus
from leaf_embed.encoders.base import Encoder
from leaf_embed.encoders.onnx import OnnxEncoder
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.errors import SpaceMismatchError
from leaf_embed.format import GRAPHS, LeafInfo, read_leaf
from leaf_embed.texts import Role
from leaf_embed.vectors import FloatArray

DRAWS = 100_000
SIZES = (4, 8, 16)  # texts of a check: general queries; general texts; these with eight of the leaf's own
PROMPTS = ("query: ", "passage: ", "Represent this sentence for searching relevant passages: ")


class Changed:
    """A model that stands for the leaf: another's weights, prompts or vectors under its name and record."""

    def __init__(self, info: LeafInfo, encode: Callable[[list[str]], FloatArray]) -> None:
        self.space, self.record, self._encode = info.space, info.record, encode

    def encode_query(self, texts: Any) -> FloatArray:
        """Vectors of some texts."""
        rows = vectors.as_vectors(self._encode([texts] if isinstance(texts, str) else list(texts)), source="the model")
        return rows[0] if isinstance(texts, str) else rows

    encode_document = encode_query


class MatMulInteger(OpRun):
    """The int8 product of a CPU without VNNI: sums of two products saturate at 16 bits (``vpmaddubsw``)."""

    def _run(self, a: Any, b: Any, a_zero: Any = 0, b_zero: Any = 0) -> tuple[Any]:
        left, right = a.astype(np.int32), b.astype(np.int32)
        out = np.zeros((*a.shape[:-1], right.shape[1]), np.int32)
        for k in range(0, len(right), 2):
            pair = left[..., k, None] * right[k] + left[..., k + 1, None] * right[k + 1]
            out += np.clip(pair, -(2**15), 2**15 - 1)
        zero, other = int(np.ravel(a_zero)[0]), np.ravel(b_zero).astype(np.int32)
        shift = zero * right.sum(axis=0) + other * left.sum(axis=-1, keepdims=True) - zero * other * len(right)
        return ((out - shift).astype(np.int32),)


class DequantizeLinear(OpRun):
    """Opset 18, which onnx's own evaluator has not."""

    def _run(self, x: Any, scale: Any, zero: Any = 0, axis: int = 1, **_: Any) -> tuple[Any]:
        shape = [-1 if place == axis else 1 for place in range(x.ndim)] if np.size(scale) > 1 else []
        zeros = np.reshape(np.asarray(zero, np.float32), shape) if np.size(zero) > 1 else np.float32(np.ravel(zero)[0])
        return (((x.astype(np.float32) - zeros) * np.reshape(scale, shape)).astype(np.float32),)


class Saturating:
    """The int8 graph as a CPU without VNNI computes it, emulated: a second for a few texts."""

    most = 64

    def __init__(self, path: Path) -> None:
        self._leaf = OnnxEncoder(path, variant="int8")
        self.space, self.record = self._leaf.space, self._leaf.record
        graph = onnx.load(path / GRAPHS["int8"])
        self._run = ReferenceEvaluator(graph, new_ops=[MatMulInteger, DequantizeLinear]).run

    def encode_query(self, texts: Any) -> FloatArray:
        """Vectors of some texts."""
        found: list[Any] = [self._run(None, self._leaf.feed(text, "query")) for text in texts]
        return np.stack([outputs[0][0] for outputs in found])

    encode_document = encode_query


def honest(path: Path) -> Iterator[tuple[str, Encoder]]:
    """Ways to open the leaf as it is."""
    yield "float32 graph", leaf_embed.load(path, variant="float32", document="leaf")
    yield "int8 graph", leaf_embed.load(path, variant="int8", document="leaf")
    yield "int8 graph, saturating", Saturating(path)
    yield "torch, float32", SentenceTransformerEncoder(path, precision="float32")
    yield "torch, bfloat16", SentenceTransformerEncoder(path, precision="bfloat16")


def changed(path: Path, info: LeafInfo, others: Sequence[Path], teacher: Path) -> Iterator[tuple[str, Encoder]]:
    """What goes wrong in practice."""
    model = SentenceTransformer(str(path), device="cpu")
    right, dim = _encoder(model), info.space.dim
    draw = np.random.default_rng(0)
    turn = np.linalg.qr(draw.standard_normal((dim, dim)))[0].astype(np.float32)
    for prompt in PROMPTS:
        yield f"prompt {prompt!r}", Changed(info, _prompted(right, prompt))
    yield "vectors rotated", Changed(info, lambda texts: right(texts) @ turn)
    swapped = np.arange(dim).reshape(-1, 2)[:, ::-1].ravel()
    yield "neighbouring dimensions swapped", Changed(info, lambda texts: right(texts)[:, swapped])
    yield "dimensions shifted by one", Changed(info, lambda texts: np.roll(right(texts), 1, axis=1))
    yield "sign", Changed(info, lambda texts: -right(texts))
    for pooling in ("cls", "max"):
        other = SentenceTransformer(str(path), device="cpu")
        other[1].pooling_mode = pooling  # type: ignore[assignment]
        yield f"pooling {pooling}", Changed(info, _encoder(other))
    for name, share in (("a hundredth", 0.01), ("a tenth", 0.1)):
        yield f"{name} of the weights lost", Changed(info, _encoder(_damaged(path, share)))
    yield "the teacher", Changed(info, _encoder(SentenceTransformer(str(teacher), device="cpu")))
    for other_path in others:
        yield f"the leaf {other_path.name}", Changed(info, _encoder(SentenceTransformer(str(other_path), device="cpu")))
    without = SentenceTransformer(modules=[model[0], model[1], model[-1]], device="cpu")
    if without.get_embedding_dimension() == dim:
        yield "without the Dense", Changed(info, _encoder(without))


def _prompted(encode: Callable[[list[str]], FloatArray], prompt: str) -> Callable[[list[str]], FloatArray]:
    return lambda texts: encode([prompt + text for text in texts])


def _encoder(model: SentenceTransformer) -> Callable[[list[str]], FloatArray]:
    return lambda texts: np.asarray(model.encode(texts, normalize_embeddings=True), dtype=np.float32)


def _damaged(path: Path, share: float) -> SentenceTransformer:
    model = SentenceTransformer(str(path), device="cpu")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(torch.rand(weight.shape, generator=generator) >= share)
    return model


def judge(encoder: Encoder, reference: FloatArray, texts: list[str], floor: float) -> dict[str, Any]:
    """The guard's decision, and the share of alarms over random draws of texts."""
    some = slice(None, None, max(1, len(texts) // getattr(encoder, "most", len(texts))))
    texts, reference = texts[some], reference[some]
    cosines = vectors.cosine(encoder.encode_query(texts), reference)
    draw = np.random.default_rng(1)
    alarms = {
        str(size): float(np.mean(cosines[draw.integers(len(texts), size=(DRAWS, size))].mean(axis=1) < floor))
        for size in SIZES
    }
    roles: dict[str, tuple[Role, ...]] = {"query": ("query",), "all": ROLES}
    return {
        "refused": {name: _refused(encoder, asked) for name, asked in roles.items()},
        "mean": round(float(cosines.mean()), 4),
        "lowest": round(float(cosines.min()), 4),
        "alarms": alarms,
    }


def _refused(encoder: Encoder, roles: Sequence[Role]) -> bool:
    try:
        encoder.space.require_leaf(encoder, roles)
    except SpaceMismatchError:
        return True
    return False


def measure(path: Path, others: Sequence[Path], teacher: Path, texts: list[str]) -> dict[str, Any]:
    """Everything about one leaf."""
    info = read_leaf(path)
    own = info.record.own
    kinds = {"honest": honest(path), "changed": changed(path, info, others, teacher)}
    reference = SentenceTransformerEncoder(path, precision="float32").encode_query(texts)
    found = {
        kind: {name: judge(encoder, reference, texts, info.record.floor) for name, encoder in encoders}
        for kind, encoders in kinds.items()
    }
    for kind, rows in found.items():
        for name, row in rows.items():
            print(
                f"{path.name:<12} {kind:<8} {name:<62} refused {row['refused']!s:<32} mean {row['mean']:.4f} "
                f"lowest {row['lowest']:.4f} alarms {row['alarms']}"
            )
    reached = None if own is None or info.record.answers is None else info.record.answers.cosine_with(own)
    return {"general": dict(info.record.cosines), "own": reached, "floor": info.record.floor, **found}


def main() -> None:
    """Print and write everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--leaf", type=Path, action="append", required=True, help="leaf directory; several")
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument(
        "--texts", type=Path, nargs="+", required=True, help="corpus files: 200 texts of each are drawn"
    )
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    texts = [text for _, text in CANARY_TEXTS]
    for file in options.texts:
        lines = [text.text for text in Corpus([file])]
        texts += [lines[place] for place in np.random.default_rng(2).permutation(len(lines))[:200]]
    report = {
        leaf.name: measure(leaf, [one for one in options.leaf if one != leaf], options.teacher, texts)
        for leaf in options.leaf
    }
    if options.output:
        options.output.write_text(json.dumps({"texts": len(texts), "draws": DRAWS, "leaves": report}, indent=1) + "\n")


if __name__ == "__main__":
    main()
