"""``leaf-embed index``: documents, embedded by the teacher, into a collection."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from leaf_embed._files import check_writable
from leaf_embed.cli.console import errors, output, progress_bar, quiet_transformers
from leaf_embed.cli.options import (
    CollectionName,
    Leaf,
    Path_,
    PresetName,
    TeacherOfLeaf,
    Url,
    output_option,
    panel,
    place,
    spec_from,
    texts_option,
)
from leaf_embed.cli.torch_options import chosen_loading
from leaf_embed.errors import InputError
from leaf_embed.qdrant.document_files import check_documents, read_documents

if TYPE_CHECKING:
    from leaf_embed.qdrant import CollectionSpec
    from leaf_embed.space import EmbeddingSpace

__all__ = ["command"]

new_option = panel("A new collection")


def command(
    leaf: Leaf,
    collection: CollectionName,
    documents: Annotated[
        list[Path], texts_option("--input", help="Documents: .jsonl (BEIR), .csv or .txt; several may follow.")
    ],
    path: Path_ = None,
    url: Url = None,
    teacher: TeacherOfLeaf = None,
    preset: Annotated[
        PresetName | None,
        new_option(help="balanced (default), small (less memory) or exact (no memory, slow when large)."),
    ] = None,
    mrl: Annotated[list[str] | None, new_option(help="Truncated dimensions to search first, as in 128.")] = None,
    quantization: Annotated[
        str | None, new_option(help="Of the truncated vectors, instead of the preset's: none, int8, turbo4, ...")
    ] = None,
    hybrid: Annotated[bool, new_option("--hybrid", help="Keep bm25 vectors too, for search --hybrid.")] = False,
    language: Annotated[str, new_option(help="Language of the bm25 vectors: english, german, ...")] = "english",
    dry_run: Annotated[bool, output_option("--dry-run", help="Only estimate memory and disk.")] = False,
) -> None:
    """Embed documents with the teacher and store them.

    Creates the collection if it does not exist, and prints before how much memory and disk it will take. Unchanged
    documents are not embedded again, so an interrupted run goes on where it stopped. Of a collection that exists, the
    options for a new one have to say what it has.
    """
    where = place(path, url)
    for file in documents:
        check_documents(file)
    import leaf_embed
    from leaf_embed.qdrant import LeafCollection, list_collections
    from leaf_embed.qdrant.schema.metadata import check_name

    check_name(collection)
    if path is not None and not dry_run:
        check_writable(path / ".leaf-embed")
    encoder = leaf_embed.load(leaf, document=teacher or "teacher", loading=chosen_loading())
    spec, asked = None, spec_from(encoder.space, preset, mrl, quantization, hybrid=hybrid, language=language)
    if dry_run or collection not in list_collections(**where):
        spec = asked
        expected = _estimate(spec, encoder.space, documents)
        (output if dry_run else errors).print(expected, highlight=False)
        if dry_run:
            return
    quiet_transformers()
    with progress_bar() as progress:
        found = (
            LeafCollection.open(collection, encoder, **where)
            if spec is None
            else LeafCollection.create(collection, encoder, spec=spec, **where)
        )
        with found:
            if spec is None:
                given = {"mrl": mrl, "quantization": quantization, "datatype": None, "sparse": hybrid}
                fields = [name for name, value in given.items() if value or (preset and name != "sparse")]
                _require_same(found.name, found.spec, asked, fields)
            report = found.index((record for file in documents for record in read_documents(file)), progress=progress)
            count = found.count()
    output.print(
        f"{report.added} added, {report.updated} updated, {report.payload_updated} with a new payload, "
        f"{report.unchanged} unchanged in {report.seconds:.1f} s; the collection holds {count} documents"
    )


def _require_same(name: str, spec: CollectionSpec, asked: CollectionSpec, fields: Sequence[str]) -> None:
    """Refuses options for a new collection that are not what an existing one has."""
    other = [
        f"{field} {getattr(spec, field)!r}, not {getattr(asked, field)!r}"
        for field in fields
        if getattr(spec, field) != getattr(asked, field)
    ]
    if other:
        raise InputError(
            f"the collection {name!r} has {' and '.join(other)}: --preset, --mrl, --quantization and --hybrid are for "
            "a new one. Leave them out, name another --collection, or change this one in Python with add_mrl or "
            "change_quantization of LeafCollection, for which the teacher is not asked"
        )


def _estimate(spec: CollectionSpec, space: EmbeddingSpace, files: list[Path]) -> str:
    """Returns the memory and disk that the files' documents will take, from one pass over them."""
    from leaf_embed.qdrant import estimate

    sizes = [len(json.dumps(record, default=str)) for file in files for record in read_documents(file)]
    return str(estimate(spec, space, max(1, len(sizes)), text_bytes=sum(sizes) // max(1, len(sizes))))
