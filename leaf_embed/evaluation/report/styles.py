"""What plots look like: colours, markers and lines, which the page names too, and what is drawn together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["COLOURS", "CYCLE", "KINDS", "LINES", "MARKERS", "SIZE", "STYLE", "Series"]

COLOURS = {  # on light ground; the page redefines them for a dark one
    "soft": "#5c6963",
    "line": "#dbe2de",
    "teacher": "#33415c",
    "asymmetric": "#1a7f4b",
    "symmetric": "#c9711a",
    "document": "#6b7fd7",
    "kind0": "#1b6ca8",
    "kind1": "#c2410c",
    "kind2": "#7c3aed",
    "kind3": "#0f766e",
    "kind4": "#a16207",
    "kind5": "#be185d",
}
KINDS = tuple(name for name in COLOURS if name.startswith("kind"))
MARKERS = {  # no two things are told apart by colour alone
    "teacher": "o",
    "asymmetric": "s",
    "symmetric": "^",
    "document": "D",
    **dict(zip(KINDS, "os^DvP", strict=True)),
}
LINES: dict[str, Any] = {
    "teacher": "-",
    "asymmetric": "-",
    "symmetric": ":",
    **dict(zip(KINDS, ("-", "-.", ":", (0, (7, 2)), (0, (3, 1, 1, 1, 1, 1)), "-"), strict=True)),
}
GLYPHS = {  # of a legend in HTML: filled, and as a ring
    "o": "\u25cf\u25cb",
    "s": "\u25a0\u25a1",
    "^": "\u25b2\u25b3",
    "D": "\u25c6\u25c7",
    "v": "\u25bc\u25bd",
    "P": "\u271a\u271b",
}
# of a legend in HTML
CYCLE = ("#1b6ca8", "#d1495b", "#2e933c", "#8d5a97", "#e08e1b", "#444444", "#17a2b8", "#b5838d", "#6a994e", "#000000")
SIZE = (5, 3.33)  # inches of 72 units: near what a plot takes on a telephone, so that its letters are readable there
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib; also what the space for letters is computed by
    "font.size": 10,
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": COLOURS["line"],
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "text.color"), COLOURS["soft"]),
}


@dataclass(frozen=True)
class Series:
    """Values to draw together.

    Attributes:
        name: For the legend and for what a pointer shows.
        points: ``(x, y)`` pairs.
        style: A key of :data:`COLOURS`; ``""`` takes the next colour of a cycle.
        dashed: Whether a line is dashed and its points are rings; whether bars are outlines.
        tips: What a pointer shows for each point; by default its name and values.
        intervals: ``(low, high)`` of the measured value of each point, NaN where there is none; ``()`` draws none.
    """

    name: str
    points: Sequence[tuple[float, float]]
    style: str = ""
    dashed: bool = False
    tips: Sequence[str] = ()
    intervals: Sequence[tuple[float, float]] = ()

    @property
    def glyph(self) -> str:
        """The marker of its points as a character, for a legend beside the plot."""
        return GLYPHS[MARKERS.get(self.style, "o")][self.dashed]
