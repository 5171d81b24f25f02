"""Teachers and students through sentence-transformers, in batches of similar length."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leaf_embed import vectors
from leaf_embed._extras import require
from leaf_embed.canaries import CANARY_TEXTS
from leaf_embed.encoders.base import CountingEncoder
from leaf_embed.encoders.batching import TokenBudget
from leaf_embed.encoders.checks import check_kind, check_text, check_whole, is_one_of
from leaf_embed.encoders.precision import Precision, settle_precision, wants_bfloat16
from leaf_embed.encoders.reading import Features, Reader, TextWindow, ahead, batches, readable_copy, windows
from leaf_embed.encoders.torch_models import (
    IN_MEMORY,
    Loading,
    last_layer,
    load_model,
    load_modules,
    origin_of,
    refuse_shallow,
    revision_of,
    save_model,
    weights_digest,
)
from leaf_embed.errors import InputError, LeafEmbedError, TeacherError
from leaf_embed.format import LEAF_FILE, read_leaf
from leaf_embed.space import EmbeddingSpace
from leaf_embed.texts import Role, clean
from leaf_embed.vectors import FloatArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = [
    "Loading",
    "Precision",
    "SentenceTransformerEncoder",
    "last_layer",
    "load_modules",
    "refuse_shallow",
    "save_model",
    "wants_bfloat16",
    "weights_digest",
]

PAD_MULTIPLE = 16  # bfloat16 on CPU keeps one compiled kernel per shape: few lengths bound memory and time
PADDING_MATTERS = 0.999  # cosine of a text alone with the same text padded below which padding changes the vector
SAME_MODEL = 0.9999  # least cosine on the canaries of a model in memory with the files that it came from
ROLES: tuple[Role, Role] = ("query", "document")
DOCUMENT_PROMPTS = ("document", "passage", "corpus")  # in sentence-transformers' order


class SentenceTransformerEncoder(CountingEncoder):
    """Any sentence-transformers model, as a teacher or as a torch leaf.

    Vectors are those of the model's own ``encode_query`` and ``encode_document``. Where these depend on the padding of
    a batch, they are those of each text encoded alone.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | SentenceTransformer,
        *,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        max_tokens: int | None = None,
        precision: Precision = "auto",
        device: str | None = None,
        batch_tokens: int | None = None,
        loading: Loading | None = None,
    ) -> None:
        """Loads a model, or takes one that is loaded.

        Args:
            model: A directory, a hub id, or a ``SentenceTransformer``, which is not changed.
            query_prompt: Text put before every query; ``None`` takes the one saved in the model.
            document_prompt: Text put before every document; ``None`` takes the one saved in the model.
            max_tokens: Maximal number of tokens to read, if fewer than the model does.
            precision: ``"auto"`` runs float32 weights in bfloat16 on a GPU and on a CPU with bfloat16 units, and other
                weights as they are where the device has units for them.
            device: As in torch; ``None`` takes that of ``loading``, or a GPU if there is one.
            batch_tokens: Maximal number of tokens in a batch, padding included; ``None`` takes that of ``loading``.
            loading: How to load the model, and what is known of it: its hub revision, the dimensions to keep, its
                space.

        Raises:
            MissingExtraError: The extra ``train`` is not installed.
            InputError: The model cannot be loaded, or its vectors are not those of the declared space.
            TeacherError: The model fails on texts.
        """
        require("sentence_transformers", "train", "A torch encoder")
        check_whole("max_tokens", max_tokens, optional=True)
        check_whole("batch_tokens", batch_tokens, optional=True)
        check_kind("loading", loading, Loading, optional=True)
        for prompt in (query_prompt, document_prompt, device):
            check_text("a prompt or device", prompt, optional=True)
        self._loading = loading or Loading()
        if is_one_of(precision, ("auto",)) and self._loading.dtype == "float32":
            precision = "float32"
        tokens = self._loading.batch_tokens if batch_tokens is None else batch_tokens
        self._budget = TokenBudget(tokens, multiple=PAD_MULTIPLE)
        loaded, name, owned = _open(model, device or self._loading.device, self._loading)
        loaded = readable_copy(loaded, max_tokens, owned=owned)
        self.model, self._autocast = settle_precision(loaded, precision, owned=owned)
        self._precision: Precision = precision
        self._name = name if owned else None
        self._dim = self._loading.dim or getattr(self.model, "truncate_dim", None)
        self._readers = {role: Reader.of(self.model, role) for role in ROLES}
        self._lock = threading.Lock()  # a tokenizer that is used by two threads at once fails
        probe, norms = self._probe()
        leaf = Path(name or "") / LEAF_FILE
        if self._loading.space is not None:
            self._space = self._loading.space
            self._check_declared(probe.shape[1], norms)
        elif owned and leaf.is_file():
            info = read_leaf(str(name))
            self._space, self.record = info.space, info.record
        else:
            prompts = (query_prompt, document_prompt)
            self._space = self._describe(name or self._found_again(model, probe), probe.shape[1], norms, prompts)

    @property
    def space(self) -> EmbeddingSpace:
        return self._space

    def rename(self, space: EmbeddingSpace) -> None:
        """Declares another space that this model is known to write into, by its weights; prompts are the space's."""
        self._space = replace(space, canaries=None)

    @property
    def device(self) -> str:
        """The device that the model is on, as torch names it."""
        return str(self.model.device)

    @property
    def threads(self) -> int:
        """Threads of torch inside one operator, of the whole process."""
        import torch

        return torch.get_num_threads()

    @property
    def precision(self) -> str:
        """What the model computes in, such as ``"bfloat16"``; a model without weights computes in float32."""
        weights = next(self.model.parameters(), None)
        return "bfloat16" if self._autocast else "float32" if weights is None else str(weights.dtype).split(".")[-1]

    def _probe(self) -> tuple[FloatArray, bool]:
        """Vectors of the canaries, without prompts, and whether they have unit norm; finds whether padding matters.

        Raises:
            InputError: The two routes of a Router write vectors of different sizes.
        """
        self._exact = self._normalized = False
        texts = [text for _, text in CANARY_TEXTS]
        shortest = min(range(len(texts)), key=lambda place: len(texts[place]))
        probes = {role: self._encode_prompted(texts, "", role) for role in ROLES[1 - self._routed :]}
        self._exact = True
        alone = {role: self._encode_prompted([texts[shortest]], "", role)[0] for role in probes}
        if len({probe.shape[1] for probe in probes.values()}) > 1:
            shapes = " and ".join(f"{probe.shape[1]} for a {role}" for role, probe in probes.items())
            raise InputError(f"the routes of this Router write vectors of different dimensions: {shapes}")
        cosines = [float(vectors.cosine(alone[role], probe[shortest])) for role, probe in probes.items()]
        self._exact = min(cosines) < PADDING_MATTERS
        self._normalized = all(map(vectors.is_unit_norm, probes.values()))
        return probes["document"], self._normalized

    @property
    def _routed(self) -> bool:
        """Whether queries take another way through the model than documents."""
        return any(hasattr(module, "sub_modules") for module in self.model)

    def _describe(self, name: str, dim: int, unit_norm: bool, prompts: tuple[str | None, str | None]) -> EmbeddingSpace:
        """The space of this model as a teacher."""
        saved = self.model.prompts or {}
        usual = saved.get(getattr(self.model, "default_prompt_name", None) or "") or ""
        queries = saved.get("query", usual)
        documents = next((saved[key] for key in DOCUMENT_PROMPTS if key in saved), usual)
        return EmbeddingSpace(
            teacher=name,
            dim=dim,
            revision=revision_of(name, self.model),
            query_prompt=(queries or "") if prompts[0] is None else prompts[0],
            document_prompt=(documents or "") if prompts[1] is None else prompts[1],
            unit_norm=unit_norm,
            max_tokens=self._limit,
        )

    def _check_declared(self, dim: int, unit_norm: bool) -> None:
        if dim != self._space.dim or unit_norm != self._space.unit_norm:
            raise InputError(
                f"the model writes {dim} dimensions, {'unit norm' if unit_norm else 'not of unit norm'}; "
                f"the declared space of {self._space.teacher} has dim={self._space.dim}, "
                f"unit_norm={self._space.unit_norm}"
            )

    def _found_again(self, model: Any, probe: FloatArray) -> str:
        """The directory or hub id that a model in memory can be loaded from again, or :data:`IN_MEMORY`."""
        name = origin_of(model)
        if name is None:
            return IN_MEMORY
        local = replace(self._loading, options={**self._loading.options, "local_files_only": True})
        try:
            again = SentenceTransformerEncoder(name, precision="float32", device="cpu", loading=local)
            same = vectors.cosine(again._encode_prompted([text for _, text in CANARY_TEXTS], "", "document"), probe)
        except (LeafEmbedError, ValueError):  # another shape: the model was changed
            return IN_MEMORY
        return name if float(same.min()) > SAME_MODEL else IN_MEMORY

    def texts_cut(self, texts: Sequence[str], role: Role) -> list[bool]:
        """Returns of each text whether its end is not read; see :class:`~leaf_embed.encoders.base.Cutting`."""
        reader, prompt = self._readers[role], self._space.prompt(role)
        limit = reader.limit
        if limit is None or not callable(reader.tokenizer):
            return [False] * len(texts)
        prompted = [prompt + reader.cut(clean(text), prompt) for text in texts]
        with self._lock:
            encoded = reader.tokenizer(prompted, truncation=True, max_length=limit + 1)
        return [len(ids) > limit for ids in encoded["input_ids"]]

    @property
    def _limit(self) -> int | None:
        """Tokens that the model reads; ``None`` for a static model, which reads all."""
        limits = [reader.limit for reader in self._readers.values() if reader.limit is not None]
        return max(limits, default=None)

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        return self._encode_prompted(texts, self._space.prompt(role), role)

    def _count(self, texts: list[str], role: Role) -> list[int]:
        counts = np.zeros(len(texts), dtype=np.intp)
        for window in self._windows(texts, self._space.prompt(role), role):
            counts[window.rows] = window.lengths
        return [int(count) for count in counts]

    def _windows(self, texts: Sequence[str], prompt: str, role: Role) -> Iterator[TextWindow]:
        reader = self._readers[role]

        def read(some: list[str]) -> Features:
            with self._lock:
                return self.model.preprocess(some, prompt=prompt or None, task=role)

        return windows([reader.cut(text, prompt) for text in texts], read)

    def _encode_prompted(self, texts: Sequence[str], prompt: str, role: Role) -> FloatArray:
        """Vectors of ``prompt + text``, shape ``(n, dim)``."""
        result: FloatArray | None = None
        with _errors_of(self.model):
            found = self._windows(texts, prompt, role)
            for window in ahead(found) if len(texts) > 1 else found:
                for rows, features in batches(window, self._budget, self._readers[role], exact=self._exact):
                    block = self._forward(features, role)
                    if result is None:
                        result = np.empty((len(texts), block.shape[1]), dtype=np.float32)
                    result[rows] = block
        if result is None:
            raise InputError("nothing to encode: got no texts")
        if self._dim is not None and self._dim < result.shape[1]:
            return vectors.truncate(result, self._dim)
        return vectors.normalize(result) if self._normalized else result  # bfloat16 rounded the norm away from 1

    def _forward(self, features: Features, role: Role) -> FloatArray:
        """Vectors of one batch, shape ``(n, dim)``."""
        import torch

        device = self.model.device
        features = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in features.items()}
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=self._autocast):
            output = self.model(features, task=role)["sentence_embedding"].float()
        return np.asarray(output.cpu().numpy(), dtype=np.float32)

    def _opening(self) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """A model that was loaded here is loaded again; one that came as an object travels with its weights."""
        if self._name is None:
            return None
        pinned = None if (self._space.revision or "").startswith("sha256:") else self._space.revision
        loading = replace(self._loading, space=self._space, revision=self._loading.revision or pinned)
        options = {"precision": self._precision, "device": self.device, "batch_tokens": self._budget.tokens}
        return (self._name,), {**options, "max_tokens": self._limit, "loading": loading}

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()


def _open(
    model: str | os.PathLike[str] | SentenceTransformer, device: str | None, loading: Loading
) -> tuple[SentenceTransformer, str | None, bool]:
    """The model in evaluation mode; its name if it was loaded here, and whether it was."""
    from sentence_transformers import SentenceTransformer

    if isinstance(model, SentenceTransformer):
        return model.eval(), None, False
    if not isinstance(model, str | os.PathLike):
        raise InputError(f"expected a directory, a hub id or a SentenceTransformer; got {type(model).__name__}")
    loaded, name = load_model(model, device, loading)
    return loaded, name, True


@contextmanager
def _errors_of(model: Any) -> Iterator[None]:
    """Turns whatever a model's own code raises into one of our errors."""
    try:
        yield
    except LeafEmbedError:
        raise
    except Exception as error:  # torch, tokenizers and a model's own modules each have their own
        name = type(model[0]).__name__
        raise TeacherError(
            f"the model (first module: {name}) cannot encode these texts: {type(error).__name__}: {error}. "
            "Does SentenceTransformer(...).encode encode them? If memory ran out, lower batch_tokens"
        ) from error
