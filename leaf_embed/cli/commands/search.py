"""``leaf-embed search``: search a collection with queries that the leaf encodes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from leaf_embed.cli.console import output
from leaf_embed.cli.options import AsJson, CollectionName, Leaf, Limit, Path_, Url, Where, conditions, place

if TYPE_CHECKING:
    from leaf_embed.qdrant import Hit

__all__ = ["command", "show_hits"]


def command(
    query: Annotated[str, typer.Argument(help="The query.")],
    leaf: Leaf,
    collection: CollectionName,
    path: Path_ = None,
    url: Url = None,
    limit: Limit = 10,
    where: Where = None,
    hybrid: Annotated[bool, typer.Option("--hybrid", help="Search with bm25 too, if the collection has it.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show the request, and why; nothing is sent.")] = False,
    as_json: AsJson = False,
) -> None:
    """Search a collection. Only the leaf is loaded, never the teacher."""
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
    """Prints one line per hit: rank, score, id, the beginning of the text."""
    for rank, hit in enumerate(hits, 1):
        text = " ".join(f"{hit.title} {hit.text}".split())
        output.print(f"{rank:>3}  {hit.score:.3f}  {hit.id}  {text[:100]}", markup=False, highlight=False)
