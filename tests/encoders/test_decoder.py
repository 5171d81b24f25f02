"""A decoder-only teacher: left padding, the last token's vector, an instruction before each query.

The reference is SentenceTransformer's own encode_query and encode_document.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

import leaf_embed
from leaf_embed.distill import DistillConfig, distill
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from tests.conftest import WORDS, sentences, texts

INSTRUCTION = "Instruct: what is the river of the stone\nQuery: "
KINDS = {"qwen3": (Qwen3Config, Qwen3Model, {"head_dim": 8}), "llama": (LlamaConfig, LlamaModel, {})}


def make_decoder(path: Path, kind: str) -> Path:
    """A random causal model in the shape of Qwen3-Embedding: <end> is added and pooled."""
    specials = ["<pad>", "<unk>", "<end>", "Instruct", "Query", ":"]
    vocabulary = {word: i for i, word in enumerate([*specials, *dict.fromkeys(WORDS)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <end>", pair="$A $B <end>", special_tokens=[("<end>", 2)]
    )
    make_config, make_body, extra = KINDS[kind]
    torch.manual_seed(3)
    config = make_config(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        initializer_range=0.1,  # larger: what the last token says is chaos that no student learns in seconds
        pad_token_id=0,
        eos_token_id=2,
        **extra,
    )
    plain = path.with_name(path.name + "-backbone")
    make_body(config).save_pretrained(plain)
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "<end>"}
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=64, padding_side="left", **names
    ).save_pretrained(plain)
    modules = [Transformer(str(plain)), Pooling(32, "lasttoken"), Normalize()]
    prompts = {"query": INSTRUCTION, "document": ""}
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save_pretrained(
        str(path), create_model_card=False
    )
    return path


@pytest.fixture(scope="module", params=sorted(KINDS))
def decoder(request, tmp_path_factory):
    return make_decoder(tmp_path_factory.mktemp("decoder") / request.param, request.param)


@pytest.fixture(scope="module")
def plain(decoder):
    return SentenceTransformer(str(decoder), device="cpu")


def test_the_reference_is_what_it_should_be(plain):
    assert plain.tokenizer.padding_side == "left"
    alone = plain.encode(["red stone"])
    together = plain.encode(["red stone", "the river of cold water and the moon"])[:1]
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_queries_with_their_instruction(decoder, plain):
    words = sentences(60, seed=4)
    encoder = SentenceTransformerEncoder(decoder, precision="float32", batch_tokens=256)
    assert encoder.space.query_prompt == INSTRUCTION
    np.testing.assert_allclose(encoder.encode_query(words), plain.encode_query(words), atol=1e-5)
    np.testing.assert_allclose(encoder.encode_document(words), plain.encode_document(words), atol=1e-5)
    difference = np.abs(plain.encode_query(words) - plain.encode_document(words)).max(axis=1)
    assert difference.min() > 1e-2, "the instruction matters"


@pytest.mark.parametrize("tokens", [64, 50])
def test_long_texts_keep_the_last_token_that_is_pooled(decoder, tokens):
    long = " ".join(sentences(20))
    model = SentenceTransformer(str(decoder), device="cpu")
    model.max_seq_length = tokens
    encoder = SentenceTransformerEncoder(decoder, precision="float32", max_tokens=tokens)
    np.testing.assert_allclose(encoder.encode_query([long, "a"]), model.encode_query([long, "a"]), atol=1e-5)
    assert encoder.space.max_tokens == tokens


def test_bfloat16_is_close(decoder, plain):
    words = sentences(40, seed=6)
    found = SentenceTransformerEncoder(decoder, precision="bfloat16").encode_query(words)
    assert (found * plain.encode_query(words)).sum(axis=1).min() > 0.99


def test_another_instruction_is_another_space(decoder, plain):
    encoder = SentenceTransformerEncoder(decoder, query_prompt="Instruct: who\nQuery: ", precision="float32")
    assert encoder.space.fingerprint != SentenceTransformerEncoder(decoder).space.fingerprint
    expected = plain.encode(["red stone"], prompt="Instruct: who\nQuery: ")
    np.testing.assert_allclose(encoder.encode_query(["red stone"]), expected, atol=1e-5)


def test_a_leaf_of_a_decoder(decoder, plain, teacher_path, tmp_path):
    """An encoder-only student learns the decoder's space, instruction included, and runs without torch."""
    config = DistillConfig.quick(max_steps=400, learning_rate=2e-3, precision="float32", holdout=0.1)
    report = distill(decoder, texts(1500), teacher_path, tmp_path / "leaf", config, layers=2)
    assert report.final.cosine > max(0.7, report.warm_start.cosine + 0.05)
    leaf = leaf_embed.load(tmp_path / "leaf", document="teacher")
    assert leaf.space.query_prompt == INSTRUCTION
    new = sentences(60, seed=8)
    expected = plain.encode_query(new)
    right = (leaf.encode_query(new) * expected).sum(axis=1).mean()
    wrong = (leaf.query_encoder.encode_document(new) * expected).sum(axis=1).mean()
    assert right > 0.75
    assert right > wrong + 0.2, "the instruction reached the leaf"
    np.testing.assert_allclose(leaf.encode_document(new), plain.encode_document(new), atol=0.05)
