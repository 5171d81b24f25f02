"""The metadata of a collection: its name, the space of its vectors with canaries, and its spec.

A server and the client's local mode store it in the collection's own metadata under the key ``leaf_embed``; for the
embedded engine, which stores no metadata, it is the file ``leaf-collection.json`` beside the engine's files.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Any

from leaf_embed import __version__
from leaf_embed.errors import CollectionError, InputError, LeafEmbedError
from leaf_embed.qdrant.schema.documents import point_id
from leaf_embed.qdrant.schema.payload_layout import OWN, PayloadLayout
from leaf_embed.qdrant.schema.spec import CollectionSpec
from leaf_embed.space import EmbeddingSpace

__all__ = ["METADATA_KEY", "CollectionMetadata", "check_name"]

FORMAT = "leaf-embed/collection"
VERSION = 1
METADATA_KEY = "leaf_embed"
LONGEST = 202  # bytes; a file's name has 255, of which a collection that is being made takes 38


def check_name(name: str) -> str:
    """Returns a collection's name that is safe as the name of a directory and in a URL.

    Raises:
        InputError: The name is not safe.
    """
    known = isinstance(name, str) and re.fullmatch(r"\w(?:[\w. -]{0,200}[\w-])?", name)
    if not known or len(name.encode()) > LONGEST:
        raise InputError(
            f"{name!r:.300} cannot name a collection; expected up to 200 letters, digits, '_', '-', '.' or spaces, in "
            f"{LONGEST} bytes of UTF-8, starting with a letter, a digit or '_'"
        )
    return name


@dataclass(frozen=True)
class CollectionMetadata:
    """The metadata that is stored with a collection.

    Attributes:
        name: Name of the collection.
        space: Space of its vectors, with canaries if the space had any when the collection was created.
        spec: Its vectors.
        made_by: Release that created it.
        payload_layout: Where a point's payload holds what; another program's in a collection that it made.
    """

    name: str
    space: EmbeddingSpace
    spec: CollectionSpec
    made_by: str = f"leaf-embed {__version__}"
    payload_layout: PayloadLayout = OWN

    def __post_init__(self) -> None:
        check_name(self.name)
        self.spec.require_fit(self.space)

    def point_id(self, document_id: str | int) -> str | int:
        """Returns the id of a document's point; in an adopted collection ids that Qdrant accepts stay as they are."""
        if self.payload_layout.is_own:
            return point_id(document_id)
        if isinstance(document_id, int):
            return document_id if document_id >= 0 else point_id(document_id)
        try:
            return str(uuid.UUID(document_id))
        except ValueError:
            return point_id(document_id)

    def to_dict(self) -> dict[str, Any]:
        """Returns the versioned JSON form."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "made_by": self.made_by,
            "text_key": self.payload_layout.text_key,
            "payload_key": self.payload_layout.payload_key,
            "spec": self.spec.to_dict(),
            "space": self.space.to_dict(),
        }

    @classmethod
    def from_dict(cls, value: Any, *, name: str) -> CollectionMetadata:
        """Reads the JSON form.

        Args:
            value: The stored value; ``None`` if there is none.
            name: Current name of the collection, which may differ from the stored one.

        Raises:
            CollectionError: No metadata, another format, an unknown version, or damaged.
        """
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise CollectionError(
                f"the collection {name!r} does not say which model wrote its vectors: it holds no leaf-embed metadata. "
                "Another program made it, or the metadata was lost. If the leaf's teacher wrote it, adopt it, which "
                "compares some vectors and embeds nothing else: LeafCollection.adopt, or leaf-embed adopt. Else make a "
                "new collection and index the documents there. This one is left as it is."
            )
        if value.get("version") != VERSION:
            raise CollectionError(
                f"the collection {name!r} has metadata version {value.get('version')!r}; this release reads {VERSION}. "
                "Update leaf-embed."
            )
        try:
            space = EmbeddingSpace.from_dict(value["space"], source=f"the collection {name!r}")
            spec = CollectionSpec.from_dict(value["spec"])
            layout = PayloadLayout(value.get("text_key"), value.get("payload_key"))
            return cls(name, space, spec, str(value["made_by"]), layout)
        except (KeyError, TypeError, AttributeError, LeafEmbedError) as error:
            raise CollectionError(
                f"the metadata of the collection {name!r} is damaged ({error}). Restore it from a backup, or make a "
                "new collection and index the documents there."
            ) from error
