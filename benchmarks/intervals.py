"""Coverage of the intervals of retention, and false verdicts of ``compare`` and ``--accept``, by simulation.

    python benchmarks/intervals.py --draws 2000 --output benchmarks/results/intervals.json

A population of 200,000 queries is made for each kind of score, and samples of it are drawn. Columns: how often
the interval of the package holds the population's retention, among the samples that have an interval, and the same of a
percentile bootstrap (1,000 resamples), which earlier releases gave. Everything is seeded.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leaf_embed._files import write_json
from leaf_embed.evaluation.intervals import Pair, Retention, mean_difference, mean_retention, ratio_of_means, retention
from leaf_embed.evaluation.randomisation import holm
from leaf_embed.evaluation.verdict import judge
from leaf_embed.reports import markdown

SIZE = 200_000
GAINS = np.array([0, 0.289, 0.333, 0.387, 0.431, 0.5, 0.631, 1.0])  # nDCG@10 of one relevant document
FOUND = [0.15, 0.02, 0.02, 0.03, 0.05, 0.05, 0.13, 0.55]
SIGNS = 999
QUERIES = (30, 50, 100, 300, 1000)
SETS = ("hard", "sparse", "smooth")
SET_QUERIES = (1000, 150, 300)


def population(kind: str, seed: int = 0) -> Pair:
    """Returns scores of leaf and teacher, each of shape ``(200000,)``."""
    generator = np.random.default_rng(seed)

    def some(share: float, values: NDArray[np.float64] | float) -> NDArray[np.float64]:
        return np.where(generator.random(SIZE) < share, values, 0.0)

    found = generator.choice(GAINS, SIZE, p=FOUND)
    if kind == "smooth":  # every query changes a little
        teacher = generator.beta(2, 2, SIZE)
        return np.clip(teacher + generator.normal(-0.01, 0.08, SIZE), 0, 1), teacher
    if kind == "sparse":  # one relevant document; 8 % of the queries change, either way
        return np.where(generator.random(SIZE) < 0.08, generator.choice(GAINS, SIZE), found), found
    if kind == "losses":  # 5 % of the queries lose everything
        return np.where(generator.random(SIZE) < 0.05, 0.0, found), found
    share = {"hard": 0.08, "medium": 0.5}[kind]  # of the queries that the teacher answers at all
    teacher = some(share, generator.choice(GAINS[1:], SIZE))
    other = some(share, generator.choice(GAINS[1:], SIZE))
    return np.where(generator.random(SIZE) < (0.04 if kind == "hard" else 0.3), other, teacher), teacher


def bootstrap(leaf: NDArray[np.float64], teacher: NDArray[np.float64], seed: int) -> tuple[float, float]:
    """Percentile bootstrap of the ratio of means, 1,000 resamples."""
    rows = np.random.default_rng(seed).integers(len(leaf), size=(1000, len(leaf)))
    means = teacher[rows].mean(axis=1)
    low, high = np.percentile(leaf[rows].mean(axis=1)[means > 0] / means[means > 0], [2.5, 97.5])
    return float(low), float(high)


def one_set(kind: str, queries: int, draws: int) -> dict[str, Any]:
    """Coverage on one set of so many queries."""
    leaf, teacher = population(kind)
    true = leaf.mean() / teacher.mean()
    generator = np.random.default_rng(5)
    ours, theirs, widths = [], [], []
    for seed in range(draws):
        rows = generator.integers(SIZE, size=queries)
        found = retention(leaf[rows], teacher[rows])
        if seed < min(draws, 300) and teacher[rows].any():
            low, high = bootstrap(leaf[rows], teacher[rows], seed)
            theirs.append(low <= true <= high)
        if found is not None and found.has_interval:
            ours.append(found.low <= true <= found.high)
            widths.append(found.high - found.low)
    few = len(ours) < draws / 20
    return {
        "kind": kind,
        "queries": queries,
        "interval given": round(len(ours) / draws, 3),
        "coverage": None if few else round(float(np.mean(ours)), 3),
        "median width": None if few else round(float(np.median(widths)), 4),
        "bootstrap": round(float(np.mean(theirs)), 3),
    }


def several_sets(draws: int) -> Iterator[dict[str, Any]]:
    """Coverage over three sets, of both summaries."""
    sets = [population(kind, 3 + number) for number, kind in enumerate(SETS)]
    leaf, teacher = (np.array([pair[side].mean() for pair in sets]) for side in (0, 1))
    truths = {"mean of retentions": (leaf / teacher).mean(), "ratio of means": leaf.mean() / teacher.mean()}
    functions: dict[str, Callable[[list[Pair]], Retention | None]] = {
        "mean of retentions": mean_retention,
        "ratio of means": ratio_of_means,
    }
    hits: dict[str, list[bool]] = {name: [] for name in truths}
    generator = np.random.default_rng(6)
    for _ in range(draws):
        drawn = [_drawn(pair, count, generator) for pair, count in zip(sets, SET_QUERIES, strict=True)]
        for name, summary in functions.items():
            found = summary(drawn)
            if found is not None and found.has_interval:
                hits[name].append(found.low <= truths[name] <= found.high)
    for name, hit in hits.items():
        yield {"summary": name, "interval given": len(hit) / draws, "coverage": round(float(np.mean(hit)), 3)}


def _drawn(pair: Pair, count: int, generator: np.random.Generator) -> Pair:
    rows = generator.integers(SIZE, size=count)
    return pair[0][rows], pair[1][rows]


def false_differences(draws: int) -> dict[str, float]:
    """How often one comparison, and any of a family of twelve, calls two equal leaves different; 999 random signs."""
    generator = np.random.default_rng(8)
    single, families = [], []
    for seed in range(draws):
        values = []
        for mode in range(2):
            pairs = [_equal_leaves(generator) for _ in range(5)]
            values += [
                mean_difference([pair], resamples=SIGNS, seed=12 * seed + i).p for i, pair in enumerate(pairs, 6 * mode)
            ]
            values.append(mean_difference(pairs, resamples=SIGNS, seed=12 * seed + 6 * mode + 5).p)
        single += [value <= 0.05 for value in values]
        families.append(min(holm(values)) <= 0.05)
    return {"one comparison": round(float(np.mean(single)), 3), "family of 12": round(float(np.mean(families)), 3)}


def _equal_leaves(generator: np.random.Generator) -> Pair:
    """100 queries, of which two leaves of equal expectation answer a fifth differently."""
    same, changed = generator.choice(GAINS, 100), generator.random(100) < 0.2
    first, second = (np.where(changed, generator.choice(GAINS, 100), same) for _ in range(2))
    return first, second


def false_verdicts(draws: int) -> dict[str, float]:
    """How often any verdict is wrong, over five sets that keep exactly the share asked for or just miss it."""
    kinds = ("sparse", "smooth", "losses", "medium", "sparse")
    sets = {f"{kind} {number}": population(kind, 20 + number) for number, kind in enumerate(kinds)}
    truths = {name: leaf.mean() / teacher.mean() for name, (leaf, teacher) in sets.items()}
    whole = float(np.mean(list(truths.values())))
    generator = np.random.default_rng(9)
    alone, family = [], []
    for accept in (whole, *truths.values()):
        asked = min(accept + 1e-9, 1.0)
        for _ in range(draws):
            found = judge({name: _drawn(pair, 200, generator) for name, pair in sets.items()}, asked)
            wrong = [_is_wrong(found.status, whole, asked)]
            wrong += [_is_wrong(found.sets[name], truth, asked) for name, truth in truths.items()]
            alone.append(wrong[0])
            family.append(any(wrong))
    return {"the mean": round(float(np.mean(alone)), 3), "any": round(float(np.mean(family)), 3)}


def _is_wrong(status: str, truth: float, asked: float) -> bool:
    return (status == "shown" and truth < asked) or (status == "below" and truth > asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    kinds = ("smooth", "sparse", "losses", "medium", "hard")
    rows = [one_set(kind, count, options.draws) for kind in kinds for count in QUERIES]
    print(markdown([tuple(rows[0]), *(tuple(map(_cell, row.values())) for row in rows)]))
    found = {
        "draws": options.draws,
        "one set": rows,
        "three sets": list(several_sets(options.draws)),
        "false differences": false_differences(options.draws),
        "false verdicts": false_verdicts(options.draws // 4),
    }
    for name in ("three sets", "false differences", "false verdicts"):
        print(f"{name}: {found[name]}")
    if options.output is not None:
        write_json(options.output, found)


def _cell(value: Any) -> str:
    return "-" if value is None else str(value)


if __name__ == "__main__":
    main()
