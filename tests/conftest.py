"""Tiny models, built in process: no network, no downloads, milliseconds to run."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

if TYPE_CHECKING:
    from leaf_embed.distill import Text

WORDS = (
    "red green blue round square tall small quick slow warm cold river stone tree leaf root seed cloud rain wind sun "
    "moon star fish bird horse bread salt milk honey iron glass paper wood house door window road bridge tower what "
    "where when who how is the a of in on and with from to"
).split()


def make_model(
    path: Path, *, layers: int = 4, width: int = 32, seed: int = 0, normalize: bool = True, positions: int = 64
) -> Path:
    """Save a random BERT as a sentence-transformers model that knows :data:`WORDS` and single letters."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(c) for c in range(97, 123)]
    vocabulary = specials + WORDS + [w for w in letters if w not in WORDS] + [f"##{w}" for w in letters]
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), specials, strict=True))
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=2 * width,
        max_position_embeddings=positions,
        initializer_range=0.15,  # smaller: all vectors nearly equal; larger: chaos that no two layers can learn
    )
    plain = path.with_name(path.name + "-backbone")
    BertModel(config).save_pretrained(plain)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=positions, **names).save_pretrained(plain)
    modules = [Transformer(str(plain)), Pooling(width, "mean")] + ([Normalize()] if normalize else [])
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(path), create_model_card=False)
    return path


def sentences(count: int, seed: int = 0) -> list[str]:
    """Distinct random sentences of 3 to 24 words."""
    generator = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        found[" ".join(generator.choices(WORDS, k=generator.randint(3, 24)))] = None
    return list(found)


def texts(count: int, seed: int = 0) -> list[Text]:
    """Random texts, every other one a query."""
    from leaf_embed.distill import Text

    return [Text(s, "query" if i % 2 else "document") for i, s in enumerate(sentences(count, seed))]


def make_leaf(teacher: Path, output: Path) -> Path:
    """Distil a leaf of two layers from the tiny teacher, and export it."""
    from leaf_embed.distill import DistillConfig, distill

    config = DistillConfig.quick(max_steps=150, learning_rate=2e-3, precision="float32", holdout=0.1)
    distill(teacher, texts(600), teacher, output, config, layers=2)
    return output


MODELS = "LEAF_EMBED_TEST_MODELS"  # where ``python -m tests.models`` has put both, for an environment without torch


@pytest.fixture(scope="session")
def teacher_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny teacher: 4 layers, 32 dimensions, unit norm."""
    pytest.importorskip("sentence_transformers", reason="pip install 'leaf-embed[train]'")
    if MODELS in os.environ:
        return Path(os.environ[MODELS]) / "teacher"
    return make_model(tmp_path_factory.mktemp("models") / "teacher")


@pytest.fixture(scope="session")
def leaf_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A leaf of two layers, distilled from the tiny teacher and exported."""
    if MODELS in os.environ:
        return Path(os.environ[MODELS]) / "leaf"
    return make_leaf(request.getfixturevalue("teacher_path"), tmp_path_factory.mktemp("leaves") / "leaf")


@contextmanager
def no_room(size: int) -> Iterator[None]:
    """No file of this process may become larger than ``size`` bytes while the block runs, as if the disk were full."""
    resource = pytest.importorskip("resource")
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
