"""Pages of a search: rankings of fixed depths, so that no hit stands on two pages or on none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from leaf_embed.qdrant.query.plan import Search

__all__ = ["Pages"]

T = TypeVar("T")

DEEPER = 10  # factor between the depths


@dataclass(frozen=True)
class Pages:
    """The searches that a page is put together from.

    More candidates for a deeper page would rank otherwise than the page before. A page therefore comes from rankings of
    fixed depths, ``limit`` and ten, a hundred times as many: each is the one before with what the next one adds.

    The engines fuse rankings by hash tables and order equal scores anew each time, so pages of a hybrid search may
    still share a hit.

    Attributes:
        search: The search of the page.
    """

    search: Search

    @property
    def depths(self) -> list[int]:
        """Depths of the rankings, up to the end of the page; one for a ranking that offset leaves alone.

        That is an exact one, or one over a number of candidates that the caller names.
        """
        end, fixed = self.search.limit + self.search.offset, self.search.exact or self.search.candidates is not None
        if not self.search.offset or (fixed and self.search.hybrid is False):
            return [end]
        found = [self.search.limit]
        while found[-1] < end:
            found.append(DEEPER * found[-1])
        return found

    def searches(self) -> list[tuple[Search, int]]:
        """Returns the search of each ranking, with the depth that it is made for."""
        depths = self.depths
        if len(depths) == 1:
            return [(self.search, depths[0])]
        return [
            (replace(self.search, offset=0, limit=depth), depth) for depth in depths
        ]  # equals fall as they did before

    def page(self, rankings: Sequence[Sequence[T]], key: Callable[[T], Any]) -> list[T]:
        """Returns the page out of the rankings that the searches found."""
        if len(rankings) == 1:
            return list(rankings[0])
        merged: dict[Any, T] = {}
        for depth, ranking in zip(self.depths, rankings, strict=True):
            for hit in ranking:
                if len(merged) == depth:
                    break
                merged.setdefault(key(hit), hit)
        start = self.search.offset
        return list(merged.values())[start : start + self.search.limit]
