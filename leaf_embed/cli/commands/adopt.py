"""``leaf-embed adopt``: a collection that another program made, for a leaf, without indexing it again."""

from __future__ import annotations

from typing import Annotated

import typer

from leaf_embed.cli.console import output, quiet_transformers
from leaf_embed.cli.options import CollectionName, Leaf, Path_, TeacherOfLeaf, Url, collection_option, place
from leaf_embed.cli.torch_options import chosen_loading

__all__ = ["command"]


def command(
    leaf: Leaf,
    collection: CollectionName,
    path: Path_ = None,
    url: Url = None,
    teacher: TeacherOfLeaf = None,
    text_key: Annotated[
        str | None, collection_option(help="Payload key of the text. Default: found (LangChain's, Haystack's, text).")
    ] = None,
    payload_key: Annotated[
        str | None,
        collection_option(help="Payload key of the metadata; '' if they lie around the text. Default: found."),
    ] = None,
    vector_name: Annotated[
        str | None, collection_option(help="Name of the vector. Default: found by its size.")
    ] = None,
    sample: Annotated[int, typer.Option(help="Stored texts to embed again and compare.")] = 32,
) -> None:
    """Let a leaf search a collection that another program made; nothing is indexed again.

    Some of its texts are embedded by the teacher and compared with the stored vectors. Then the collection records
    which model it belongs to, and search, index and the stores open it. Ids, vectors and payloads stay as they are, and
    the other program may go on using it.
    """
    where = place(path, url)
    import leaf_embed
    from leaf_embed.qdrant import LeafCollection, read_metadata

    quiet_transformers()
    encoder = leaf_embed.load(leaf, document=teacher or "teacher", loading=chosen_loading())
    found = LeafCollection.adopt(
        collection, encoder, **where, text_key=text_key, payload_key=payload_key, vector=vector_name, sample=sample
    )
    with found:
        layout = read_metadata(found.name, **where).payload_layout
        text = f"texts under {layout.text_key!r}" if layout.text_key else "leaf-embed's own layout"
        fields = f", metadata under {layout.payload_key!r}" if layout.payload_key else ""
        output.print(
            f"{found.name}: {found.count()} documents, {text}{fields}; it belongs to {found.space.describe()} now",
            markup=False,
            highlight=False,
        )
