"""Two reports side by side: differences of two leaves, by a paired randomisation test with Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from leaf_embed.errors import InputError
from leaf_embed.evaluation.intervals import Difference, Pair, mean_difference
from leaf_embed.evaluation.randomisation import holm
from leaf_embed.reports import markdown

__all__ = ["Comparison", "Delta", "PointDelta", "compare_reports"]

Json: TypeAlias = Mapping[str, Any]

MODES = ("asymmetric", "symmetric")
LARGEST_P = 0.05
SAME_TEACHER = 1e-3  # of mean nDCG@10: more than another machine's arithmetic changes


@dataclass(frozen=True)
class Delta:
    """nDCG@10 of two leaves on one set, at full dimensions in float32.

    Attributes:
        name: Of the set, or of the mean over all.
        mode: ``"asymmetric"`` or ``"symmetric"``.
        first: Of the first leaf.
        second: Of the second.
        difference: Second minus first, with its 95 % interval.
        p: Of a paired randomisation test, adjusted by Holm over all sets and modes of the comparison.
    """

    name: str
    mode: str
    first: float
    second: float
    difference: Difference
    p: float

    @property
    def verdict(self) -> str:
        """``"better"`` or ``"worse"``, of which any is wrong in at most 5 % of comparisons; else what is shown."""
        if self.p <= LARGEST_P:
            return "better" if self.difference.value > 0 else "worse"
        largest = max(abs(self.difference.low), abs(self.difference.high))
        if not math.isfinite(largest):
            return "too few queries to tell"
        return f"no difference larger than ±{largest:.4f} shown"


@dataclass(frozen=True)
class PointDelta:
    """Mean nDCG@10 of two leaves over the sets, at a point that both reports have; without scores per query.

    Attributes:
        label: Dimensions and quantization.
        mode: ``"asymmetric"`` or ``"symmetric"``.
        first: Of the first leaf.
        second: Of the second.
    """

    label: str
    mode: str
    first: float
    second: float


@dataclass(frozen=True)
class Comparison:
    """The comparison of two reports.

    Attributes:
        names: Of the leaves.
        deltas: One per set and mode, the means over the sets last.
        points: Every other point that both have.
        notes: Further remarks, one per line.
    """

    names: tuple[str, str]
    deltas: tuple[Delta, ...]
    points: tuple[PointDelta, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; limits are ``None`` where there is no interval."""
        found = asdict(self)
        for row, delta in zip(found["deltas"], self.deltas, strict=True):
            row["verdict"] = delta.verdict
            limits = {name: getattr(delta.difference, name) for name in ("low", "high")}
            row["difference"] |= {name: limit if math.isfinite(limit) else None for name, limit in limits.items()}
        return found

    def __str__(self) -> str:
        head = ("set", "mode", *self.names, "difference (95 %)", "p (Holm)", "verdict")
        rows = [head, *(_row(delta) for delta in self.deltas)]
        lines = ["nDCG@10, full dimensions, float32", "", markdown(rows, left=(0, 1, 6))]
        if self.points:
            short = [
                (p.label, p.mode, f"{p.first:.4f}", f"{p.second:.4f}", f"{p.second - p.first:+.4f}")
                for p in self.points
            ]
            table = markdown([("point", "mode", *self.names, "difference"), *short], left=(0, 1))
            lines += ["", "Mean over the sets at the other points", "", table]
        return "\n".join([*lines, *(["", *self.notes] if self.notes else [])])


def compare_reports(first: Json, second: Json) -> Comparison:
    """Compares two reports over the same sets.

    Args:
        first: The JSON form of a report, from :func:`leaf_embed.reports.read_report`.
        second: The same of another leaf.

    Raises:
        InputError: The sets differ, in name, queries, number of documents or judgements, or one teacher has different
            scores in both.
    """
    _check_same_sets(first, second)
    _check_same_teacher(first, second)
    names = (first.get("leaf") or "first", second.get("leaf") or "second")
    if names[0] == names[1]:
        names = (f"{names[0]} (A)", f"{names[1]} (B)")
    found = [delta for mode in MODES for delta in _deltas(first, second, mode)]
    adjusted = holm([delta.p for delta in found])
    deltas = tuple(replace(delta, p=p) for delta, p in zip(found, adjusted, strict=True))
    return Comparison(names, deltas, tuple(_points(first, second)), tuple(_notes(first, second, names)))


