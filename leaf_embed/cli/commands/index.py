"""``leaf-embed index``: documents into a collection, by the teacher."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from leaf_embed.cli.console import errors, output, progress_bar, quiet_transformers
from leaf_embed.cli.place import CollectionName, Path_, Url, place
from leaf_embed.cli.shape import Hybrid, Language, Mrl, Preset, Quantization, spec_from
from leaf_embed.errors import CorpusError

if TYPE_CHECKING:
    from leaf_embed.qdrant import CollectionSpec
    from leaf_embed.space import EmbeddingSpace

__all__ = ["check_documents", "command", "read_documents"]


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
    preset: Preset = "balanced",
    mrl: Mrl = None,
    quantization: Quantization = None,
    hybrid: Hybrid = False,
    language: Language = "english",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only estimate memory and disk.")] = False,
) -> None:
    """Embed documents by the teacher and store them.

    Makes the collection if it is not there, and says before what it will take. Documents that are there unchanged are
    not embedded again, so an interrupted run goes on where it stopped.
    """
    where = place(path, url)
    for file in documents:
        check_documents(file)
    import leaf_embed
    from leaf_embed.qdrant import LeafCollection, list_collections

    encoder = leaf_embed.load(leaf, document=teacher or "teacher")
    spec = None
    if dry_run or collection not in list_collections(**where):
        spec = spec_from(encoder.space, preset, mrl, quantization, hybrid=hybrid, language=language)
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
            report = found.index(
                (record for file in documents for record in read_documents(file)),
                progress=progress,
            )
            count = found.count()
    output.print(
        f"{report.added} added, {report.updated} updated, {report.payload_updated} with a new payload, "
        f"{report.unchanged} unchanged in {report.seconds:.1f} s; the collection holds {count} documents"
    )


def _estimate(spec: CollectionSpec, space: EmbeddingSpace, files: list[Path]) -> str:
    """What a collection of the files' documents will take, from one pass over them."""
    from leaf_embed.qdrant import estimate

    sizes = [len(json.dumps(record, default=str)) for file in files for record in read_documents(file)]
    return str(estimate(spec, space, max(1, len(sizes)), text_bytes=sum(sizes) // max(1, len(sizes))))


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


def check_documents(file: Path) -> None:
    """Refuse a file that :func:`read_documents` cannot read, before anything else is done.

    Raises:
        CorpusError: It is not there, or of an unknown format.
    """
    if not file.is_file():
        raise CorpusError(f"there is no file {file}")
    if _suffix(file) not in (".jsonl", ".csv", ".txt"):
        raise CorpusError(f"{file} is of an unknown format; expected .jsonl, .csv or .txt, or one of these with .gz")


def _open(file: Path) -> IO[str]:
    if file.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(file), encoding="utf-8-sig")
    return file.open(encoding="utf-8-sig")
