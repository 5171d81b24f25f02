"""Teachers and students through sentence-transformers, in batches of similar length."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from leaf_embed import vectors
from leaf_embed._extras import require
from leaf_embed.canaries import CANARY_TEXTS
from leaf_embed.encoders.base import BaseEncoder
from leaf_embed.encoders.batching import TokenBudget, round_up, token_batches
from leaf_embed.errors import InputError
from leaf_embed.format import LEAF_FILE, read_leaf
from leaf_embed.space import EmbeddingSpace
from leaf_embed.texts import Role
from leaf_embed.vectors import FloatArray

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

__all__ = [
    "Declared",
    "Precision",
    "SentenceTransformerEncoder",
    "last_layer",
    "load_modules",
    "refuse_shallow",
    "save_model",
    "wants_bfloat16",
    "weights_digest",
]

Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]

PAD_MULTIPLE = 16  # bfloat16 on CPU keeps one compiled kernel per shape: few lengths bound memory and time
MODEL_FILES = ("*.safetensors", "pytorch_model*.bin", "modules.json", "*/config.json", "tokenizer.json")


@dataclass(frozen=True)
class Declared:
    """Facts about a model that are known before it is loaded.

    Attributes:
        revision: Hub commit, branch or tag; of no effect on a local directory.
        dim: Leading dimensions to keep of each vector, renormalised; ``None``, or more than there are, keeps all.
        space: The space that it writes into; dimensions and norm are checked, and prompts are the space's. ``None``
            measures the model instead.
    """

    revision: str | None = None
    dim: int | None = None
    space: EmbeddingSpace | None = None


class SentenceTransformerEncoder(BaseEncoder):
    """Any sentence-transformers model, as a teacher or as a torch leaf."""

    def __init__(
        self,
        model: str | os.PathLike[str] | SentenceTransformer,
        *,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        max_tokens: int | None = None,
        precision: Precision = "auto",
        device: str | None = None,
        batch_tokens: int = 4096,
        declared: Declared | None = None,
    ) -> None:
        """Loads a model, or takes one that is loaded.

        Args:
            model: A directory, a hub id, or a ``SentenceTransformer``.
            query_prompt: Text put before every query; ``None`` takes the one saved in the model.
            document_prompt: Text put before every document; ``None`` takes the one saved in the model.
            max_tokens: Maximal number of tokens to read, if fewer than the model does.
            precision: ``"auto"`` is bfloat16 on a GPU and on a CPU with bfloat16 units, else float32.
            device: As in torch; ``None`` takes a GPU if there is one.
            batch_tokens: Maximal number of tokens in a batch, padding included.
            declared: What is known of the model: its hub revision, the dimensions to keep, its space.

        Raises:
            MissingExtraError: The extra ``train`` is not installed.
            InputError: The model cannot be loaded, or its vectors are not those of the declared space.
        """
        require("sentence_transformers", "train", "A torch encoder")
        declared = declared or Declared()
        self.model, name = _load(model, device, declared.revision)
        self._dim = declared.dim
        if max_tokens is not None:
            self.model.max_seq_length = min(max_tokens, self.model.max_seq_length or max_tokens)
        self._autocast = wants_bfloat16(precision, self.model.device)
        self._budget = TokenBudget(batch_tokens, multiple=PAD_MULTIPLE)
        leaf = Path(name) / LEAF_FILE
        if declared.space is not None:
            self._space = declared.space
            self._check_declared()
        elif leaf.is_file():
            info = read_leaf(name)
            self._space, self.canary_cosines = info.space, info.canary_cosines
        else:
            self._space = self._describe(name, query_prompt, document_prompt)

    @property
    def space(self) -> EmbeddingSpace:
        return self._space

    @property
    def precision(self) -> str:
        """What the model computes in: ``"bfloat16"`` or ``"float32"``."""
        return "bfloat16" if self._autocast else "float32"

    def _describe(self, name: str, query_prompt: str | None, document_prompt: str | None) -> EmbeddingSpace:
        """The space of this model as a teacher, with the norm measured."""
        saved = self.model.prompts or {}
        probe = self._encode_prompted([text for _, text in CANARY_TEXTS], "")
        return EmbeddingSpace(
            teacher=name,
            dim=int(probe.shape[1]),
            revision=_revision(name, self.model),
            query_prompt=(saved.get("query") or "") if query_prompt is None else query_prompt,
            document_prompt=(saved.get("document") or "") if document_prompt is None else document_prompt,
            unit_norm=vectors.is_unit_norm(probe),
            max_tokens=self._limit,
        )

    def _check_declared(self) -> None:
        probe = self._encode_prompted([text for _, text in CANARY_TEXTS], "")
        norm = vectors.is_unit_norm(probe)
        if probe.shape[1] != self._space.dim or norm != self._space.unit_norm:
            raise InputError(
                f"the model writes {probe.shape[1]} dimensions, {'unit norm' if norm else 'not of unit norm'}; "
                f"the declared space of {self._space.teacher} has dim={self._space.dim}, "
                f"unit_norm={self._space.unit_norm}"
            )

    def _encode(self, texts: list[str], role: Role) -> FloatArray:
        return self._encode_prompted(texts, self._space.prompt(role))

    def count_tokens(self, texts: Sequence[str], role: Role) -> list[int]:
        """Returns the tokens that the model reads of each text; see :class:`~leaf_embed.encoders.base.Counting`."""
        return self._lengths(texts, self._space.prompt(role))

    @property
    def _limit(self) -> int | None:
        """Tokens that the model reads; ``None`` for a static model, which reads all."""
        limit = self.model.max_seq_length
        return int(limit) if limit and math.isfinite(limit) else None

    def _lengths(self, texts: Sequence[str], prompt: str) -> list[int]:
        limit = self._limit or 512
        prompted = [prompt + text[: limit * 512] for text in texts]
        if not callable(self.model.tokenizer):  # that of a static model
            return [len(one.ids) for one in self.model.tokenizer.encode_batch_fast(prompted, add_special_tokens=False)]
        encoded = self.model.tokenizer(prompted, truncation=True, max_length=limit)
        return [len(ids) for ids in encoded["input_ids"]]

    def _encode_prompted(self, texts: Sequence[str], prompt: str) -> FloatArray:
        """Vectors of ``prompt + text``, shape ``(n, dim)``."""
        lengths = self._lengths(texts, prompt)
        result: FloatArray | None = None
        for rows in token_batches(lengths, self._budget):
            block = self._forward([texts[row] for row in rows], prompt)
            if result is None:
                result = np.empty((len(texts), block.shape[1]), dtype=np.float32)
            result[rows] = block
        if result is None:
            raise InputError("nothing to encode: got no texts")
        if self._dim is not None and self._dim < result.shape[1]:
            return vectors.truncate(result, self._dim)
        return result

    def _forward(self, texts: list[str], prompt: str) -> FloatArray:
        """Vectors of one batch, shape ``(len(texts), dim)``."""
        import torch
        from sentence_transformers.base.modules import Normalize

        device = self.model.device
        features = self._padded(self.model.preprocess(texts, prompt=prompt or None))
        features = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in features.items()}
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=self._autocast):
            output = self.model(features)["sentence_embedding"].float()
            if any(isinstance(module, Normalize) for module in self.model):
                output = torch.nn.functional.normalize(output, dim=-1)  # bfloat16 rounded the norm away from 1
        return np.asarray(output.cpu().numpy(), dtype=np.float32)

    def _padded(self, features: dict[str, Any]) -> dict[str, Any]:
        """A batch padded to a multiple of :data:`PAD_MULTIPLE`, but never beyond what the model reads.

        The tokenizer itself refuses to pad to a multiple that its truncation length is not one of.
        """
        import torch

        if "attention_mask" not in features:  # a static model's, or one that needs no padding
            return features
        ids = features["input_ids"]
        length = round_up(ids.shape[1], PAD_MULTIPLE)
        missing = max(0, min(length, self._limit or length) - ids.shape[1])
        tokenizer: Any = self.model.tokenizer
        sides = (missing, 0) if tokenizer.padding_side == "left" else (0, missing)
        fill = {"input_ids": tokenizer.pad_token_id or 0}
        return {
            name: torch.nn.functional.pad(value, sides, value=fill.get(name, 0))
            if isinstance(value, torch.Tensor) and value.shape == ids.shape
            else value
            for name, value in features.items()
        }


def _load(
    model: str | os.PathLike[str] | SentenceTransformer, device: str | None, revision: str | None
) -> tuple[SentenceTransformer, str]:
    """The model in evaluation mode, and the name that its space has as its teacher."""
    from sentence_transformers import SentenceTransformer

    if isinstance(model, SentenceTransformer):
        return model.eval(), _name_of(model)
    name = os.fspath(model)
    local = Path(name)
    if not local.exists() and not re.fullmatch(r"[\w.-]+/[\w.-]+|[\w.-]+", name):
        raise InputError(f"there is no model at {name}; expected a directory or a hub id such as 'org/model'")
    if local.is_dir() and not any((local / f).is_file() for f in ("modules.json", "config.json")):
        raise InputError(f"{name} holds no model (no modules.json, no config.json); is the path right?")
    try:
        if local.is_dir():
            refuse_shallow(local)
            return SentenceTransformer(name, device=device).eval(), str(local.resolve())
        return SentenceTransformer(name, device=device, revision=revision).eval(), name
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot load a sentence-transformers model from {name!r}: {error}\n"
            "Expected a model directory, or a hub id on a machine that reaches the hub."
        ) from error


def refuse_shallow(directory: Path) -> None:
    """Refuses a shallow leaf, a kind of student that is no longer made: its torch module is gone.

    Raises:
        InputError: The directory holds one.
    """
    file = directory / "modules.json"
    if file.is_file() and b"leaf_embed.distill.shallow" in file.read_bytes():
        raise InputError(
            f"{directory} is a shallow leaf, a kind of student that was removed, so torch cannot load it. "
            f"leaf_embed.load({str(directory)!r}) still answers queries by its ONNX graph; to train, export or "
            "truncate, distil a new leaf, such as with --layers none --head 1536,1536"
        )


def last_layer(model: SentenceTransformer) -> Any | None:
    """Returns the module that writes a model's vectors, by ``.linear`` or ``.embedding``; ``None`` without one."""
    return next((m for m in reversed(list(model)) if hasattr(m, "linear") or hasattr(m, "embedding")), None)


