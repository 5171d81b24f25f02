"""Pages: which document of a corpus lies on which page, and what the source of an answer names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from leaf_embed.errors import CorpusError

__all__ = ["PAGE_KEYS", "Match", "Pages", "field_of"]

Match: TypeAlias = Literal["document", "section", "page"]

PAGE_KEYS = ("page", "source", "url", "path", "file")  # also within "metadata" and "payload"
SECTION_KEYS = ("section", "heading", "anchor", "title")
NESTED = ("", "metadata.", "payload.")


@dataclass
class Pages:
    """Documents by their pages.

    Attributes:
        key: Field of a document that names its page, with dots into nested objects; found in the first document if it
            is not given.
        by_page: The ids of each page's documents.
        sections: Of a page and a section in small letters and digits, the ids of its documents.
        ids: The ids of all documents.
    """

    key: str | None = None
    by_page: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    sections: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    ids: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, document: Mapping[str, Any]) -> str:
        """Notes a document and returns its page; one without a page is a page of its own.

        Raises:
            CorpusError: The id came before.
        """
        if name in self.ids:
            raise CorpusError(f"the document id {name!r} occurs twice; ids must differ")
        if self.key is None:
            self.key = _found_key(document)
        value = field_of(document, self.key)
        page = name if value in (None, "") else str(value)
        self.ids[name] = page
        self.by_page[page].append(name)
        for key in (prefix + key for prefix in NESTED for key in SECTION_KEYS):
            if isinstance(section := field_of(document, key), str):
                self.sections[page, _slug(section)].append(name)
        return page

    def find(self, source: str) -> tuple[Match, list[str]] | None:
        """Returns what a source names, and the ids of its documents; ``None`` for nothing, or for several pages.

        A source is the id of a document, a page, or ``page#section``. A page may be named by the end of its path, if
        only one ends so.
        """
        source = source.strip()
        if source in self.ids:
            return "document", [source]
        name, _, section = source.partition("#")
        page = self._page(source) or self._page(name)
        if page is None:
            return None
        inner = self.sections.get((page, _slug(section)), []) if section else []
        return ("section", inner) if inner else ("page", self.by_page[page])

    def _page(self, name: str) -> str | None:
        if name in self.by_page:
            return name
        plain = _plain(name)
        if not plain:
            return None
        same = [page for page in self.by_page if _plain(page) == plain]
        ending = same or [page for page in self.by_page if _plain(page).endswith(f"/{plain}")]
        return ending[0] if len(ending) == 1 else None


def field_of(record: Mapping[str, Any], key: str) -> Any:
    """Returns a field of a record, with dots into nested objects; ``None`` if it is not there."""
    value: Any = record
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _found_key(document: Mapping[str, Any]) -> str:
    known: Iterable[str] = (prefix + key for prefix in NESTED for key in PAGE_KEYS)
    key = next((key for key in known if isinstance(field_of(document, key), str | int)), None)
    if key is None:
        raise CorpusError(
            f"the first document has the fields {', '.join(sorted(document))}, and none of them names its page "
            f"(looked for {', '.join(PAGE_KEYS)}); name it with --page-key, or --page-key _id where each is a page"
        )
    return key


def _plain(page: str) -> str:
    """A page without what people leave out: scheme, leading ./, trailing slash, fragment."""
    return re.sub(r"^[a-z]+://|^\./", "", page.strip().lower()).partition("#")[0].rstrip("/")


def _slug(section: str) -> str:
    return re.sub(r"[^\w]+", "-", section.strip().lower()).strip("-")
