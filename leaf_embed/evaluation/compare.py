"""Two reports side by side: differences of two leaves, and whether they are more than chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np

from leaf_embed.errors import InputError
from leaf_embed.evaluation.intervals import Difference, Pair, mean_difference
from leaf_embed.reports import markdown

__all__ = ["Comparison", "Delta", "PointDelta", "compare_reports"]

Json: TypeAlias = Mapping[str, Any]

MODES = ("asymmetric", "symmetric")


@dataclass(frozen=True)
class Delta:
    """nDCG@10 of two leaves on one set, at full dimensions in float32.

    Attributes:
        name: Of the set, or of the mean over all.
        mode: ``"asymmetric"`` or ``"symmetric"``.
        first: Of the first leaf.
        second: Of the second.
        difference: Second minus first, with the interval of a paired bootstrap over the queries.
    """

    name: str
    mode: str
    first: float
    second: float
    difference: Difference


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
        """The JSON form."""
        return asdict(self)

    def __str__(self) -> str:
        head = ("set", "mode", *self.names, "difference (95 %)", "")
        rows = [head, *(_row(delta) for delta in self.deltas)]
        lines = ["nDCG@10, full dimensions, float32", "", markdown(rows, left=(0, 1, 5))]
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
        InputError: The sets differ, in name, queries or number of documents.
    """
    _check_same_sets(first, second)
    names = (first.get("leaf") or "first", second.get("leaf") or "second")
    if names[0] == names[1]:
        names = (f"{names[0]} (A)", f"{names[1]} (B)")
    deltas = [delta for mode in MODES for delta in _deltas(first, second, mode)]
    return Comparison(names, tuple(deltas), tuple(_points(first, second)), tuple(_notes(first, second, names)))


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
    return Delta(name, mode, first, second, mean_difference(pairs))


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
    if first["fingerprint"] != second["fingerprint"]:
        notes.append(
            "The leaves have different teachers: differences are of the whole systems, not of the leaves alone."
        )
    for report, name in zip((first, second), names, strict=True):
        parts = []
        if report.get("latency"):
            parts.append(f"{report['latency']['leaf_p50_ms']:.2f} ms per query")
        if "leaf" in (report.get("sizes") or {}):
            parts.append(f"{report['sizes']['leaf']['bytes'] / 1e6:.1f} MB")
        if parts:
            notes.append(f"{name}: {', '.join(parts)}")
    return notes


def _row(delta: Delta) -> tuple[str, ...]:
    verdict = ("better" if delta.difference.value > 0 else "worse") if delta.difference.is_clear else "may be chance"
    return (delta.name, delta.mode, f"{delta.first:.4f}", f"{delta.second:.4f}", str(delta.difference), verdict)
