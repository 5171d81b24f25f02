"""Tables in Markdown, which read as plain text too."""

from __future__ import annotations

from collections.abc import Collection, Sequence

__all__ = ["markdown"]


def markdown(rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> str:
    """A table with aligned columns.

    Args:
        rows: The first is the header; all of one length.
        left: Columns that hold names; the others, numbers, are aligned to the right.
    """
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        padded = zip(row, widths, strict=True)
        cells = [cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(padded)]
        lines.append(f"| {' | '.join(cells)} |")
    rule = [f":{'-' * (w - 1)}" if i in left else f"{'-' * (w - 1)}:" for i, w in enumerate(widths)]
    return "\n".join([lines[0], f"| {' | '.join(rule)} |", *lines[1:]])
