"""The embedding space: the facts that must agree before two vectors may be compared.

A space belongs to a teacher. Caches, leaves and collections carry it, and two things of different spaces refuse
to meet. The **fingerprint** says that two spaces are declared the same; the **canaries** (see
:mod:`leaf_embed.canaries`) show that an encoder really writes into the space it declares.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from leaf_embed._files import read_json, write_json
from leaf_embed.canaries import ROLES, TEACHER_FLOOR, Canaries, CanaryReport
from leaf_embed.errors import InputError, NotALeafError, SpaceMismatchError
from leaf_embed.leaf_record import LeafRecord
from leaf_embed.texts import Role, TextEncoder

__all__ = ["EmbeddingSpace", "Role", "model_name"]

FORMAT = "leaf-embed/space"
VERSION = 1
PLAIN_NAME = re.compile(r"(models?|teacher|checkpoint|best|final|out|output)([-_.]?\d+)?|[0-9a-f]{40}", re.I)


@dataclass(frozen=True)
class EmbeddingSpace:
    """The space that a teacher's vectors live in.

    Attributes:
        teacher: Model id or path that the teacher is loaded from.
        dim: Number of dimensions of a vector.
        revision: Hub commit of the teacher, or ``"sha256:..."`` of the model's files. With a digest
            the fingerprint does not depend on ``teacher``, which may then be a path that differs between machines.
        query_prompt: Text put before every query, ``""`` for none.
        document_prompt: Text put before every document, ``""`` for none.
        unit_norm: Whether the teacher's vectors have norm 1.
        max_tokens: Number of tokens that the teacher reads; ``None`` if unknown.
        rotation: ``"sha256:..."`` of the orthogonal matrix applied to the teacher's vectors; ``None`` for none.
        canaries: A few texts with the teacher's vectors. Not part of the fingerprint, since the same model returns
            slightly different vectors on different machines.

    Raises:
        InputError: A field is out of range.
    """

    teacher: str
    dim: int
    revision: str | None = None
    query_prompt: str = ""
    document_prompt: str = ""
    unit_norm: bool = True
    max_tokens: int | None = None
    rotation: str | None = None
    canaries: Canaries | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.teacher:
            raise InputError("a space needs the name of its teacher; got an empty string")
        if self.dim < 1:
            raise InputError(f"a space needs at least one dimension; got dim={self.dim}")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise InputError(f"max_tokens must be at least 1 or None; got {self.max_tokens}")
        if self.canaries is not None and self.canaries.dim != self.dim:
            raise InputError(f"canaries have {self.canaries.dim} dimensions; the space has {self.dim}")

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that are equal for spaces that are declared the same, and only for these."""
        by_digest = self.revision is not None and self.revision.startswith("sha256:")
        identity = {
            "teacher": None if by_digest else self.teacher,
            "revision": self.revision,
            "dim": self.dim,
            "prompts": [self.query_prompt, self.document_prompt],
            "unit_norm": self.unit_norm,
            "max_tokens": self.max_tokens,
            "rotation": self.rotation,
        }
        text = json.dumps([FORMAT, VERSION, identity], sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def prompt(self, role: Role) -> str:
        """Returns the text put before a query or a document."""
        return self.query_prompt if role == "query" else self.document_prompt

    def with_canaries(self, canaries: Canaries) -> EmbeddingSpace:
        """Returns the same space with canaries."""
        return replace(self, canaries=canaries)

    def describe(self) -> str:
        """Returns one line that names the space: ``teacher (384 d, fingerprint 0123456789abcdef)``."""
        return f"{self.teacher} ({self.dim} d, fingerprint {self.fingerprint})"

    def require_same(self, other: EmbeddingSpace, *, mine: str, theirs: str, advice: str) -> None:
        """Refuses a space that is not declared the same.

        Args:
            other: The other space.
            mine: Name of the owner of this space in the message: ``"the collection 'docs'"``.
            theirs: Name of the owner of the other one: ``"the leaf"``.
            advice: What to do next, as a sentence.

        Raises:
            SpaceMismatchError: The fingerprints differ; the message names both spaces and each field that differs.
        """
        if self.fingerprint == other.fingerprint:
            return
        fields = (
            "teacher",
            "revision",
            "dim",
            "query_prompt",
            "document_prompt",
            "unit_norm",
            "max_tokens",
            "rotation",
        )
        differences = ", ".join(
            f"{name}: {getattr(self, name)!r} against {getattr(other, name)!r}"
            for name in fields
            if getattr(self, name) != getattr(other, name)
        )
        raise SpaceMismatchError(
            f"{mine} and {theirs} live in different embedding spaces, so their vectors cannot be compared.\n"
            f"  {mine}: {self.describe()}\n  {theirs}: {other.describe()}\n  differing: {differences}\n{advice}"
        )

    def verify(
        self,
        encoder: TextEncoder,
        *,
        floor: float = TEACHER_FLOOR,
        roles: Sequence[Role] = ROLES,
        name: str = "the encoder",
    ) -> CanaryReport:
        """Checks with the canaries that a teacher writes into this space; see :meth:`verify_leaf` for a leaf.

        Args:
            encoder: Anything with ``encode_query`` and ``encode_document``.
            floor: Mean cosine with the stored vectors that it has to reach.
            roles: Roles of the canaries to encode.
            name: Name of the encoder in the message.

        Raises:
            InputError: The space has no canaries.
            SpaceMismatchError: The encoder is another model, or uses other prompts.
        """
        report = self._canaries().check(encoder, floor, roles)
        if not report.passed:
            raise SpaceMismatchError(_far_from_teacher(report, name))
        return report

    def verify_leaf(self, leaf: TextEncoder, roles: Sequence[Role] = ROLES, name: str = "the leaf") -> CanaryReport:
        """Checks that a leaf is the one that was made, and that it was made for this space.

        It has to compute what its record says that it computed when it was made, and to be as near to the teacher as it
        was then; see :class:`leaf_embed.leaf_record.LeafRecord`. An encoder without a record has to reach the floor
        for all leaves. And where this space is a collection's, the teacher's vectors that came with the leaf have
        to be the collection's.

        Args:
            leaf: The leaf.
            roles: Roles to encode; of a query-only leaf, queries alone.
            name: Name of the leaf in the message.

        Raises:
            InputError: The space has no canaries.
            SpaceMismatchError: It is another model, has other prompts, learned too little, or is of another teacher.
        """
        self._canaries()
        return self.require_leaf(leaf, roles, name)

    def require_leaf(self, leaf: TextEncoder, roles: Sequence[Role] = ROLES, name: str = "the leaf") -> CanaryReport:
        """:meth:`verify_leaf`, also of a space without canaries of the roles, where less can be compared."""
        theirs: Canaries | None = getattr(getattr(leaf, "space", None), "canaries", None)
        apart = None if self.canaries is None or theirs is None else self.canaries.cosine_with(theirs)
        if apart is not None and apart < TEACHER_FLOOR:
            raise SpaceMismatchError(
                f"{name} does not write into the space it declares: the teacher's vectors that came with it have a "
                f"mean cosine of {apart:.3f} with those of the same canary texts here; expected at least "
                f"{TEACHER_FLOOR}. Two teachers have the same name: use a leaf of the one that embedded the documents."
            )
        record: LeafRecord = getattr(leaf, "record", LeafRecord())
        if self.canaries is not None and theirs is not None and self.canaries.texts != theirs.texts:
            record = replace(record, cosines={})  # they are of other texts
        one_prompt = self.query_prompt == self.document_prompt
        report = record.check(leaf, self.canaries, roles, one_prompt=one_prompt)
        if not report.is_same:
            raise SpaceMismatchError(
                f"{name} does not write into the space it declares: its vectors of {len(report.answers)} canary texts "
                f"have a mean cosine of {np.mean(report.answers):.3f} with its own of when it was made; expected at "
                f"least {report.answers_floor:.3g}. The model's files or prompts were changed; use the leaf as it was "
                "made, or export it again if the change was meant."
            )
        if not report.passed:
            raise SpaceMismatchError(
                _far_from_teacher(report, name)
                + " Or it is a leaf that learned too little: train it on more texts, for more steps."
                + " Or it is a leaf of a narrow domain from an older release: run leaf-embed export on it."
                * (record.answers is None and not record.cosines)
            )
        return report

    def _canaries(self) -> Canaries:
        if self.canaries is None:
            raise InputError(f"the space {self.describe()} has no canaries; make it with the teacher at hand")
        return self.canaries

    def to_dict(self) -> dict[str, Any]:
        """Returns the versioned JSON form, fingerprint and canaries included."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "fingerprint": self.fingerprint,
            "teacher": self.teacher,
            "revision": self.revision,
            "dim": self.dim,
            "query_prompt": self.query_prompt,
            "document_prompt": self.document_prompt,
            "unit_norm": self.unit_norm,
            "max_tokens": self.max_tokens,
            "rotation": self.rotation,
            "canaries": None if self.canaries is None else self.canaries.to_list(),
        }

    @classmethod
    def from_dict(cls, value: Any, *, source: str = "the space") -> EmbeddingSpace:
        """Reads the JSON form.

        Raises:
            NotALeafError: Not this format, a version this release does not know, a missing field, or a stored
                fingerprint that does not follow from the fields.
        """
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise NotALeafError(f"{source} holds no embedding space; expected an object with format {FORMAT!r}")
        if value.get("version") != VERSION:
            raise NotALeafError(
                f"{source} has space format version {value.get('version')!r}; this release reads version {VERSION}. "
                "Update leaf-embed, or write the file again with this release."
            )
        try:
            fields = {name: value[name] for name in cls.__dataclass_fields__ if name != "canaries"}
            canaries = None if value["canaries"] is None else Canaries.from_list(value["canaries"])
            space = cls(**fields, canaries=canaries)
            stored = value["fingerprint"]
        except (KeyError, TypeError, ValueError) as error:
            raise NotALeafError(f"{source} holds a damaged embedding space ({error!r})") from error
        if space.fingerprint != stored:
            raise NotALeafError(
                f"{source} was changed by hand: its fingerprint is {stored}, its fields have {space.fingerprint}. "
                "Restore the file, or make the artefact again."
            )
        return space

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the JSON form to a file, atomically."""
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> EmbeddingSpace:
        """Reads a space from a file written by :meth:`save`.

        Raises:
            NotALeafError: The file is missing, is no JSON or holds no space.
        """
        try:
            value = read_json(path)
        except (OSError, ValueError) as error:
            raise NotALeafError(f"cannot read an embedding space from {path} ({error})") from error
        return cls.from_dict(value, source=str(path))


def model_name(source: str) -> str:
    """Returns a name of a model that means something elsewhere: a hub id, or of a path its telling part.

    A directory that is called ``model`` or the like is named by its model card, or by the directory above it.
    """
    cached = re.search(r"models--(.+?)--(.+?)/snapshots/[0-9a-f]+/?$", source)  # the hub's cache
    if cached is not None:
        return "/".join(cached.groups())
    path = Path(source)
    if len(path.parts) <= 2 and not path.is_absolute() and not source.startswith(".") and not path.is_dir():
        return source
    names = [part.name for part in (path.resolve(), *path.resolve().parents) if part.name]
    told = [name for name in names if not PLAIN_NAME.fullmatch(name)]
    if told[:1] == names[:1]:
        return names[0]
    return _title(path / "README.md") or (told or names or [source])[0]


def _title(card: Path) -> str | None:
    """The name of the model in its card's first heading, if that is a name."""
    try:
        lines = card.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    heading = next((line[2:].strip() for line in lines if line.startswith("# ")), "")
    return heading if re.fullmatch(r"[\w.-]+(/[\w.-]+)?", heading) and not PLAIN_NAME.fullmatch(heading) else None


def _far_from_teacher(report: CanaryReport, name: str) -> str:
    return (
        f"{name} does not write into the space it declares: its vectors of {len(report.cosines)} canary texts have a "
        f"mean cosine of {report.mean:.3f} with the teacher's; expected at least {report.floor:.3g}. The model's files "
        "or prompts were changed; use the model that the space was made with."
    )
