"""The options that commands share, one definition each with its panel in the help text, and the values they become."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from leaf_embed._files import parse_json
from leaf_embed.cli.console import many_integers
from leaf_embed.errors import InputError

if TYPE_CHECKING:
    from leaf_embed.qdrant import CollectionSpec
    from leaf_embed.space import EmbeddingSpace

__all__ = [
    "AsJson",
    "Cache",
    "CollectionName",
    "CorpusFiles",
    "Exclude",
    "FromQdrant",
    "Leaf",
    "LeafArgument",
    "Limit",
    "Path_",
    "PresetName",
    "Report",
    "SourceCollection",
    "Teacher",
    "TeacherOfLeaf",
    "TextKey",
    "Url",
    "Where",
    "api_option",
    "collection_option",
    "conditions",
    "output_option",
    "panel",
    "place",
    "spec_from",
    "student_option",
    "teacher_option",
    "texts_option",
    "training_option",
]


def panel(name: str) -> Callable[..., Any]:
    """Returns ``typer.Option`` for options of a panel of the help text."""
    return partial(typer.Option, rich_help_panel=name)


teacher_option, texts_option, api_option = map(panel, ("Teacher", "Texts", "Teacher behind an API"))
student_option, training_option, output_option = map(panel, ("Student", "Training", "Output"))
collection_option = panel("Collection")

PresetName: TypeAlias = Literal["balanced", "small", "exact"]
SIGNS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}

Leaf = Annotated[Path, typer.Option(help="Leaf directory.")]
LeafArgument = Annotated[Path, typer.Argument(help="Leaf directory.", metavar="DIR")]
TeacherOfLeaf = Annotated[
    str | None, teacher_option("--teacher", help="Teacher's directory or hub id. Default: the one named in the leaf.")
]
Report = Annotated[Path | None, typer.Option(help="Report of leaf-embed evaluate, for the table on the model card.")]
AsJson = Annotated[bool, output_option("--json", help="Print one JSON object per line.")]
Limit = Annotated[int, typer.Option(help="Number of hits.")]

Teacher = Annotated[
    str | None,
    teacher_option(
        help="Directory or hub id of a sentence-transformers model; for stored vectors, or an API, the model's name."
    ),
]
CorpusFiles = Annotated[
    list[str] | None,
    texts_option(
        help="Files (.txt, .jsonl, .csv, .parquet), directories, or hub:org/name?split=train&text=column; several."
    ),
]
Exclude = Annotated[
    list[Path] | None, texts_option(help="Files or BEIR directories whose texts must not be learned from.")
]
Cache = Annotated[
    Path | None, teacher_option(help="Directory of teacher vectors: what it holds is not embedded again.")
]
FromQdrant = Annotated[
    str | None, collection_option(help="Take the vectors of a collection: URL (key: QDRANT_API_KEY) or directory.")
]
SourceCollection = Annotated[str | None, collection_option("--collection", help="Name of the collection.")]
TextKey = Annotated[str, collection_option(help="Payload key of the text, as in metadata.text.")]

CollectionName = Annotated[str, collection_option("--collection", help="Name of the collection.")]
Path_ = Annotated[Path | None, collection_option("--path", help="Directory of the embedded engine.")]
Url = Annotated[str | None, collection_option("--url", help="A Qdrant server; its key comes from QDRANT_API_KEY.")]
Where = Annotated[
    list[str] | None,
    collection_option(
        help="Conditions that must all hold: lang=en, lang!=en, 'year>=1990', 'day<2024-01-31', "
        "'lang=[\"en\",\"de\"]', note (exists), '!note' (is missing); several may follow."
    ),
]


def place(path: Path | None, url: str | None) -> dict[str, Any]:
    """Returns the keyword arguments that say where a collection lies.

    A directory of ``QdrantClient(path=...)`` is opened by such a client.

    Raises:
        InputError: Not exactly one of the two.
    """
    if (path is None) == (url is None):
        raise InputError("give either --path (a directory, for the embedded engine) or --url (a Qdrant server)")
    from leaf_embed.qdrant import connect, is_client_directory

    if path is not None:
        return {"client": connect(path)} if is_client_directory(path) else {"path": path}
    return {"client": connect(str(url), os.environ.get("QDRANT_API_KEY"))}


def spec_from(
    space: EmbeddingSpace,
    preset: PresetName | None,
    mrl: list[str] | None,
    quantization: str | None,
    *,
    hybrid: bool,
    language: str,
) -> CollectionSpec:
    """Returns the spec of a new collection that the options of ``index`` ask for.

    Raises:
        InputError: A value that no collection of this space can have.
    """
    from leaf_embed.qdrant import CollectionSpec

    # A small space needs no first stage, whatever its preset would say.
    base = CollectionSpec.for_space(space) if preset in (None, "balanced") else CollectionSpec.preset(preset, space)
    changes: dict[str, Any] = {}
    if mrl:
        changes["mrl"] = many_integers(mrl, "--mrl")
    if quantization is not None:
        changes["quantization"] = quantization
    if hybrid:
        changes.update(sparse="bm25", language=language)
    spec = replace(base, **changes)
    spec.require_fit(space)
    return spec


def conditions(given: Sequence[str]) -> dict[str, Any]:
    """Returns ``--where`` as a filter of :mod:`leaf_embed.qdrant.query.filters`; ``{}`` for no condition.

    Raises:
        InputError: Something that is no condition.
    """
    parts = [_condition(text) for text in given]
    keys = [key for part in parts for key in part]
    if len(set(keys)) == len(keys):
        return {key: value for part in parts for key, value in part.items()}
    return {"$and": parts}


def _condition(text: str) -> dict[str, Any]:
    found = re.fullmatch(r"(!?)([^=<>!]+?)(?:(!=|>=|<=|=|>|<)(.*))?", text, re.DOTALL)
    absent, key, sign, value = found.groups() if found else ("", "", "", "")
    if not key or (absent and sign):
        raise InputError(
            "--where takes key=value, as in lang=en, or != > >= < <=, or a key alone, which must be there, "
            f"or !key, which must not; got {text!r}"
        )
    if sign is None:
        return {key: None if absent else {"not": None}}
    read = _value(value)
    if sign in SIGNS:
        return {key: {SIGNS[sign]: read}}
    if isinstance(read, float):
        read = {"gte": read, "lte": read}
        return {key: read} if sign == "=" else {"$not": {key: read}}
    return {key: read if sign == "=" else {"not": read}}


def _value(text: str) -> Any:
    """Returns numbers, true, false and lists as what they look like; a text in quotes stays one."""
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    if re.fullmatch(r"-?\d*\.\d+", text):
        return float(text)
    if text[:1] in ("[", '"'):
        try:
            return parse_json(text)
        except ValueError as error:
            raise InputError(f'--where: {text!r} is no JSON ({error}); expected such as ["en", "de"]') from error
    return text
