"""``leaf-embed search``: ask a collection through the leaf."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leaf_embed.cli.conditions import Where, conditions
from leaf_embed.cli.console import output
from leaf_embed.cli.place import CollectionName, Path_, Url, place

if TYPE_CHECKING:
    from leaf_embed.qdrant import Hit

__all__ = ["command", "show_hits"]


def command(
    query: Annotated[str, typer.Argument(help="The question.")],
    leaf: Annotated[Path, typer.Option(help="Leaf directory.")],
    collection: CollectionName,
    path: Path_ = None,
    url: Url = None,
    limit: Annotated[int, typer.Option(help="Answers to show.")] = 10,
    where: Where = None,
    hybrid: Annotated[bool, typer.Option("--hybrid", help="Look for the words too, if they are kept.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show what is asked, and why; nothing is asked.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Ask a question. Only the leaf is loaded, never the teacher."""
    there, filters = place(path, url), conditions(where or ())
    import leaf_embed
    from leaf_embed.qdrant import LeafCollection

    with LeafCollection.open(collection, leaf_embed.load(leaf), **there) as found:
        if explain:
            shown = found.explain(query, limit=limit, where=filters, hybrid=hybrid)
            output.print(str(shown), markup=False, highlight=False)
            return
        hits = found.search(query, limit=limit, where=filters, hybrid=hybrid)
    if as_json:
        for hit in hits:
            typer.echo(json.dumps(hit.__dict__ | {"payload": dict(hit.payload)}, ensure_ascii=False))
    else:
        show_hits(hits)


def show_hits(hits: list[Hit]) -> None:
    """One line an answer: score, id, the beginning of the text."""
    for place_, hit in enumerate(hits, 1):
        text = " ".join(f"{hit.title} {hit.text}".split())
        output.print(f"{place_:>3}  {hit.score:.3f}  {hit.id}  {text[:100]}", markup=False, highlight=False)