def _check_same_sets(first: Json, second: Json) -> None:
    left, right = ({one["name"]: one for one in report["sets"]} for report in (first, second))
    if left.keys() != right.keys() or not left:
        raise InputError(
            f"the reports are of different sets: {', '.join(left) or 'none'} and {', '.join(right) or 'none'}; "
            "evaluate both leaves on the same --data"
        )
    for name, one in left.items():
        other = right[name]
        left_ids, right_ids = one["per_query"]["query_ids"], other["per_query"]["query_ids"]
        if left_ids != right_ids or one["documents"] != other["documents"]:
            raise InputError(
                f"the set {name!r} has {len(left_ids)} queries and {one['documents']} documents in one report, "
                f"{len(right_ids)} and {other['documents']} in the other, or others of the same number; evaluate both "
                "on the same files"
            )
        digests = [report.get("data", {}).get("qrels_digest") for report in (one, other)]
        if all(digests) and digests[0] != digests[1]:
            raise InputError(
                f"the set {name!r} has other queries or judgements in one report (digest {digests[0]}) than in the "
                f"other ({digests[1]}); evaluate both on the same files"
            )


def _check_same_teacher(first: Json, second: Json) -> None:
    """Refuses scores of one teacher that differ, which come from other texts or judgements of the same names."""
    if first["fingerprint"] != second["fingerprint"]:
        return
    precisions = [report.get("provenance", {}).get("teacher_precision") for report in (first, second)]
    if precisions[0] != precisions[1]:  # bfloat16 and float32 rank a few documents differently
        return
    other = {one["name"]: one["per_query"]["teacher"] for one in second["sets"]}
    for one in first["sets"]:
        change = abs(float(np.mean(one["per_query"]["teacher"])) - float(np.mean(other[one["name"]])))
        if change > SAME_TEACHER:
            raise InputError(
                f"the nDCG@10 of one teacher on {one['name']!r} differs by {change:.4f} between the reports: "
                "the documents, the judgements or the way of encoding changed. Evaluate both again"
            )


def _deltas(first: Json, second: Json, mode: str) -> list[Delta]:
    other = {one["name"]: one for one in second["sets"]}
    pairs: dict[str, Pair] = {
        one["name"]: (np.array(one["per_query"][mode]), np.array(other[one["name"]]["per_query"][mode]))
        for one in first["sets"]
    }
    found = [_delta(name, mode, [pair]) for name, pair in pairs.items()]
    return [*found, _delta(f"mean of {len(pairs)}", mode, list(pairs.values()))] if len(pairs) > 1 else found


def _delta(name: str, mode: str, pairs: list[Pair]) -> Delta:
    first, second = (float(np.mean([pair[side].mean() for pair in pairs])) for side in (0, 1))
    found = mean_difference(pairs)
    return Delta(name, mode, first, second, found, found.p)


def _points(first: Json, second: Json) -> list[PointDelta]:
    def by_label(report: Json) -> dict[str, Json]:
        points = report["mean"][1:]
        return {f"{p['dim']}{' rotated' if p['rotated'] else ''} {p['quantization']}": p["modes"] for p in points}

    left, right = by_label(first), by_label(second)
    return [
        PointDelta(label, mode, left[label][mode]["nDCG@10"], right[label][mode]["nDCG@10"])
        for label in left
        if label in right
        for mode in MODES
    ]


def _notes(first: Json, second: Json, names: tuple[str, str]) -> list[str]:
    notes = []
    if not all(one.get("data", {}).get("qrels_digest") for report in (first, second) for one in report["sets"]):
        notes.append("A report of an earlier release does not say which judgements it used: they were not compared.")
    if first["fingerprint"] != second["fingerprint"]:
        notes.append(
            "The leaves have different teachers: differences are of the whole systems, not of the leaves alone."
        )
    for report, name in zip((first, second), names, strict=True):
        parts = []
        if report.get("latency"):
            busy = report["latency"].get("refused")
            parts.append(
                f"{report['latency']['leaf_p50_ms']:.2f} ms per query{f' (not comparable: {busy})' if busy else ''}"
            )
        if "leaf" in (report.get("sizes") or {}):
            parts.append(f"{report['sizes']['leaf']['bytes'] / 1e6:.1f} MB")
        if parts:
            notes.append(f"{name}: {', '.join(parts)}")
    return notes


def _row(delta: Delta) -> tuple[str, ...]:
    scores = (f"{delta.first:.4f}", f"{delta.second:.4f}")
    return (delta.name, delta.mode, *scores, str(delta.difference), f"{delta.p:.2g}", delta.verdict)
