"""``leaf-embed inspect``: facts about a leaf or a collection, and whether they match."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from leaf_embed.cli.console import kilobytes, output
from leaf_embed.cli.options import Path_, Url, collection_option, place
from leaf_embed.errors import InputError
from leaf_embed.format import GRAPHS, LEAF_FILE, read_leaf, read_parity
from leaf_embed.space import EmbeddingSpace

__all__ = ["command"]


def command(
    leaf: Annotated[Path | None, typer.Argument(help="Leaf directory.", metavar="[DIR]")] = None,
    collection: Annotated[str | None, collection_option(help="Name of a collection.")] = None,
    path: Path_ = None,
    url: Url = None,
) -> None:
    """Show a leaf, a collection, or both, and prove with the canaries that they are what they say.

    Exit code 1 if a leaf does not write into its space, or if leaf and collection do not match.
    """
    if collection is None:
        _refuse_collections(leaf if path is None else path)
    if leaf is None and collection is None:
        raise InputError("name a leaf directory, or a collection with --collection and --path or --url")
    if leaf is not None:
        _show_leaf(leaf)
    if collection is not None:
        _show_collection(collection, place(path, url), leaf)


def _refuse_collections(directory: Path | None) -> None:
    """Refuses a directory of collections where none is named.

    Raises:
        InputError: The directory holds collections; the message says which.
    """
    if directory is None or not directory.is_dir() or (directory / LEAF_FILE).is_file():
        return
    from leaf_embed.qdrant import is_client_directory, list_collections

    names = list_collections(**place(directory, None))
    if names or is_client_directory(directory):
        kind = "QdrantClient(path=...)" if is_client_directory(directory) else "the embedded engine"
        raise InputError(
            f"{directory} is a directory of {kind} with the collections {', '.join(map(repr, names)) or 'none'}; "
            f"name one: leaf-embed inspect --path {directory} --collection {names[0] if names else 'NAME'}"
        )


def _show_leaf(directory: Path) -> None:
    info = read_leaf(directory)
    import leaf_embed

    output.print(f"leaf         {directory}")
    _show_space(info.space)
    output.print(f"max tokens   {info.max_tokens}")
    recipe = dict(info.recipe)
    layers, hidden = recipe.get("layers"), recipe.get("head")
    shown = "all" if layers is None else layers or "none"
    above = f", hidden layers {hidden}" if hidden else ""
    output.print(f"student      {recipe.get('student')}, layers {shown}{above}", markup=False)
    for variant, file in GRAPHS.items():
        graph = directory / file
        size = f"{kilobytes(graph) / 1000:.1f} MB" if graph.is_file() else "not exported"
        output.print(f"{variant:<12} {size}")
    for variant, parity in read_parity(directory).items():
        cosines = f"mean {parity['mean_cosine']:.5f}, lowest {parity['min_cosine']:.5f}"
        how = f", {parity['recipe']}" if "recipe" in parity else ""
        output.print(f"parity       {variant}: {cosines}, {parity['texts']} texts{how}")
    has_graph = any(directory.glob("**/" + name) for name in GRAPHS.values())  # of a Router in a folder
    if (has_graph or not info.needs_graph) and info.space.canaries is not None:
        output.print(f"leaf         {leaf_embed.load(directory).verify()}")


def _show_collection(name: str, where: dict[str, Any], leaf: Path | None) -> None:
    import leaf_embed
    from leaf_embed.qdrant import LeafCollection, read_metadata

    metadata = read_metadata(name, **where)
    output.print(f"collection   {name}, made by {metadata.made_by}")
    _show_space(metadata.space)
    output.print(f"vectors      {metadata.spec.vector_dims(metadata.space)}, {metadata.spec.quantization}")
    if leaf is None:
        output.print("not opened: name a leaf directory too, to see whether it belongs to the collection")
        return
    with LeafCollection.open(name, leaf_embed.load(leaf), check_canaries=False, **where) as found:
        output.print(f"documents    {found.count()}")
        if metadata.space.canaries is not None:
            output.print(f"belongs      {found.verify()}")


def _show_space(space: EmbeddingSpace) -> None:
    output.print(f"space        {space.describe()}", markup=False, highlight=False)
    output.print(f"revision     {space.revision}")
    norm = "unit norm" if space.unit_norm else "norm not fixed"
    output.print(f"teacher      {norm}, reads {space.max_tokens} tokens")
    output.print(f"prompts      query {space.query_prompt!r}, document {space.document_prompt!r}", markup=False)
