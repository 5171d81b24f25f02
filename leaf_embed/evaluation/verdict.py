"""The verdict of an evaluation: is the leaf shown to keep a given share of its teacher's quality?

This is a test of non-inferiority: "shown" means that the lower limit of the 95 % interval is not below the share, so
that a leaf which keeps less is wrongly accepted in at most 2.5 % of evaluations; "below" means that the upper limit is
below it. The sets are judged one by one only if the mean is shown (a fixed sequence, then Holm over the sets), so that
in at most 5 % of evaluations any of the verdicts is wrong.

Sources: Wellek, Testing Statistical Hypotheses of Equivalence and Noninferiority, 2010; Maurer, Hothorn and Lehmacher,
1995, for the sequence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from leaf_embed.errors import InputError
from leaf_embed.evaluation.intervals import LEAST_QUERIES, LEVEL, Pair, Retention, mean_retention, retention

__all__ = ["ACCEPT", "Status", "Verdict", "check_accept", "judge", "status_of"]

ACCEPT = 0.97
HALF_WIDTH = 0.01  # of the interval that "queries needed" is about

Status: TypeAlias = Literal["shown", "not shown", "below", "unknown"]


@dataclass(frozen=True)
class Verdict:
    """Whether a leaf is shown to keep a share of its teacher's nDCG@10, at full dimensions in float32.

    Attributes:
        accept: The share asked for.
        mode: ``"asymmetric"`` or ``"symmetric"``.
        retention: Mean of the sets' retentions; ``None`` if the teacher finds nothing on one of them.
        status: ``"shown"`` if the lower limit reaches ``accept``, ``"below"`` if the upper limit does not,
            ``"unknown"`` without an interval, else ``"not shown"``.
        sets: By set: its own status, which is ``"shown"`` only if the mean's is.
        worst: Name, retention and number of queries of the set that loses most.
        queries_needed: Judged queries, over all sets, for an interval of about ± 1 point; ``None`` if unknown.
    """

    accept: float
    mode: str
    retention: Retention | None
    status: Status
    sets: Mapping[str, Status] = field(default_factory=dict)
    worst: tuple[str, Retention, int] | None = None
    queries_needed: int | None = None

    @property
    def is_shown(self) -> bool:
        """Whether the leaf may replace its teacher by the rule that was asked for."""
        return self.status == "shown"

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        worst = None
        if self.worst is not None:
            name, share, queries = self.worst
            worst = {"name": name, "retention": share.to_dict(), "queries": queries}
        return {
            "accept": self.accept,
            "mode": self.mode,
            "status": self.status,
            "sentence": str(self),
            "retention": None if self.retention is None else self.retention.to_dict(),
            "sets": dict(self.sets),
            "worst_set": worst,
            "queries_needed": self.queries_needed,
        }

    def __str__(self) -> str:
        parts = [_claim(self.retention, self.status, self.accept)]
        if self.worst is not None:
            name, share, queries = self.worst
            parts.append(f"worst set {name}, {_percent(share.value)} on {queries:,} queries")
        if self.queries_needed is not None:
            parts.append(f"about {_rounded(self.queries_needed):,} judged queries would show ±1 point")
        return "; ".join(parts)


def judge(sets: Mapping[str, Pair], accept: float = ACCEPT, mode: str = "asymmetric") -> Verdict:
    """Returns the verdict on scores per query.

    Args:
        sets: By name of the set: nDCG@10 of each query of the leaf and of the teacher.
        accept: The share of the teacher's quality that the leaf must keep, above 0 and at most 1.
        mode: What the leaf's scores are of, for the sentence.

    Raises:
        InputError: No sets, or a share that cannot be asked for.
    """
    check_accept(accept)
    whole = mean_retention(list(sets.values()))
    status = status_of(whole, accept)
    shares = {name: share for name, pair in sets.items() if (share := retention(*pair)) is not None}
    worst = min(shares, key=lambda name: shares[name].value, default=None)
    queries = sum(len(one) for one, _ in sets.values())
    return Verdict(
        accept,
        mode,
        whole,
        status,
        dict.fromkeys(sets, status) if len(sets) == 1 else _of_sets(sets, status, accept),
        None if worst is None else (worst, shares[worst], len(sets[worst][0])),
        None if whole is None else whole.queries_for(queries, HALF_WIDTH),
    )


def check_accept(accept: float) -> None:
    """Refuses a share that cannot be asked for.

    Raises:
        InputError: It is not above 0 and at most 1.
    """
    if not 0 < accept <= 1:
        raise InputError(f"the share to accept must be above 0 and at most 1, as in 0.97; got {accept}")


def status_of(share: Retention | None, accept: float) -> Status:
    """Returns where an interval lies: above the share asked for, across it, below it, or nowhere."""
    if share is None or not share.has_interval:
        return "unknown"
    if share.low >= accept:
        return "shown"
    return "below" if share.high < accept else "not shown"


def _of_sets(sets: Mapping[str, Pair], whole: Status, accept: float) -> dict[str, Status]:
    """The status of each set by Holm's steps, over the sets that are clear at the level of the step."""
    found: dict[str, Status] = dict.fromkeys(sets, "not shown")
    left = list(sets)
    while left:
        level = 1 - (1 - LEVEL) / len(left)
        here = {name: status_of(retention(*sets[name], level=level), accept) for name in left}
        clear = [name for name in left if here[name] == "below" or (here[name] == "shown" and whole == "shown")]
        found.update({name: here[name] for name in left if here[name] == "unknown" or name in clear})
        if not clear:
            break
        left = [name for name in left if name not in clear]
    return found


def _claim(share: Retention | None, status: Status, accept: float) -> str:
    asked = f"{accept * 100:.4g} %"
    if share is None:
        return f"no verdict on {asked}: the teacher finds nothing"
    if status == "unknown":
        least = f"an interval needs at least {LEAST_QUERIES} queries, and more where the teacher finds little"
        return f"retention {_percent(share.value)}, no verdict on {asked}: {least}"
    if status == "below":
        return f"upper bound {_percent(share.high)}: shown to keep less than {asked}"
    return f"lower bound {_percent(share.low)}: {'' if status == 'shown' else 'not '}shown to keep {asked}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _rounded(number: int) -> int:
    """To two digits."""
    unit: int = 10 ** max(len(str(number)) - 2, 0)
    return -(-number // unit) * unit
