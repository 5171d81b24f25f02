"""Loading of sentence-transformers models, and what identifies one: its name, and a digest of its files or weights."""

from __future__ import annotations

import hashlib
import inspect
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from leaf_embed.encoders.checks import check_kind, check_path, check_text, check_whole, is_one_of
from leaf_embed.errors import InputError
from leaf_embed.space import EmbeddingSpace

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = [
    "IN_MEMORY",
    "Loading",
    "input_modules",
    "last_layer",
    "load_model",
    "load_modules",
    "local_device",
    "origin_of",
    "refuse_shallow",
    "revision_of",
    "save_model",
    "weights_digest",
]

IN_MEMORY = "in-process model"
"""Name of a teacher that was a model in memory, of which no directory is known."""

MODEL_FILES = ("*.safetensors", "pytorch_model*.bin", "modules.json", "*/config.json", "tokenizer.json")
DTYPES = ("auto", "float32", "float16", "bfloat16")
SET_HERE = ("model_name_or_path", "modules", "device", "revision", "trust_remote_code", "truncate_dim")


@dataclass(frozen=True)
class Loading:
    """How a model is loaded, and what is known of it before.

    Attributes:
        revision: Hub commit, branch or tag; of no effect on a local directory.
        dim: Leading dimensions to keep of each vector, renormalised; ``None``, or more than there are, keeps all.
        space: The space that it writes into; dimensions and norm are checked, and prompts are the space's. ``None``
            measures the model instead.
        device: As in torch; ``None`` takes a GPU if there is one.
        dtype: Of weights and arithmetic: ``"float32"``, ``"float16"`` or ``"bfloat16"``; ``"auto"`` keeps weights as
            they were saved, and runs float32 in bfloat16 where the machine has units for it.
        batch_tokens: Maximal number of tokens in a batch, padding included.
        attention: Attention implementation of transformers, such as ``"sdpa"`` or ``"flash_attention_2"``.
        trust_remote_code: Whether to run Python code that comes with the model. Only for models that you trust.
        options: Further keyword arguments of ``SentenceTransformer``, such as ``token`` or ``cache_folder``.

    Raises:
        InputError: An unknown dtype, or an option that ``SentenceTransformer`` does not have.
    """

    revision: str | None = None
    dim: int | None = None
    space: EmbeddingSpace | None = None
    device: str | None = None
    dtype: str = "auto"
    batch_tokens: int = 4096
    attention: str | None = None
    trust_remote_code: bool = False
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if not is_one_of(self.dtype, DTYPES):
            raise InputError(f"unknown dtype {self.dtype!r:.80}; expected one of {', '.join(DTYPES)}")
        check_whole("batch_tokens", self.batch_tokens)
        check_whole("dim", self.dim, optional=True)
        check_kind("space", self.space, EmbeddingSpace, optional=True)
        check_kind("the further options", self.options, Mapping)
        for name in ("revision", "device", "attention"):
            check_text(name, getattr(self, name), optional=True)
        object.__setattr__(self, "options", dict(self.options))
        if taken := sorted(set(self.options) & set(SET_HERE)):
            raise InputError(f"{', '.join(taken)} cannot be among the further options; it has an argument of its own")

    def arguments(self) -> dict[str, Any]:
        """Returns the keyword arguments of ``SentenceTransformer``.

        Raises:
            InputError: An option that it does not have.
        """
        from sentence_transformers import SentenceTransformer

        known = inspect.signature(SentenceTransformer.__init__).parameters
        if unknown := sorted(set(self.options) - set(known)):
            raise InputError(
                f"SentenceTransformer has no option {', '.join(unknown)}; it has {', '.join(list(known)[1:])}"
            )
        set_here = {"dtype": None if self.dtype == "auto" else self.dtype, "attn_implementation": self.attention}
        model = {name: value for name, value in set_here.items() if value is not None}
        model.update(self.options.get("model_kwargs") or {})
        found = {**self.options, "trust_remote_code": self.trust_remote_code}
        return found | {"model_kwargs": model} if model else found


def load_model(name: str | os.PathLike[str], device: str | None, loading: Loading) -> tuple[SentenceTransformer, str]:
    """Returns a model in evaluation mode, and the name that it has as a teacher: its id, or its absolute path.

    Raises:
        InputError: There is no such model, or it cannot be loaded.
    """
    check_path("a model", name)
    name = os.fspath(name)
    local = Path(name)
    if not local.exists() and not re.fullmatch(r"[\w.-]+/[\w.-]+|[\w.-]+", name):
        raise InputError(f"there is no model at {name}; expected a directory or a hub id such as 'org/model'")
    if local.is_dir():
        if not any((local / file).is_file() for file in ("modules.json", "config.json")):
            raise InputError(f"{name} holds no model (no modules.json, no config.json); is the path right?")
        refuse_shallow(local)
    from sentence_transformers import SentenceTransformer

    device, arguments = local_device(device), loading.arguments()
    revision = None if local.is_dir() else loading.revision
    try:
        model = SentenceTransformer(name, device=device, revision=revision, **arguments)
    except Exception as error:  # any library below may fail in its own way on files that it did not write
        absent = "" if local.is_dir() else f"there is no directory {name!r} here, and no such model was fetched. "
        raise InputError(
            f"{absent}cannot load a sentence-transformers model from {name!r}: {error or type(error).__name__}\n"
            "Expected a model directory, or a hub id on a machine that reaches the hub."
        ) from error
    return model.eval(), str(local.resolve()) if local.is_dir() else name


