"""A student that is a transformer: some layers of a model, mean pooling, and Dense layers into the teacher's space."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from leaf_embed.distill.config import DistillConfig
from leaf_embed.distill.dataset import TokenizedTexts, tokenize
from leaf_embed.distill.students.backbone import build_student
from leaf_embed.distill.students.base import Features, Student, StudentOptions
from leaf_embed.distill.students.from_leaf import inherited_student, parent_leaf
from leaf_embed.distill.students.head import dense_modules, set_linear
from leaf_embed.encoders.base import Encoder
from leaf_embed.encoders.batching import round_up
from leaf_embed.encoders.reading import read_limit
from leaf_embed.encoders.transformer import wants_bfloat16
from leaf_embed.format import Kind
from leaf_embed.space import EmbeddingSpace
from leaf_embed.teacher.cache import Rows, TeacherCache

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

__all__ = ["TransformerStudent", "forward", "warm_start"]

PAD_MULTIPLE = 8  # few shapes: bfloat16 on CPU keeps one compiled kernel for each
RIDGE = 1e-3  # of the mean eigenvalue of the features' second moment: steadies it without biasing the fit
WARM_START_BATCH = 64


class TransformerStudent(Student):
    """Some layers of a model with a Dense into the space, or a leaf of the same teacher that is trained on."""

    kind: ClassVar[Kind] = "transformer"
    needs_graph: ClassVar[bool] = True
    pads: ClassVar[bool] = True

    def __init__(
        self,
        source: str | os.PathLike[str] | SentenceTransformer,
        space: EmbeddingSpace,
        config: DistillConfig,
        *,
        layers: int | Sequence[int] | None = None,
        head: Sequence[int] = (),
    ) -> None:
        """Builds the student; see :func:`leaf_embed.distill.build_student`.

        Args:
            source: The model that its layers come from. A leaf of the same teacher, whole, keeps its head and is
                trained on; see :mod:`leaf_embed.distill.students.from_leaf`.
            space: The teacher's own space, not rotated.
            config: The recipe: seed, precision and the texts of the warm start.
            layers: Which layers to keep.
            head: Widths of hidden layers; of a leaf that is trained on, those that it has, if none are named.
        """
        self._source, self._layers, self._config = source, layers, config
        leaf = parent_leaf(source, space)
        self.rotation = leaf.rotation if leaf else None
        known = inherited_student(leaf, space, layers, head, seed=config.seed) if leaf else None
        self.inherits = known is not None
        if known is None:
            known = build_student(source, space, layers=layers, head=head, seed=config.seed)
        self.model = known
        self.model.max_seq_length = min(read_limit(self.model[0]) or 512, space.max_tokens or 512)
        self.max_tokens = int(self.model.max_seq_length)
        self.tokenizer: Any = self.model.tokenizer

    @classmethod
    def build(
        cls, options: StudentOptions, teacher: Encoder, space: EmbeddingSpace, config: DistillConfig
    ) -> TransformerStudent:
        return cls(options.source, space, config, layers=options.layers, head=options.head)

    def tokenize(self, cache: TeacherCache, rows: Rows, max_tokens: int) -> TokenizedTexts:
        options = {"truncation": True, "max_length": max_tokens, "return_attention_mask": False}
        return tokenize(lambda words: self.tokenizer(words, **options)["input_ids"], cache, rows, max_tokens)

    def start(self, learned: TokenizedTexts) -> None:
        """Sets the token embeddings, where the lowest layers are missing, and the head; a leaf stays as it is."""
        if not self._config.warm_start_texts or self.inherits:
            return
        from leaf_embed.distill.students.embedding_init import missing_layers, random_batches, start_embeddings

        lower = missing_layers(self._source, self._layers)
        if lower is not None:
            places = random_batches(learned, self._config.seed)
            batches = (self.batch(learned, some) for some in places)
            start_embeddings(self.model, lower.to(self.model.device), batches, self._bfloat16)
        sample = np.random.default_rng(self._config.seed).permutation(len(learned))[: self._config.warm_start_texts]
        blocks = learned.by_length(sample, WARM_START_BATCH)
        pairs = ((self.batch(learned, some), learned.targets(some)) for some in blocks)
        warm_start(self.model, pairs, self._bfloat16)

    def batch(self, texts: TokenizedTexts, places: Rows) -> Features:
        import torch

        tokens, lengths = texts.tokens(places)
        length = min(round_up(int(lengths.max()), PAD_MULTIPLE), texts.longest)  # never beyond the limit
        mask = np.arange(length) < lengths[:, None]
        ids = np.full(mask.shape, self.tokenizer.pad_token_id or 0, dtype=np.int64)
        ids[mask] = tokens
        values = {"input_ids": ids, "attention_mask": mask.astype(np.int64), "token_type_ids": np.zeros_like(ids)}
        names = [name for name in self.tokenizer.model_input_names if name in values]
        return {name: torch.from_numpy(values[name]).to(self.model.device) for name in names}

    def vectors(self, features: Features) -> torch.Tensor:
        return forward(self.model, features, self._bfloat16)

    def tables(self) -> list[Any]:
        import torch

        backbone: Any = self.model[0]
        try:
            found = backbone.auto_model.get_input_embeddings()
        except (AttributeError, NotImplementedError):
            return []
        return [found] if isinstance(found, torch.nn.Embedding) else []

    @property
    def _bfloat16(self) -> bool:
        return wants_bfloat16(self._config.precision, self.model.device)


def forward(model: SentenceTransformer, features: Features, bfloat16: bool) -> torch.Tensor:
    """Returns the vectors of a batch, shape ``(n, dim)``, float32.

    Only the transformer runs in bfloat16: what comes after it is cheap, and its rounding would reach the loss whole.
    """
    features = _pooled(model, features, bfloat16)
    for module in list(model)[2:]:
        features = module(features)
    return features["sentence_embedding"]


def _pooled(model: SentenceTransformer, features: Features, bfloat16: bool) -> Features:
    """Features with the mean-pooled tokens, shape ``(n, width)``, float32, as ``sentence_embedding``."""
    import torch

    device = features["input_ids"].device.type
    with torch.autocast(device, torch.bfloat16) if bfloat16 else nullcontext():
        features = model[0](features)
    features["token_embeddings"] = features["token_embeddings"].float()
    pooled: Features = model[1](features)
    return pooled


def warm_start(model: SentenceTransformer, batches: Iterable[tuple[Features, torch.Tensor]], bfloat16: bool) -> None:
    """Sets the head to the ridge regression from pooled features to teacher vectors, in closed form.

    It spares the thousands of steps in which a random head would drag the transformer away from what it knows: a
    ridge start alone kept half of a teacher's score where a random head had an eighth after 2,000 steps. Only sums
    of products are kept, so memory does not depend on the number of texts.

    Args:
        model: A student from :func:`leaf_embed.distill.build_student`; changed in place.
        batches: Pairs of features and teacher vectors ``(n, dim)``.
        bfloat16: Precision of the transformer.
    """
    import torch

    head = dense_modules(model)
    inputs, dim, biased = head[0].linear.in_features, head[-1].linear.out_features, head[-1].linear.bias is not None
    width = inputs + biased
    gram: NDArray[np.float64] = np.zeros((width, width))
    cross: NDArray[np.float64] = np.zeros((width, dim))
    squares = count = 0.0
    with torch.inference_mode():
        for features, targets in batches:
            x = _pooled(model, features, bfloat16)["sentence_embedding"].double().cpu().numpy()
            y = targets.double().cpu().numpy()
            if biased:
                x = np.hstack([x, np.ones((len(x), 1))])
            gram += x.T @ x
            cross += x.T @ y
            squares, count = squares + float((y**2).sum()), count + len(y)
    scale = RIDGE * np.trace(gram) / width
    solution = torch.from_numpy(np.linalg.solve(gram + scale * np.eye(width), cross)).float()
    bias = solution[-1] if biased else None
    size, normalized = (squares / count) ** 0.5, not hasattr(model[-1], "linear")
    set_linear(head, solution[:inputs].T, bias, size=size, normalized=normalized)
