"""``leaf-embed index``: documents into a collection, by the teacher."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from leaf_embed.cli.console import many_numbers, output, progress_bar, quiet_transformers
from leaf_embed.cli.place import CollectionName, Path_, Url, place
from leaf_embed.errors import CorpusError

__all__ = ["command", "read_documents"]


def command(
    leaf: Annotated[Path, typer.Option(help="Leaf directory.")],
    collection: CollectionName,
    documents: Annotated[
        list[Path], typer.Option("--input", help="Documents: .jsonl (BEIR), .csv or .txt; several may follow.")
    ],
    path: Path_ = None,
    url: Url = None,
    teacher: Annotated[
        str | None, typer.Option(help="Teacher's directory or hub id. Default: the one named in the leaf.")
    ] = None,
    mrl: Annotated[list[str] | None, typer.Option(help="Truncated dimensions to search first, as in 128.")] = None,
    quantization: Annotated[str, typer.Option(help="Of the truncated vectors: int8 or none.")] = "int8",
) -> None:
    """Embed documents by the teacher and store them.

    Makes the collection if it is not there. Documents that are there unchanged are not embedded again, so an
    interrupted run goes on where it stopped.
    """
    where = place(path, url)
    for file in documents:
        _check(file)
    import leaf_embed
    from leaf_embed.qdrant import CollectionSpec, LeafCollection, list_collections

    encoder = leaf_embed.load(leaf, document=teacher or "teacher")
    chosen = many_numbers(mrl, "--mrl")
    quiet_transformers()
    with progress_bar() as progress:
        if collection in list_collections(**where):
            found = LeafCollection.open(collection, encoder, **where)
        else:
            spec: dict[str, Any] = {"quantization": quantization}
            spec["mrl"] = chosen or CollectionSpec.for_space(encoder.space).mrl
            found = LeafCollection.create(collection, encoder, spec=CollectionSpec(**spec), **where)
        with found:
            report = found.index(
                (record for file in documents for record in read_documents(file)),
                progress=lambda done, total: progress("index", done, total),
            )
            count = found.count()
    output.print(
        f"{report.added} added, {report.updated} updated, {report.payload_updated} with a new payload, "
        f"{report.unchanged} unchanged in {report.seconds:.1f} s; the collection holds {count} documents"
    )


def read_documents(file: Path) -> Iterator[dict[str, Any]]:
    """Documents of a file as mappings with ``_id``, ``text`` and what else stands there.

    Lines of a .txt file, and records without ``_id`` or ``id``, get ``<file name>:<line>`` as id.

    Raises:
        CorpusError: A line that cannot be read; the message names it.
    """
    with _open(file) as stream:
        try:
            for number, record in _records(file, stream):
                if not isinstance(record, dict):
                    raise CorpusError(f"{file}:{number} is no object with a 'text'; got {type(record).__name__}")
                if "_id" not in record and "id" not in record:
                    record["_id"] = f"{file.name}:{number}"
                yield record
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            raise CorpusError(f"cannot read {file}: {error}. Is it whole, and UTF-8?") from error


def _records(file: Path, stream: IO[str]) -> Iterator[tuple[int, Any]]:
    if _suffix(file) == ".csv":
        yield from enumerate(csv.DictReader(stream), 2)
        return
    for number, line in enumerate(stream, 1):
        text = line.strip()
        if not text:
            continue
        if _suffix(file) == ".txt":
            yield number, {"text": text}
            continue
        try:
            yield number, json.loads(text)
        except ValueError as error:
            raise CorpusError(f"{file}:{number} is no JSON: {error}") from error


def _suffix(file: Path) -> str:
    return Path(file.name.removesuffix(".gz")).suffix


def _check(file: Path) -> None:
    if not file.is_file():
        raise CorpusError(f"there is no file {file}")
    if _suffix(file) not in (".jsonl", ".csv", ".txt"):
        raise CorpusError(f"{file} is of an unknown format; expected .jsonl, .csv or .txt, or one of these with .gz")


def _open(file: Path) -> IO[str]:
    if file.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(file), encoding="utf-8-sig")
    return file.open(encoding="utf-8-sig")
