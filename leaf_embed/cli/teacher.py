"""The teacher that the options of ``cache`` and ``distill`` name: a model, an API, or vectors that exist already."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leaf_embed.cli.console import output
from leaf_embed.cli.options import conditions
from leaf_embed.cli.torch_options import load_torch_encoder
from leaf_embed.encoders.api_http import ApiOptions
from leaf_embed.errors import InputError

if TYPE_CHECKING:
    from leaf_embed.distill import StoredVectors, Text
    from leaf_embed.encoders import Encoder

__all__ = ["TeacherOptions", "open_teacher"]


@dataclass(frozen=True)
class TeacherOptions:
    """The options that name a teacher, with the names and the defaults that they have on the command line.

    Beside stored vectors, ``teacher`` is a name, or the model for the corpus.

    Raises:
        InputError: Not exactly one source of vectors, or one that lacks an option.
    """

    teacher: str | None = None
    corpus: Sequence[str] | None = None
    from_qdrant: str | None = None
    collection: str | None = None
    text_key: str = "text"
    title_key: str | None = None
    vector_name: str | None = None
    where: Sequence[str] | None = None
    vectors: Sequence[Path] | None = None
    query_prompt: str = ""
    document_prompt: str = ""
    api: str | None = None
    api_key_env: str = ApiOptions.key_env
    api_items: int = ApiOptions.items
    budget: int | None = None
    dimensions: int | None = None

    def __post_init__(self) -> None:
        if self.from_qdrant is not None and self.vectors:
            raise InputError("give either --from-qdrant or --vectors, not both")
        if self.from_qdrant is not None and self.collection is None:
            raise InputError("--from-qdrant needs --collection, the name of the collection")
        if self.api is not None and self.teacher is None:
            raise InputError("--api needs --teacher, the name of the model there")
        if self.api is None and (self.budget, self.dimensions) != (None, None):
            raise InputError("--budget and --dimensions are for an --api; its address is missing")
        if self.from_qdrant is None and (self.collection or self.title_key or self.vector_name or self.where):
            raise InputError("--collection, --title-key, --vector-name and --where are for a --from-qdrant collection")
        if (self.query_prompt or self.document_prompt) and self.api is None and not self.stored:
            raise InputError(
                "--query-prompt and --document-prompt are for an --api or for vectors; a model has its own"
            )
        if not self.stored and self.teacher is None:
            raise InputError(
                "no teacher: give --teacher, the directory or hub id of your embedding model; or vectors that exist: "
                "--from-qdrant, or --vectors of leaf-embed cache"
            )
        if not self.stored and not self.corpus:
            raise InputError(
                "--corpus is missing: files of texts to learn from, .txt with one per line, .jsonl, .csv or .parquet. "
                "Only stored vectors bring their own"
            )
        if self.stored and self.corpus and self.teacher is None:
            raise InputError("a --corpus beside stored vectors needs the --teacher that wrote them")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> TeacherOptions:
        """Returns those of a command's options, by name, that name a teacher."""
        return cls(**{field.name: options[field.name] for field in fields(cls) if field.name in options})

    @property
    def stored(self) -> bool:
        """Whether there are vectors that exist already."""
        return self.from_qdrant is not None or bool(self.vectors)


def open_teacher(options: TeacherOptions, corpus: Iterable[Text], max_tokens: int) -> Encoder:
    """Returns the teacher: a model, an API, or stored vectors.

    Args:
        options: The options that name it.
        corpus: The texts that it will be asked for; an API's cost is estimated on them before the first call.
        max_tokens: Number of its tokens to which these texts are cut.
    """
    if options.stored:
        return _stored(options, corpus, max_tokens)
    return _asked(options, corpus, max_tokens)


def _asked(options: TeacherOptions, corpus: Iterable[Text], max_tokens: int) -> Encoder:
    """Returns a teacher that embeds texts."""
    if options.api is None:
        return load_torch_encoder(str(options.teacher))
    from leaf_embed.distill import estimate_cost
    from leaf_embed.encoders.api import ApiEncoder

    prompts: dict[str, Any] = {"query_prompt": options.query_prompt, "document_prompt": options.document_prompt}
    encoder = ApiEncoder(
        options.api,
        str(options.teacher),
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
    from leaf_embed.distill import StoredVectors, VectorFiles

    pairs: Iterable[Any]
    if options.vectors:
        pairs, space, name = VectorFiles(options.vectors), None, options.vectors[0].stem
    else:
        pairs, space, name = _collection(options)
    if options.corpus:
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


def _collection(options: TeacherOptions) -> tuple[Iterable[Any], Any, str]:
    """Returns the collection's texts with vectors, its space if leaf-embed made it, and its name."""
    from leaf_embed.qdrant import CollectionPairs

    where = conditions(options.where or ())
    reading: dict[str, Any] = {"text": options.text_key, "title": options.title_key, "vector": options.vector_name}
    place = _place(str(options.from_qdrant))
    pairs = CollectionPairs(str(options.collection), where=where, **reading, **place)
    space = pairs.space
    if space is not None and options.text_key == "text" and options.title_key is None:
        pairs = CollectionPairs(str(options.collection), where=where, **(reading | {"title": "title"}), **place)
    return pairs, space, str(options.collection)


def _place(source: str) -> dict[str, Any]:
    """Returns the server, the directory of a client in local mode, or the directory of the embedded engine."""
    from leaf_embed.qdrant import connect, is_client_directory

    if "://" in source:
        return {"client": connect(source, os.environ.get("QDRANT_API_KEY"))}
    if not Path(source).is_dir():
        raise InputError(f"--from-qdrant takes a URL such as http://localhost:6333, or a directory; got {source!r}")
    if is_client_directory(source):
        return {"client": connect(Path(source))}
    return {"path": source}
