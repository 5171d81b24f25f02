"""The methods of Haystack's stores that go by ``meta``: count, delete and update by a filter, and what fields hold."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any

from leaf_embed.errors import InputError
from leaf_embed.qdrant import Document, LeafCollection
from leaf_embed_haystack.convert import document_of, where_of

__all__ = ["MetadataMethods"]

KINDS = {bool: "boolean", int: "long", float: "float"}  # the names that Haystack's other stores use
Filters = dict[str, Any] | None


class MetadataMethods:
    """Part of :class:`LeafQdrantDocumentStore`; filters are Haystack's. The async forms run in a thread.

    What fields hold is read from the documents that match, one page at a time.
    """

    @property
    def collection(self) -> LeafCollection:
        """The collection."""
        raise NotImplementedError

    def count_documents_by_filter(self, filters: Filters) -> int:
        """Returns the number of documents that match a filter."""
        return self.collection.count(where_of(filters))

    def delete_all_documents(self, recreate_index: bool = False) -> None:
        """Deletes every document. The collection stays as it was made, with ``recreate_index`` too."""
        self.collection.delete([found.id for found in self.collection.iter_documents()])

    def delete_by_filter(self, filters: Filters) -> int:
        """Deletes the documents that match a filter and returns how many; none without a filter."""
        if not filters:
            return 0
        return self.collection.delete([f.id for f in self.collection.iter_documents(where=where_of(filters))])

    def update_by_filter(self, filters: Filters, meta: dict[str, Any]) -> int:
        """Sets fields of ``meta`` in the documents that match a filter and returns how many; none without a filter.

        Vectors stay as they are, also if fields of ``meta`` were embedded.
        """
        if not filters:
            return 0
        found = list(self.collection.iter_documents(where=where_of(filters), with_vectors=True))
        changed = [Document(f.id, f.text, f.title, {**f.payload, **meta}).with_vector(f.vector) for f in found]
        if changed:
            self.collection.index_vectors(changed)
        return len(changed)

    def get_metadata_fields_info(self) -> dict[str, dict[str, str]]:
        """Returns the kind of each field of ``meta``: ``keyword``, ``long``, ``float`` or ``boolean``."""
        found: dict[str, dict[str, str]] = {}
        for document in self.collection.iter_documents():
            for field, value in document_of(document).meta.items():
                if value is not None:
                    found.setdefault(field, {"type": KINDS.get(type(value), "keyword")})
        return found

    def get_metadata_field_min_max(self, metadata_field: str) -> dict[str, Any]:
        """Returns the smallest and the largest value of a field as ``min`` and ``max``; ``None`` if it has none.

        Raises:
            InputError: It holds values that cannot be compared with each other.
        """
        values = list(self._values(metadata_field))
        try:
            return {"min": min(values, default=None), "max": max(values, default=None)}
        except TypeError as error:
            kinds = sorted({type(value).__name__ for value in values})
            raise InputError(
                f"the field {metadata_field!r} holds {' and '.join(kinds)}, which cannot be compared with each other; "
                "expected numbers alone, or texts alone"
            ) from error

    def count_unique_metadata_by_filter(self, filters: Filters, metadata_fields: Sequence[str]) -> dict[str, int]:
        """Returns the number of different values that each field has in the documents that match a filter."""
        return {field: len(self._different(field, filters)) for field in metadata_fields}

    def get_metadata_field_unique_values(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: Filters = None,
    ) -> tuple[list[Any], int]:
        """Returns some of a field's different values, sorted as texts, and their number.

        Args:
            metadata_field: Field of ``meta``.
            search_term: Text that a value has to hold, in any case.
            from_: Values to skip.
            size: Values to return.
            filters: Which documents to look at.
        """
        values = self._different(metadata_field, filters)
        if search_term is not None:
            values = [value for value in values if search_term.lower() in str(value).lower()]
        values.sort(key=lambda value: (str(value), type(value).__name__))
        return values[from_ : from_ + size], len(values)

    def _values(self, field: str, filters: Filters = None) -> Iterator[Any]:
        name = field.removeprefix("meta.")
        for document in self.collection.iter_documents(where=where_of(filters)):
            value = document_of(document).meta.get(name)
            if value is not None:
                yield value

    def _different(self, field: str, filters: Filters) -> list[Any]:
        """The values of a field without repetition; 1, 1.0, "1" and true are different, as in JSON."""
        return list({json.dumps(value, sort_keys=True): value for value in self._values(field, filters)}.values())

    async def count_documents_by_filter_async(self, filters: Filters) -> int:
        """Async form of :meth:`count_documents_by_filter`."""
        return await asyncio.to_thread(self.count_documents_by_filter, filters)

    async def delete_all_documents_async(self, recreate_index: bool = False) -> None:
        """Async form of :meth:`delete_all_documents`."""
        await asyncio.to_thread(self.delete_all_documents, recreate_index)

    async def delete_by_filter_async(self, filters: Filters) -> int:
        """Async form of :meth:`delete_by_filter`."""
        return await asyncio.to_thread(self.delete_by_filter, filters)

    async def update_by_filter_async(self, filters: Filters, meta: dict[str, Any]) -> int:
        """Async form of :meth:`update_by_filter`."""
        return await asyncio.to_thread(self.update_by_filter, filters, meta)

    async def get_metadata_fields_info_async(self) -> dict[str, dict[str, str]]:
        """Async form of :meth:`get_metadata_fields_info`."""
        return await asyncio.to_thread(self.get_metadata_fields_info)

    async def get_metadata_field_min_max_async(self, metadata_field: str) -> dict[str, Any]:
        """Async form of :meth:`get_metadata_field_min_max`."""
        return await asyncio.to_thread(self.get_metadata_field_min_max, metadata_field)

    async def count_unique_metadata_by_filter_async(
        self, filters: Filters, metadata_fields: Sequence[str]
    ) -> dict[str, int]:
        """Async form of :meth:`count_unique_metadata_by_filter`."""
        return await asyncio.to_thread(self.count_unique_metadata_by_filter, filters, metadata_fields)

    async def get_metadata_field_unique_values_async(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: Filters = None,
    ) -> tuple[list[Any], int]:
        """Async form of :meth:`get_metadata_field_unique_values`."""
        method = self.get_metadata_field_unique_values
        return await asyncio.to_thread(method, metadata_field, search_term, from_, size, filters)
