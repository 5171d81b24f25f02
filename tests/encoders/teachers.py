"""Tiny teachers of many architectures, each built once, to be combined with limits, dtypes, poolings and tokenizers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tests.conftest import WORDS

WIDTH = 32
POSITIONS = 50
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]  # RoBERTa's: padding is token 1
VOCABULARY = SPECIALS + WORDS + [c for c in map(chr, range(97, 123)) if c not in WORDS]

SMALL: dict[str, Any] = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "initializer_range": 0.15,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
}
TABLE: dict[str, Any] = {"max_position_embeddings": POSITIONS}
AFTER_PADDING: dict[str, Any] = {"max_position_embeddings": POSITIONS + 2}  # two rows that no token is put on
GPT2 = {"n_embd": WIDTH, "n_layer": 2, "n_head": 4, "n_positions": POSITIONS, "vocab_size": len(VOCABULARY)}
DISTIL = {"dim": WIDTH, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "vocab_size": len(VOCABULARY), **TABLE}
T5 = {"d_model": WIDTH, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": len(VOCABULARY)}
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("Bert", SMALL | TABLE),
    "roberta": ("Roberta", SMALL | AFTER_PADDING),
    "xlm-roberta": ("XLMRoberta", SMALL | AFTER_PADDING),
    "camembert": ("Camembert", SMALL | AFTER_PADDING),
    "mpnet": ("MPNet", SMALL | AFTER_PADDING),
    "distilbert": ("DistilBert", DISTIL | {"pad_token_id": 1, "initializer_range": 0.15}),
    "albert": ("Albert", SMALL | TABLE | {"embedding_size": 16}),
    "electra": ("Electra", SMALL | TABLE | {"embedding_size": 16}),
    "modernbert": ("ModernBert", SMALL | TABLE | {"cls_token_id": 0, "sep_token_id": 2, "local_attention": 16}),
    "deberta-v2": ("DebertaV2", SMALL | TABLE | {"relative_attention": True, "position_biased_input": False}),
    "t5": ("T5Encoder", T5 | {"pad_token_id": 1, "eos_token_id": 2}),
    "gpt2": ("GPT2", GPT2 | {"bos_token_id": 0, "eos_token_id": 2}),
    "qwen3": ("Qwen3", SMALL | TABLE | {"num_key_value_heads": 2, "head_dim": 8}),
    "opt": ("OPT", SMALL | TABLE | {"ffn_dim": 64, "word_embed_proj_dim": WIDTH}),
}


@dataclass(frozen=True)
class Case:
    """One teacher of the matrix, as differences from the usual one."""

    architecture: str
    pooling: str | tuple[str, ...] = "mean"
    limit: int | None = None  # declared max_seq_length; None declares none
    dtype: torch.dtype = torch.float32
    prompt: str = ""
    include_prompt: bool = True
    tail: tuple[str, ...] = ("normalize",)
    tokenizer: dict[str, Any] = field(default_factory=dict)  # options of PreTrainedTokenizerFast

    def __str__(self) -> str:
        pooling = self.pooling if isinstance(self.pooling, str) else "+".join(self.pooling)
        parts = [self.architecture, pooling, str(self.limit), str(self.dtype).removeprefix("torch.")]
        parts += [*self.tail, *map(str, self.tokenizer.values())]
        return "-".join(parts + ["prompt"] * bool(self.prompt))


def build_backbone(architecture: str, path: Path) -> Path:
    """Save a random transformer without a tokenizer."""
    name, options = ARCHITECTURES[architecture]
    torch.manual_seed(len(architecture))
    config = getattr(transformers, ("T5" if architecture == "t5" else name) + "Config")(**options)
    getattr(transformers, name + "Model")(config).save_pretrained(path)
    return path


def save_tokenizer(path: Path, options: dict[str, Any]) -> None:
    """Save a tokenizer of words that declares no limit, with ``<s> text </s>`` unless ``specials`` is False."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if options.get("specials", True):
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
        )
    named: dict[str, Any] = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    named |= {"cls_token": "<s>", "sep_token": "</s>"} | {k: v for k, v in options.items() if k != "specials"}
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)
    fast.save_pretrained(path)


def build(case: Case, path: Path) -> SentenceTransformer:
    """Returns the teacher of a case, of a backbone in a directory."""
    save_tokenizer(path, case.tokenizer)
    transformer = Transformer(str(path))
    if case.limit is not None:
        transformer.max_seq_length = case.limit
    pooling = Pooling(WIDTH, case.pooling, include_prompt=case.include_prompt)
    width = pooling.get_embedding_dimension()
    torch.manual_seed(7)
    known = {
        "normalize": Normalize,
        "dense": lambda: Dense(width, width, activation_function=torch.nn.Tanh()),
        "layernorm": lambda: LayerNorm(width),
    }
    modules = [transformer, pooling, *(known[name]() for name in case.tail)]
    prompts = {"query": case.prompt, "document": ""}
    return SentenceTransformer(modules=modules, prompts=prompts, device="cpu").to(case.dtype).eval()


def one_by_one(model: SentenceTransformer, role: str, texts: Sequence[str]) -> torch.Tensor:
    """Vectors of texts by the model's own encode, each alone, so that no padding has a say."""
    encode = model.encode_query if role == "query" else model.encode_document
    return torch.stack([encode(text, convert_to_tensor=True).float() for text in texts])
