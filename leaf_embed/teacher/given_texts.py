"""What a caller gives as a corpus: texts, or the paths of corpus files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from leaf_embed._records import format_of
from leaf_embed.errors import CorpusError
from leaf_embed.teacher.corpus import FORMATS, Corpus
from leaf_embed.teacher.hub_dataset import PREFIX
from leaf_embed.texts import Text, clean

__all__ = ["as_texts", "checked_texts"]

LONGEST_PATH = 4096  # characters; a longer str is a text


def as_texts(corpus: Any) -> Iterable[Any]:
    """Returns texts: those given, those of the files at the paths given, or none for ``None``.

    One ``str`` is a path. An iterable of ``str`` is one of paths if its items are: they exist, begin with ``hub:``, or
    end like a corpus file, or hold a separator of paths and no white space, so that a misspelt path is named and not
    learned from. Otherwise they are texts. The first item decides; of an iterator of texts no other is read here.

    Raises:
        CorpusError: Neither, or paths beside texts.
    """
    if corpus is None:
        return ()
    if isinstance(corpus, str | os.PathLike):
        return Corpus([corpus])
    if isinstance(corpus, bytes) or not isinstance(corpus, Iterable):
        raise CorpusError(f"expected a corpus of texts, or of paths of corpus files; got {type(corpus).__name__}")
    if isinstance(corpus, Corpus):
        return corpus
    items = iter(corpus)
    head = list(islice(items, 1))
    whole: Iterable[Any] = chain(head, items) if items is corpus else corpus
    if not head or not _is_path(head[0]):
        return whole
    paths: list[str | os.PathLike[str]] = []
    for item in whole:
        if not _is_path(item):
            raise CorpusError(
                f"the corpus names the path {os.fspath(paths[0])!r:.80}, and beside it holds {_shown(item)}, which is "
                "no path of a corpus file. Give paths alone, or texts alone, each as Text(...)"
            )
        paths.append(item)
    return Corpus(paths)


def checked_texts(texts: Iterable[Any]) -> Iterator[Text]:
    """Yields clean texts of a corpus that a caller gave: a ``str`` is a document, ``None`` an empty text.

    Raises:
        CorpusError: An item that is none of these; the message names its place.
    """
    for place, item in enumerate(texts):
        text = Text(item or "") if isinstance(item, str | None) else item
        if not isinstance(text, Text) or not isinstance(text.text, str) or text.kind not in ("query", "document"):
            raise CorpusError(
                f"item {place} of the corpus is {_shown(item)}; expected a str, or a Text of a str and the kind "
                "'query' or 'document'"
            )
        yield text if (found := clean(text.text)) is text.text else Text(found, text.kind)


def _is_path(item: Any) -> bool:
    if isinstance(item, os.PathLike):
        return True
    if not isinstance(item, str) or not item or len(item) > LONGEST_PATH or "\0" in item:
        return False
    if item.startswith(PREFIX):
        return True
    if format_of(item, FORMATS) or (os.sep in item and len(item.split()) == 1):
        return True
    try:
        return Path(item).exists()
    except (OSError, ValueError):  # no name of a file
        return False


def _shown(item: Any) -> str:
    return f"{item!r:.80}" if isinstance(item, str | Text | None) else f"of type {type(item).__name__}: {item!r:.80}"
