"""Who the teacher is: a model, an API, vectors in a collection, or vectors in files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leaf_embed._extras import require
from leaf_embed.cli.conditions import conditions
from leaf_embed.cli.console import load_torch_encoder, output
from leaf_embed.errors import InputError

if TYPE_CHECKING:
    from leaf_embed.distill import StoredVectors, Text
    from leaf_embed.encoders import Encoder

__all__ = [
    "Api",
    "ApiItems",
    "ApiKeyEnv",
    "ApiModel",
    "Budget",
    "Collection",
    "Dimensions",
    "DocumentPrompt",
    "FromQdrant",
    "QueryPrompt",
    "TeacherOptions",
    "TextKey",
    "TitleKey",
    "VectorName",
    "Vectors",
    "Where",
    "open_teacher",
]

VECTORS = "Vectors that exist already"
API = "An API as the teacher"

FromQdrant = Annotated[
    str | None,
    typer.Option(help="A collection's server URL (key: QDRANT_API_KEY) or directory.", rich_help_panel=VECTORS),
]
Collection = Annotated[str | None, typer.Option(help="Name of the collection.", rich_help_panel=VECTORS)]
TextKey = Annotated[str, typer.Option(help="Payload key of the text, as in metadata.text.", rich_help_panel=VECTORS)]
TitleKey = Annotated[
    str | None, typer.Option(help="Payload key of a title that was embedded before it.", rich_help_panel=VECTORS)
]
VectorName = Annotated[
    str | None, typer.Option(help="Name of the vector. Default: the only one.", rich_help_panel=VECTORS)
]
Where = Annotated[
    list[str] | None, typer.Option(help="Points to take, as in lang=en; several may follow.", rich_help_panel=VECTORS)
]
Vectors = Annotated[
    list[Path] | None,
    typer.Option(help=".parquet (text, vector), or a text file with a .npy beside it.", rich_help_panel=VECTORS),
]
Api = Annotated[
    str | None,
    typer.Option(help="OpenAI-compatible endpoint, as in https://api.openai.com/v1.", rich_help_panel=API),
]
ApiModel = Annotated[str | None, typer.Option(help="Name of the model there.", rich_help_panel=API)]
ApiKeyEnv = Annotated[str, typer.Option(help="Environment variable that holds the key.", rich_help_panel=API)]
ApiItems = Annotated[int, typer.Option(help="Texts a request at most; some services take 96.", rich_help_panel=API)]
Budget = Annotated[int | None, typer.Option(help="Tokens to spend at most.", rich_help_panel=API)]
Dimensions = Annotated[int | None, typer.Option(help="Ask the API for shorter vectors.", rich_help_panel=API)]
QueryPrompt = Annotated[
    str, typer.Option(help="What an API, or who wrote the vectors, puts before queries.", rich_help_panel=API)
]
DocumentPrompt = Annotated[str, typer.Option(help="What it puts before documents.", rich_help_panel=API)]


@dataclass(frozen=True)
class TeacherOptions:
    """What the command line says about the teacher. With vectors, ``teacher`` is a name, or who embeds the corpus.

    Raises:
        InputError: Not exactly one source of vectors, or one that lacks an option.
    """

    teacher: str | None
    has_corpus: bool
    from_qdrant: str | None = None
    collection: str | None = None
    text_key: str = "text"
    title_key: str | None = None
    vector_name: str | None = None
    where: tuple[str, ...] = ()
    vectors: tuple[Path, ...] = ()
    query_prompt: str = ""
    document_prompt: str = ""
    api: str | None = None
    api_model: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    api_items: int = 256
    budget: int | None = None
    dimensions: int | None = None

    def __post_init__(self) -> None:
        if self.from_qdrant is not None and self.vectors:
            raise InputError("give either --from-qdrant or --vectors, not both")
        if self.from_qdrant is not None and self.collection is None:
            raise InputError("--from-qdrant needs --collection, the name of the collection")
        if self.api is not None and (self.teacher is not None or self.api_model is None):
            raise InputError("--api needs --api-model, the name of the model there, and no --teacher")
        if self.api is None and (self.api_model, self.budget, self.dimensions) != (None, None, None):
            raise InputError("--api-model, --budget and --dimensions are for an --api; its address is missing")
        if not self.stored and self.teacher is None and self.api is None:
            raise InputError("who is the teacher? Give --teacher, --api, --from-qdrant or --vectors")
        if not self.stored and not self.has_corpus:
            raise InputError("--corpus is missing: texts to learn from. Only stored vectors bring their own")
        if self.stored and self.has_corpus and self.teacher is None and self.api is None:
            raise InputError("a --corpus beside stored vectors needs the --teacher or --api that wrote them")

    @property
    def stored(self) -> bool:
        """Whether there are vectors that exist already."""
        return self.from_qdrant is not None or bool(self.vectors)

    @property
    def is_model(self) -> bool:
        """Whether the teacher is a model on this machine, whose layers may become a student."""
        return not self.stored and self.api is None


def open_teacher(options: TeacherOptions, corpus: Iterable[Text], max_tokens: int) -> Encoder:
    """The teacher: a model, an API, or stored vectors.

    Args:
        options: Who it is.
        corpus: What it will be asked for; an API's cost is estimated on it before the first call.
        max_tokens: Where these texts are cut.
    """
    if options.stored:
        return _stored(options, corpus, max_tokens)
    return _asked(options, corpus, max_tokens)


def _asked(options: TeacherOptions, corpus: Iterable[Text], max_tokens: int) -> Encoder:
    """A teacher that embeds texts."""
    if options.api is None:
        return load_torch_encoder(str(options.teacher))
    from leaf_embed.distill import estimate_cost
    from leaf_embed.encoders.api import ApiEncoder, ApiOptions

    prompts: dict[str, Any] = {"query_prompt": options.query_prompt, "document_prompt": options.document_prompt}
    encoder = ApiEncoder(
        options.api,
        str(options.api_model),
        dimensions=options.dimensions,
        budget=options.budget,
        options=ApiOptions(key_env=options.api_key_env, items=options.api_items),
        **prompts,
    )
    cost = estimate_cost(corpus, max_tokens=max_tokens, **prompts)
    limit = "no budget set" if options.budget is None else f"budget {options.budget:,}"
    output.print(
        f"cost        about {cost.tokens:,} tokens for {cost.texts:,} distinct texts, less what is cached; {limit}",
        highlight=False,
    )
    return encoder


def _stored(options: TeacherOptions, corpus: Iterable[Text], max_tokens: int) -> StoredVectors:
    from leaf_embed.distill import StoredVectors

    pairs, space, name = _collection(options) if options.from_qdrant is not None else _files(options)
    if options.has_corpus:
        return StoredVectors(pairs, _asked(options, corpus, max_tokens))
    if space is not None and options.teacher is None:
        return StoredVectors(pairs, space)
    stored = StoredVectors(
        pairs,
        options.teacher or name,
        query_prompt=options.query_prompt,
        document_prompt=options.document_prompt,
    )
    if options.teacher is None:
        output.print(f"teacher     unknown, called {name!r}; say which model wrote the vectors with --teacher")
    return stored


def _files(options: TeacherOptions) -> tuple[Iterable[Any], None, str]:
    from leaf_embed.distill import VectorFiles

    return VectorFiles(options.vectors), None, options.vectors[0].stem


def _collection(options: TeacherOptions) -> tuple[Iterable[Any], Any, str]:
    from leaf_embed.qdrant import CollectionPairs

    where = conditions(options.where)
    reading: dict[str, Any] = {"text": options.text_key, "title": options.title_key, "vector": options.vector_name}
    place = _place(str(options.from_qdrant))
    pairs = CollectionPairs(str(options.collection), where=where, **reading, **place)
    space = pairs.space
    if space is not None and options.text_key == "text" and options.title_key is None:
        pairs = CollectionPairs(str(options.collection), where=where, **(reading | {"title": "title"}), **place)
    return pairs, space, str(options.collection)


def _place(source: str) -> dict[str, Any]:
    """A server, the directory of a client in local mode, or a directory of the embedded engine."""
    if "://" in source:
        client = require("qdrant_client", "qdrant", "A Qdrant server")
        return {"client": client.QdrantClient(url=source, api_key=os.environ.get("QDRANT_API_KEY"))}
    if not Path(source).is_dir():
        raise InputError(f"--from-qdrant takes a URL such as http://localhost:6333, or a directory; got {source!r}")
    if (Path(source) / "meta.json").is_file():
        client = require("qdrant_client", "qdrant", "A collection in a client's directory")
        return {"client": client.QdrantClient(path=source)}
    return {"path": source}
