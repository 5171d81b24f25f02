"""The model card: the leaf's space, the parity of its graphs, its retention, and how each library loads it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leaf_embed._files import write_json, write_text
from leaf_embed.errors import InputError
from leaf_embed.export.card_snippets import usage
from leaf_embed.format import GRAPHS, LeafInfo, read_leaf, read_parity
from leaf_embed.reports import CARD_VERSIONS, markdown, read_report
from leaf_embed.space import model_name

__all__ = ["CARD_FILE", "EVALUATION_FILE", "write_card"]

CARD_FILE = "README.md"
EVALUATION_FILE = "evaluation.json"
MARK = "<!-- written by leaf-embed; edits are lost unless this line goes -->"


def write_card(
    directory: str | os.PathLike[str], *, name: str = "path/to/leaf", report: Mapping[str, Any] | None = None
) -> Path | None:
    """Writes ``README.md`` into a leaf directory, as the hub shows it.

    Args:
        directory: A leaf directory.
        name: Path or hub id that the usage examples load.
        report: An evaluation report's JSON form, see :func:`leaf_embed.reports.read_report`. It is written to
            ``evaluation.json``, which later cards show too; ``None`` takes that file if it is there.

    Returns:
        The file; ``None`` if a README is there that leaf-embed did not write, which is left alone.

    Raises:
        NotALeafError: No leaf there.
        InputError: The report is of another space, or of a version that this release does not read.
    """
    path = Path(directory)
    info = read_leaf(path)
    card = path / CARD_FILE
    if report is not None:
        if report["fingerprint"] != info.space.fingerprint:
            raise InputError(
                f"the report measured a leaf of {report['teacher']} (fingerprint {report['fingerprint']}); this leaf "
                f"lives in {info.space.describe()}. Evaluate this leaf: leaf-embed evaluate --leaf {path}"
            )
        write_json(path / EVALUATION_FILE, report)
    elif (path / EVALUATION_FILE).is_file():
        report = read_report(path / EVALUATION_FILE, CARD_VERSIONS)
    if card.is_file() and MARK not in card.read_text(encoding="utf-8"):
        return None
    write_text(card, _card(path, info, name, report))
    return card


def _card(path: Path, info: LeafInfo, name: str, report: Mapping[str, Any] | None) -> str:
    space = info.space
    parts = [_front_matter(info), MARK, f"# A leaf of {model_name(space.teacher)}", _opening(info), _space_table(info)]
    if parity := read_parity(path):
        parts.append(_parity_table(parity))
    if report is not None:
        parts.append(_retention_table(report))
    parts += [_recipe(info), usage(info, name)]
    return "\n\n".join(parts) + "\n"


def _is_hub_id(name: str) -> bool:
    return re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name) is not None


def _front_matter(info: LeafInfo) -> str:
    tags = ["leaf-embed", "sentence-transformers", "feature-extraction", "knowledge-distillation"]
    if info.needs_graph:
        tags += ["onnx", "transformers.js"]
    lines = ["library_name: sentence-transformers", "pipeline_tag: sentence-similarity", f"tags: {json.dumps(tags)}"]
    teacher = info.space.teacher
    if _is_hub_id(model_name(teacher)) and (_is_hub_id(teacher) or "models--" in teacher):
        lines.append(f"base_model: {model_name(teacher)}")
    return "\n".join(["---", *lines, "---"])


def _opening(info: LeafInfo) -> str:
    return (
        f"A small encoder that writes into the embedding space of {model_name(info.space.teacher)}: embed documents "
        "once with that model, and questions with this one. Made with leaf-embed after LEAF (Vujanic & Rueckstiess, "
        "[arXiv 2509.12539](https://arxiv.org/abs/2509.12539))."
    )


def _space_table(info: LeafInfo) -> str:
    space = info.space
    rows = [
        ("teacher", model_name(space.teacher)),
        ("revision", str(space.revision)),
        ("fingerprint", space.fingerprint),
        ("dimensions", f"{space.dim}, {'unit norm' if space.unit_norm else 'norm not fixed'}"),
        ("reads", f"{info.max_tokens} tokens"),
        ("query prompt", f"`{space.query_prompt!r}`"),
        ("document prompt", f"`{space.document_prompt!r}`"),
    ]
    return "## The space\n\n" + markdown([("", ""), *rows], left=(0, 1))


def _parity_table(parity: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (
            f"`{GRAPHS[variant]}`",
            f"{found['bytes'] / 1e6:.1f} MB",
            f"{found['mean_cosine']:.4f}",
            f"{found['min_cosine']:.4f}",
            f"{found['top10_overlap']:.1%}" if "top10_overlap" in found else "not measured",
            found.get("recipe", ""),
        )
        for variant, found in parity.items()
        if variant in GRAPHS  # leaves of earlier code may have others
    ]
    texts = next(iter(parity.values()))["texts"]
    head = ("graph", "size", "mean cosine", "lowest", "same top 10", "made")
    note = (
        f"Against the torch model in float32, over {texts} texts, on the machine that exported them. What int8 loses "
        "depends on the CPU: `leaf-embed export` measures again where you serve."
    )
    return f"## The graphs\n\n{markdown([head, *rows], left=(0, 5))}\n\n{note}"


def _retention_table(report: Mapping[str, Any]) -> str:
    rows = [
        (
            one["name"],
            str(point["dim"]),
            point["quantization"],
            f"{point['modes']['teacher']['nDCG@10']:.4f}",
            *(_score(point["modes"][mode]) for mode in ("asymmetric", "symmetric")),
        )
        for one in report["sets"]
        for point in one["points"]
    ]
    head = ("set", "dims", "documents as", "teacher, nDCG@10", "leaf queries, teacher documents", "leaf alone")
    note = "nDCG@10 of the leaf = its share of the teacher's, with the 95 % interval."
    return f"## Retention\n\n{markdown([head, *rows], left=(0, 2))}\n\n{note}"


def _score(mode: Mapping[str, Any]) -> str:
    share = mode.get("retention")
    if share is None:
        return f"{mode['nDCG@10']:.4f}"
    limits = "no interval" if share["low"] is None else f"{100 * share['low']:.1f} to {100 * share['high']:.1f}"
    return f"{mode['nDCG@10']:.4f} = {share['value']:.1%} ({limits})"


def _recipe(info: LeafInfo) -> str:
    facts = {name: value for name, value in {**info.recipe, **info.metrics}.items() if value is not None}
    if "student" in facts:
        facts["student"] = model_name(str(facts["student"]))
    body = json.dumps(facts, indent=2, ensure_ascii=False)
    return f"## How it was made\n\n```json\n{body}\n```"