def save_model(model: SentenceTransformer, folder: Path) -> None:
    """Writes a sentence-transformers directory without a card."""
    model.save_pretrained(str(folder), create_model_card=False)
    for file in folder.rglob("*.safetensors"):
        file.chmod(0o644)  # safetensors makes it unreadable for a server that runs as another user


def load_modules(directory: Path, parts: Sequence[tuple[str, str]]) -> SentenceTransformer:
    """Loads some modules of a model directory as a model: one route of a Router without the other's weights.

    Args:
        directory: A sentence-transformers model directory.
        parts: Class name and folder of each module, in their order.

    Raises:
        InputError: A module that cannot be read.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base import modules as base
    from sentence_transformers.sentence_transformer import modules as dense

    loaded: list[Any] = []
    for kind, folder in parts:
        found: Any = getattr(dense, kind, None) or getattr(base, kind, None)
        if found is None:
            raise InputError(f"{directory} has a module {kind}, which this sentence-transformers does not know")
        try:
            loaded.append(found.load(str(directory), subfolder=folder))
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read the {kind} in {directory / folder}: {error}") from error
    return SentenceTransformer(modules=loaded, device="cpu")


def _name_of(model: SentenceTransformer) -> str:
    card = getattr(model, "model_card_data", None)
    return str(getattr(card, "base_model", None) or "in-process model")


def _revision(name: str, model: SentenceTransformer) -> str:
    """A digest of a local model's files, the commit of a hub model, or a digest of weights that are only in memory."""
    path = Path(name)
    if path.is_dir():
        files = sorted({file for pattern in MODEL_FILES for file in path.rglob(pattern) if "onnx" not in file.parts})
        digest = hashlib.sha256()
        for file in files:
            digest.update(file.relative_to(path).as_posix().encode())
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        return f"sha256:{digest.hexdigest()[:32]}"
    commit = getattr(getattr(model[0], "config", None), "_commit_hash", None)
    return str(commit) if commit else weights_digest(model)


def weights_digest(model: SentenceTransformer) -> str:
    """Returns ``"sha256:..."`` of all weights as float32; their names differ between releases and are left out."""
    digest = hashlib.sha256()
    for tensor in model.state_dict().values():
        digest.update(tensor.detach().float().cpu().numpy().tobytes())
    return f"sha256:{digest.hexdigest()[:32]}"


def wants_bfloat16(precision: Precision, device: torch.device) -> bool:
    """Whether to run in bfloat16: if asked for, or with ``"auto"`` on hardware that multiplies it natively."""
    import torch

    if precision not in ("auto", "float32", "bfloat16"):
        raise InputError(f"unknown precision {precision!r}; expected auto, float32 or bfloat16")
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
