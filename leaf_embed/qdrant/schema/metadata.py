"""What a collection says about itself: its name, the space of its vectors with canaries, and its spec.

A server and the client's local mode keep it in the collection's own metadata under the key ``leaf_embed``; the embedded
engine has no place for it, so there it is the file ``leaf-collection.json`` beside the engine's.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Any

from leaf_embed import __version__
from leaf_embed.errors import CollectionError, InputError, LeafEmbedError
from leaf_embed.qdrant.schema.documents import point_id
from leaf_embed.qdrant.schema.spec import CollectionSpec
from leaf_embed.space import EmbeddingSpace

__all__ = ["METADATA_KEY", "CollectionMetadata", "check_name"]

FORMAT = "leaf-embed/collection"
VERSION = 1
METADATA_KEY = "leaf_embed"


def check_name(name: str) -> str:
    """A collection's name that is safe as the name of a directory and in a URL.

    Raises:
        InputError: It is not.
    """
    if not isinstance(name, str) or not re.fullmatch(r"\w(?:[\w. -]{0,200}[\w-])?", name):
        raise InputError(
            f"{name!r} cannot name a collection; expected up to 200 letters, digits, '_', '-', '.' or spaces, "
            "starting with a letter, a digit or '_'"
        )
    return name


@dataclass(frozen=True)
class CollectionMetadata:
    """What is stored with a collection.

    Attributes:
        name: Name of the collection.
        space: The space of its vectors, with canaries if the space had any when the collection was made.
        spec: Its vectors.
        made_by: Release that made it.
        text_key: Of a collection made elsewhere: the field of the stored payload that holds the text. ``None`` for our
            own, whose payload has a layout of its own.
    """

    name: str
    space: EmbeddingSpace
    spec: CollectionSpec
    made_by: str = f"leaf-embed {__version__}"
    text_key: str | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        self.spec.require_fit(self.space)

    def point_id(self, document_id: str | int) -> str | int:
        """The id of a document's point; in a collection made elsewhere the ids that Qdrant takes stay as they are."""
        if self.text_key is None:
            return point_id(document_id)
        if isinstance(document_id, int):
            return document_id if document_id >= 0 else point_id(document_id)
        try:
            return str(uuid.UUID(document_id))
        except ValueError:
            return point_id(document_id)

    def to_dict(self) -> dict[str, Any]:
        """The versioned JSON form."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "made_by": self.made_by,
            "text_key": self.text_key,
            "spec": self.spec.to_dict(),
            "space": self.space.to_dict(),
        }

    @classmethod
    def from_dict(cls, value: Any, *, name: str) -> CollectionMetadata:
        """Read the JSON form back.

        Args:
            value: What was stored; ``None`` if nothing was.
            name: The name that the collection has now, which may differ from the stored one.

        Raises:
            CollectionError: Nothing stored, not this format, an unknown version, or damaged.
        """
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise CollectionError(
                f"the collection {name!r} does not say which model wrote its vectors: it holds no leaf-embed metadata. "
                "It was made elsewhere, or the metadata was lost. Restore it, or make a new collection with "
                "LeafCollection.create and index the documents there; this one is left as it is."
            )
        if value.get("version") != VERSION:
            raise CollectionError(
                f"the collection {name!r} has metadata version {value.get('version')!r}; this release reads {VERSION}. "
                "Update leaf-embed."
            )
        try:
            space = EmbeddingSpace.from_dict(value["space"], source=f"the collection {name!r}")
            spec = CollectionSpec.from_dict(value["spec"])
            return cls(name, space, spec, str(value["made_by"]), value.get("text_key"))
        except (KeyError, TypeError, AttributeError, LeafEmbedError) as error:
            raise CollectionError(
                f"the metadata of the collection {name!r} is damaged ({error}). Restore it from a backup, or make a "
                "new collection and index the documents there."
            ) from error
