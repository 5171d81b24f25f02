"""The recipe of a training: one frozen object, saved with the leaf."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

from leaf_embed.encoders.transformer import Precision
from leaf_embed.errors import InputError

__all__ = ["DistillConfig", "Mrl", "TokenEmbeddings"]

Mrl: TypeAlias = Literal["none", "rotate"]
TokenEmbeddings: TypeAlias = Literal["lazy", "dense"]

# Options that older recipes name and that are gone because they did not help (examples/LOG.md), with their defaults.
REMOVED: Mapping[str, Any] = {"focal": 0.0, "averaging": "none", "prefixes": []}


@dataclass(frozen=True)
class DistillConfig:
    """The recipe of a training. Defaults are the paper's (arXiv 2509.12539) where it states them, else our own; only
    ``token_embeddings`` is another one in :meth:`paper`.

    Attributes:
        batch_size: Texts per optimizer step. Paper: 32; larger batches measured worse there.
        learning_rate: At the start of each cycle. Paper: 1e-4.
        final_learning_rate: At the end of each cycle, reached linearly. Paper: 1e-5.
        cycles: Number of cycles of the learning rate. Paper: 3.
        epochs: Passes over the texts per cycle. Paper: 10.
        min_steps: Fewest optimizer steps: a small corpus is read more often. Does not bind ``max_steps``.
        max_steps: Optimizer steps in all; ``None`` follows from cycles and epochs. The schedule is scaled to it.
        warmup_steps: Steps at the start of training over which the learning rate grows from 0. Unpublished.
        weight_decay: Of AdamW, on matrices only. Unpublished.
        token_embeddings: ``"dense"`` takes AdamW's step on the whole table of token embeddings, as the paper does;
            ``"lazy"`` on the tokens of the batch alone, without weight decay, which spares an eighth of each step.
        max_grad_norm: Gradients are scaled down to this norm. Unpublished.
        max_tokens: Number of its tokens that the student reads in training; texts that are longer are left out, since
            the teacher's vector stands for all of them.
        teacher_tokens: Texts are cut to this many of the teacher's tokens before anything reads them, the same for
            every student, so that one cache serves all. Changing it embeds long texts again.
        warm_start_texts: Texts for the closed-form start of the output layer; 0 leaves it random, and the token
            embeddings of a student without its source's lowest layers as they were.
        holdout: Share of the texts kept from training to measure alignment, at most 1,000 texts.
        kept_texts: Held-out texts of the corpus that ``leaf.json`` keeps, readable, with their vectors, to recognise
            the leaf by; 0 keeps none.
        query_share: Share of the queries in each epoch, reached by repeating the rarer role; ``None`` takes the texts
            as they come. An epoch becomes longer by what is repeated. 1 learns from queries alone, for a leaf that
            will embed nothing else: documents only fit the rotation.
        mrl: ``"rotate"`` rotates the space so that the first dimensions hold most of every vector: any teacher becomes
            truncatable. Whole vectors keep their cosines. A teacher trained for truncation needs it less.
        precision: Of the matrix products; weights and optimizer state are float32.
        seed: Of the order of the texts.

    Raises:
        InputError: A value is out of range.
    """

    batch_size: int = 32
    learning_rate: float = 1e-4
    final_learning_rate: float = 1e-5
    cycles: int = 3
    epochs: int = 10
    min_steps: int = 0
    max_steps: int | None = None
    warmup_steps: int = 100
    weight_decay: float = 0.01
    token_embeddings: TokenEmbeddings = "lazy"
    max_grad_norm: float = 1.0
    max_tokens: int = 256
    teacher_tokens: int = 256
    warm_start_texts: int = 6000
    holdout: float = 0.02
    kept_texts: int = 8
    query_share: float | None = None
    mrl: Mrl = "none"
    precision: Precision = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self)).items():
            if not _is_of(getattr(self, name), hint):
                raise InputError(f"{name} in the recipe is {getattr(self, name)!r}; expected {_spelled(hint)}")
        positive = ("batch_size", "learning_rate", "cycles", "epochs", "max_grad_norm")
        for name in positive:
            if getattr(self, name) <= 0:
                raise InputError(f"{name} must be above 0; got {getattr(self, name)}")
        whole = ("warmup_steps", "warm_start_texts", "min_steps", "seed", "kept_texts")
        for name in ("final_learning_rate", "weight_decay", *whole):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must not be negative; got {getattr(self, name)}")
        if self.max_steps is not None and self.max_steps < 0:
            raise InputError(f"max_steps must not be negative; got {self.max_steps}")
        if not 0 <= self.holdout < 1:
            raise InputError(f"holdout is a share from 0 to below 1; got {self.holdout}")
        if self.query_share is not None and not 0 < self.query_share <= 1:
            raise InputError(f"query_share is a share above 0, and 1 at most; got {self.query_share}")
        for name, kinds in (("mrl", Mrl), ("precision", Precision), ("token_embeddings", TokenEmbeddings)):
            if getattr(self, name) not in get_args(kinds):
                raise InputError(f"{name} is one of {', '.join(get_args(kinds))}; got {getattr(self, name)!r}")
        for name in ("max_tokens", "teacher_tokens"):
            if getattr(self, name) < 3:
                raise InputError(
                    f"{name} must leave room for a token between the special ones; got {getattr(self, name)}"
                )

    @classmethod
    def paper(cls, **changes: Any) -> DistillConfig:
        """Returns the published recipe: AdamW on every weight, 3 cycles of 10 epochs, 1e-4 to 1e-5."""
        return cls(**({"token_embeddings": "dense"} | changes))

    @classmethod
    def quick(cls, **changes: Any) -> DistillConfig:
        """Returns a recipe for minutes on a laptop: a cycle of three epochs at a higher rate (see examples/LOG.md)."""
        defaults: dict[str, Any] = {
            "learning_rate": 3e-4,
            "final_learning_rate": 1.5e-5,
            "cycles": 1,
            "epochs": 3,
        }
        return cls(**(defaults | changes))

    @classmethod
    def static(cls, **changes: Any) -> DistillConfig:
        """Returns the recipe of a static student: large batches, a high rate, three passes, at least 800 steps."""
        defaults: dict[str, Any] = {
            "batch_size": 256,
            "learning_rate": 3e-3,
            "final_learning_rate": 3e-4,
            "cycles": 1,
            "epochs": 3,
            "warmup_steps": 0,
            "min_steps": 800,
        }
        return cls(**(defaults | changes))

    def steps(self, texts: int) -> int:
        """Returns the number of optimizer steps for a number of training texts."""
        whole = self.cycles * self.epochs * max(1, texts // self.batch_size)
        return max(whole, self.min_steps) if self.max_steps is None else self.max_steps

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form, as ``leaf.json`` keeps it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> DistillConfig:
        """Returns the recipe in a JSON object, such as ``recipe.config`` of ``leaf.json``; missing fields are defaults.

        Args:
            value: The fields by name. Options that this version no longer has are accepted where they are off.

        Raises:
            InputError: An unknown field, a value of the wrong type or out of range, or a removed option that is on.
        """
        if not isinstance(value, Mapping):
            raise InputError(f"a recipe is a JSON object of fields by name; got {type(value).__name__}")
        hints = get_type_hints(cls)
        for name, given in value.items():
            if name in REMOVED and given != REMOVED[name]:
                raise InputError(
                    f"the recipe sets {name} to {given!r}, an option that was removed because it did not help; leave "
                    f"{name} out"
                )
            if name not in hints and name not in REMOVED:
                raise InputError(f"the recipe has the unknown field {name!r}; expected some of {', '.join(hints)}")
        return cls(**{name: given for name, given in value.items() if name in hints})


def _is_of(value: Any, hint: Any) -> bool:
    """Whether a JSON value fits the type of a field; which words a Literal allows is checked by the recipe itself."""
    options = get_args(hint)
    if hint is int or hint is float:
        return isinstance(value, (int, hint)) and not isinstance(value, bool) and math.isfinite(value)
    if get_origin(hint) is Literal:
        return isinstance(value, str)
    return value is None or _is_of(value, options[0])  # an optional number


def _spelled(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(get_args(hint))
    if hint in (int, float):
        return "a whole number" if hint is int else "a number"
    return f"{_spelled(get_args(hint)[0])}, or null"
