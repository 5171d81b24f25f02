"""What ``tune`` measured, as a picture: recall against milliseconds, in the terminal or as a file."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leaf_embed.qdrant import TuneReport, TuneRow

__all__ = ["tune_svg", "tune_text"]

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 720, 420, 70, 40, 170, 60
COLOURS = ("#1b6ca8", "#d1495b", "#2e933c", "#8d5a97", "#e08e1b", "#444444")
COLUMNS, LINES = 60, 12
MARKS = "ox+*#@"


class Scale:
    """Where values lie between the smallest and the largest of them, from 0 to 1."""

    def __init__(self, values: list[float]) -> None:
        self.low, self.high = min(values), max(values)

    def __call__(self, value: float) -> float:
        return 0.5 if self.high == self.low else (value - self.low) / (self.high - self.low)


def _series(report: TuneReport) -> dict[str, list[TuneRow]]:
    """The rows of each spec and first stage, the exact search of each spec among them."""
    found: dict[str, list[TuneRow]] = {}
    for row in report.rows:
        stage = "exact" if row.mrl is None else f"mrl_{row.mrl} {row.quantization}"
        found.setdefault(f"{row.spec}: {stage}", []).append(row)
    return found


def tune_text(report: TuneReport) -> str:
    """Recall upwards, the median milliseconds to the right, one mark a setting, in lines of text."""
    x, y = Scale([row.p50_ms for row in report.rows]), Scale([row.recall for row in report.rows])
    grid = [[" "] * COLUMNS for _ in range(LINES)]
    series = _series(report)
    for number, rows in enumerate(series.values()):
        for row in rows:
            line = LINES - 1 - round(y(row.recall) * (LINES - 1))
            grid[line][round(x(row.p50_ms) * (COLUMNS - 1))] = MARKS[number % len(MARKS)]
    lines = [f"{_label(i, y):>7} |{''.join(cells).rstrip()}" for i, cells in enumerate(grid)]
    lines.append(f"{'':>7} +{'-' * COLUMNS}")
    lines.append(f"{'recall':>7}  {x.low:<10.2f}{'p50 ms':^{COLUMNS - 20}}{x.high:>10.2f}")
    return "\n".join([*lines, *(f"{MARKS[i % len(MARKS)]:>9} {name}" for i, name in enumerate(series))])


def _label(line: int, scale: Scale) -> str:
    return f"{scale.high:.3f}" if line == 0 else f"{scale.low:.3f}" if line == LINES - 1 else ""


def tune_svg(report: TuneReport) -> str:
    """The same as one SVG file, which any browser shows; the recommended setting has a ring."""
    x, y = Scale([0.0, *(row.p50_ms for row in report.rows)]), Scale([1.0, *(row.recall for row in report.rows)])

    def place(row: TuneRow) -> tuple[float, float]:
        across = LEFT + x(row.p50_ms) * (WIDTH - LEFT - RIGHT)
        return round(across, 1), round(HEIGHT - BOTTOM - y(row.recall) * (HEIGHT - TOP - BOTTOM), 1)

    parts = [*_axes(report, x, y)]
    for number, (name, rows) in enumerate(_series(report).items()):
        colour = COLOURS[number % len(COLOURS)]
        points = [place(row) for row in rows]
        line = " ".join(f"{a},{b}" for a, b in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for row, (a, b) in zip(rows, points, strict=True):
            ring = ' stroke="black" stroke-width="2"' if row is report.recommended else ""
            parts.append(f'<circle cx="{a}" cy="{b}" r="5" fill="{colour}"{ring}><title>{_title(row)}</title></circle>')
        parts.append(_text(WIDTH - RIGHT + 14, TOP + 18 * number, name, fill=colour))
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    style = 'font-family="sans-serif" font-size="12"'
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>', *parts, "</svg>", ""])


def _axes(report: TuneReport, x: Scale, y: Scale) -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    return [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="black"/>',
        _text(LEFT, TOP - 16, f"recall against exact search, {report.queries} queries; the ring: take this"),
        _text(LEFT - 8, TOP + 4, f"{y.high:.3f}", anchor="end"),
        _text(LEFT - 8, bottom, f"{y.low:.3f}", anchor="end"),
        _text(LEFT, bottom + 20, f"{x.low:.2f}"),
        _text(right, bottom + 20, f"{x.high:.2f}", anchor="end"),
        _text((LEFT + right) / 2, bottom + 38, "median milliseconds of a search", anchor="middle"),
    ]


def _title(row: TuneRow) -> str:
    candidates = "exact" if row.candidates is None else f"{row.candidates} candidates"
    return f"{candidates}: recall {row.recall:.4f}, p50 {row.p50_ms:.2f} ms"


def _text(x: float, y: float, words: str, *, anchor: str = "start", fill: str = "black") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{fill}">{escape(words)}</text>'