def local_device(asked: str | None) -> str | None:
    """Returns the device that this process means by a name: of several processes that a launcher started, its own GPU.

    Args:
        asked: As in torch. ``"cuda"``, or ``None`` on a machine with CUDA, is the GPU of the process's local rank.

    Returns:
        A device of this machine; ``None`` if nothing was asked for and this process is alone, or without CUDA.

    Raises:
        InputError: No such device, fewer GPUs than processes, or one GPU for several processes.
    """
    import torch

    rank = int(os.environ.get("LOCAL_RANK", "0")) if int(os.environ.get("WORLD_SIZE", "1")) > 1 else None
    has_cuda = torch.cuda.is_available()
    if asked is None:
        return None if rank is None or not has_cuda else local_device("cuda")
    try:
        wanted = torch.device(asked)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"device is {asked!r}; expected a device of torch, such as cpu, cuda or cuda:1") from error
    if wanted.type != "cuda":
        return asked
    if not has_cuda:
        raise InputError(f"device is {asked!r}, but torch finds no GPU with CUDA here; name cpu, or leave it out")
    if rank is not None and wanted.index is not None:
        raise InputError(f"device is {asked!r}, one GPU for several processes; name cuda: each process takes its own")
    number, there = rank if wanted.index is None else wanted.index, torch.cuda.device_count()
    if number is not None and number >= there:
        raise InputError(f"there is no GPU {number}: torch finds {there}, counted from 0; start a process per GPU")
    return asked if number is None else f"cuda:{number}"


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
        except Exception as error:  # as above
            raise InputError(f"cannot read the {kind} in {directory / folder}: {error}") from error
    return SentenceTransformer(modules=loaded, device="cpu")


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


def save_model(model: SentenceTransformer, folder: Path) -> None:
    """Writes a sentence-transformers directory without a card."""
    model.save_pretrained(str(folder), create_model_card=False)
    for file in folder.rglob("*.safetensors"):
        file.chmod(0o644)  # safetensors makes it unreadable for a server that runs as another user


def last_layer(model: SentenceTransformer) -> Any | None:
    """Returns the module that writes a model's vectors, by ``.linear`` or ``.embedding``; ``None`` without one."""
    return next((m for m in reversed(list(model)) if hasattr(m, "linear") or hasattr(m, "embedding")), None)


def input_modules(model: SentenceTransformer) -> Iterator[Any]:
    """Yields the modules that read texts: the first one, or the first one of every route of a Router."""

    def readers(module: Any) -> Iterator[Any]:
        routes = getattr(module, "sub_modules", None)
        if routes is None:
            yield module
        else:
            for route in routes.values():
                yield from readers(route[0])

    yield from readers(model[0])


def origin_of(model: SentenceTransformer) -> str | None:
    """Returns the directory or the hub id that a model in memory says it was loaded from; ``None`` if it is unknown.

    The weights may have been changed since.
    """
    card = getattr(model, "model_card_data", None)
    saved = [getattr(getattr(module, "config", None), "_name_or_path", None) for module in input_modules(model)]
    named = [str(name) for name in [getattr(card, "base_model", None), *saved] if name]
    for name in named:
        folder = next((f for f in (Path(name), *Path(name).parents[:1]) if (f / "modules.json").is_file()), None)
        if folder is not None:
            return str(folder.resolve())
    return str(card.base_model) if card is not None and card.base_model else None


def revision_of(name: str, model: SentenceTransformer) -> str:
    """Returns a digest of a local model's files, the commit of a hub model, or a digest of its weights."""
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
    if name == IN_MEMORY:
        return weights_digest(model)
    commit = getattr(getattr(next(input_modules(model)), "config", None), "_commit_hash", None)
    return str(commit) if commit else weights_digest(model)


def weights_digest(model: SentenceTransformer) -> str:
    """Returns ``"sha256:..."`` of all weights as float32; their names differ between releases and are left out."""
    digest = hashlib.sha256()
    for tensor in model.state_dict().values():
        digest.update(tensor.detach().float().cpu().numpy().tobytes())
    return f"sha256:{digest.hexdigest()[:32]}"
