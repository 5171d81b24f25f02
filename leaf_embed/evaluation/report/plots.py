"""Three kinds of plot as inline SVG, each a string: no script, no file beside the page.

Every plot is 360 by 240 units, near what it takes on a telephone, so that its letters are readable there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

__all__ = ["Series", "bars", "lines", "scatter"]

WIDTH, HEIGHT = 360, 240
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 40
Scale = Callable[[float], float]


@dataclass(frozen=True)
class Series:
    """Values to draw together.

    Attributes:
        name: For the legend and for what a pointer shows.
        points: ``(x, y)`` pairs.
        style: A class of the page's style sheet, which gives the colour: ``"teacher"``, ``"asymmetric"``...
        dashed: Whether a line is broken.
    """

    name: str
    points: Sequence[tuple[float, float]]
    style: str
    dashed: bool = False


def lines(
    series: Sequence[Series], title: str, x_label: str, y_label: str, y_values: Sequence[float] | None = None
) -> str:
    """Lines over the few values of x that occur, which stand at equal distances, largest first.

    Plots that are to be compared take the same ``y_values``, those of all of them.
    """
    places = sorted({x for one in series for x, _ in one.points}, reverse=True)
    low, high = _range([b for one in series for _, b in one.points] if y_values is None else y_values)
    y = _scale(low, high, HEIGHT - BOTTOM, TOP)
    step = (WIDTH - LEFT - RIGHT) / max(len(places), 1)

    def x(value: float) -> float:
        return LEFT + step * (places.index(value) + 0.5)

    parts = [_y_axis(low, high, y, y_label), _x_label(x_label)]
    parts += [_text(x(value), HEIGHT - BOTTOM + 14, f"{value:g}", "middle") for value in places]
    for one in series:
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in sorted(one.points, reverse=True))
        dash = ' stroke-dasharray="5 4"' if one.dashed else ""
        parts.append(f'<polyline class="line {one.style}" points="{path}"{dash}/>')
        parts += [_dot(x(a), y(b), one.style, f"{one.name}, {a:g}: {b:.4f}") for a, b in one.points]
    return _svg(title, parts)


def scatter(series: Sequence[Series], title: str, x_label: str, y_label: str) -> str:
    """Named points; x is logarithmic and positive."""
    xs, ys = ([point[axis] for one in series for point in one.points] for axis in (0, 1))
    bottom, top = floor(log10(min(xs)) - 0.1), ceil(log10(max(xs)) + 0.1)
    x, (low, high) = _scale(bottom, top, LEFT, WIDTH - RIGHT), _range(ys)
    y = _scale(low, high, HEIGHT - BOTTOM, TOP)
    parts = [_y_axis(low, high, y, y_label), _x_label(x_label)]
    for power in range(bottom, top + 1):
        parts.append(_text(x(power), HEIGHT - BOTTOM + 14, f"{10.0**power:g}", "middle"))
        parts.append(f'<line class="grid" x1="{x(power):.1f}" x2="{x(power):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    for one in series:
        for a, b in one.points:
            across, up = x(log10(a)), y(b)
            side, anchor = (-9, "end") if across > WIDTH * 0.6 else (9, "start")  # the name stays on the picture
            parts.append(_dot(across, up, one.style, f"{one.name}: {a:.3g} and {b:.4f}", 5))
            parts.append(_text(across + side, up + 4, one.name, anchor))
    return _svg(title, parts)


def bars(series: Sequence[Series], title: str, x_label: str, y_label: str, width: float) -> str:
    """Histograms over each other; x is the left border of a bar, ``width`` its breadth."""
    points = [point for one in series for point in one.points if point[1] > 0]
    left = min((a for a, _ in points), default=0.0)
    right = max((a for a, _ in points), default=1.0) + width
    x = _scale(left, right, LEFT, WIDTH - RIGHT)
    high = max((b for _, b in points), default=1.0)
    y = _scale(0, high, HEIGHT - BOTTOM, TOP)
    parts = [_y_axis(0, high, y, y_label, percent=True), _x_label(x_label)]
    parts += [_text(x(value), HEIGHT - BOTTOM + 14, f"{value:.2f}", "middle") for value in _ticks(left, right)]
    for one in series:
        for a, b in one.points:
            if b > 0:
                shape = f'x="{x(a):.1f}" y="{y(b):.1f}" width="{x(a + width) - x(a):.1f}" height="{y(0) - y(b):.1f}"'
                tip = f"{one.name}, {a:.2f} to {a + width:.2f}: {b:.1%}"
                parts.append(f'<rect class="bar {one.style}" {shape}><title>{escape(tip)}</title></rect>')
    return _svg(title, parts)


def _svg(title: str, parts: Sequence[str]) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
    return "\n".join([head, f"<title>{escape(title)}</title>", *parts, "</svg>"])


def _scale(low: float, high: float, start: float, end: float) -> Scale:
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def _range(values: Sequence[float]) -> tuple[float, float]:
    """A little more than the values take; never below 0."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = 0.08 * (high - low) or 0.02
    return max(0.0, low - margin), high + margin


def _ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers between two values."""
    step = 10.0 ** floor(log10((high - low) / count or 1))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= count + 1)
    return [step * i for i in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def _y_axis(low: float, high: float, y: Scale, label: str, percent: bool = False) -> str:
    parts = []
    for value in _ticks(low, high):
        at = y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(_text(LEFT - 5, at + 4, f"{value:.0%}" if percent else f"{value:.3g}", "end"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    place = f'transform="rotate(-90)" x="{-middle:.0f}" y="11" text-anchor="middle"'
    parts.append(f'<text class="label" {place}>{escape(label)}</text>')
    return "\n".join(parts)


def _x_label(label: str) -> str:
    return _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, label, "middle", "label")


def _text(x: float, y: float, text: str, anchor: str, style: str = "tick") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _dot(x: float, y: float, style: str, tip: str, radius: int = 3) -> str:
    return f'<circle class="dot {style}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"><title>{escape(tip)}</title></circle>'
