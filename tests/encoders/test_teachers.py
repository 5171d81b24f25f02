"""What SentenceTransformer encodes must teach here, with the same vectors: architectures x limits x dtypes x ..."""

import copy
import itertools

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize, Router, Transformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers

from leaf_embed import vectors
from leaf_embed.encoders.transformer import Loading, SentenceTransformerEncoder
from leaf_embed.errors import InputError, TeacherError
from tests.conftest import make_model, sentences
from tests.encoders.teachers import ARCHITECTURES, POSITIONS, VOCABULARY, Case, build, build_backbone, one_by_one

HALF, BRAIN = torch.float16, torch.bfloat16
ASK = "who is "
SHORT = [*sentences(12, seed=1), "a", ""]
LONG = [" ".join(sentences(20, seed=2)), "river " * 300]
LEFT = {"padding_side": "left"}
NO_PAD = {"pad_token": None}
CASES = [  # every architecture, and every pair of a limit, a dtype, a pooling, a tail and a tokenizer about once
    Case("bert", limit=33, prompt=ASK),
    Case("bert", "cls", limit=1000, tail=("dense", "normalize")),
    Case("bert", "max", limit=10, dtype=HALF, tail=()),
    Case("bert", ("cls", "mean", "max"), tokenizer=LEFT, tail=("layernorm",)),
    Case("bert", "weightedmean", dtype=BRAIN, tail=("dense",), tokenizer=NO_PAD),
    Case("roberta", limit=POSITIONS + 2, tail=()),
    Case("roberta", "cls", dtype=HALF, prompt=ASK, include_prompt=False),
    Case("roberta", "mean_sqrt_len_tokens", limit=17, tokenizer=LEFT),
    Case("roberta", "lasttoken", tokenizer=LEFT | NO_PAD, tail=("dense",)),
    Case("xlm-roberta", prompt=ASK, tail=("dense", "layernorm")),
    Case("xlm-roberta", ("mean", "lasttoken"), limit=POSITIONS + 1, dtype=BRAIN),
    Case("camembert", "max", limit=7),
    Case("mpnet", limit=POSITIONS + 2, prompt=ASK, include_prompt=False),
    Case("mpnet", "cls", dtype=HALF, tail=()),
    Case("distilbert", limit=20, dtype=BRAIN, prompt=ASK, include_prompt=False),
    Case("distilbert", "weightedmean", tail=("dense",)),
    Case("albert", "cls", limit=49, dtype=HALF),
    Case("electra", ("max", "mean"), limit=31),
    Case("modernbert", limit=45, prompt=ASK),
    Case("modernbert", "cls", dtype=BRAIN, tail=()),
    Case("deberta-v2", limit=37, tail=("dense", "normalize")),
    Case("t5", tail=("dense", "normalize"), prompt=ASK),
    Case("t5", "lasttoken", limit=75, dtype=BRAIN),
    Case("gpt2", "lasttoken", tokenizer=NO_PAD),
    Case("gpt2", "weightedmean", limit=40, tokenizer=LEFT | {"specials": False}, prompt=ASK),
    Case("gpt2", "lasttoken", limit=1000, dtype=HALF, tokenizer=LEFT),
    Case("qwen3", "lasttoken", tokenizer=LEFT, prompt=ASK),
    Case("qwen3", "mean", limit=21, dtype=BRAIN, tokenizer=NO_PAD, tail=()),
    Case("opt", "lasttoken", limit=50, tokenizer=LEFT),
]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """The directory of a backbone of an architecture, built once."""
    built = {}

    def path_of(architecture):
        if architecture not in built:
            built[architecture] = build_backbone(architecture, tmp_path_factory.mktemp(architecture))
        return built[architecture]

    return path_of


def test_the_matrix_has_every_architecture():
    assert {case.architecture for case in CASES} == set(ARCHITECTURES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_same_vectors_as_sentence_transformers(case, backbone):
    model = build(case, backbone(case.architecture))
    positions = None if case.architecture == "t5" else POSITIONS
    limit = min((n for n in (case.limit, positions) if n is not None), default=None)
    texts = SHORT if case.tokenizer.get("specials", True) else SHORT[:-1]  # nothing at all cannot be encoded
    reference = copy.deepcopy(model)
    if reference.tokenizer.pad_token is None:  # sentence-transformers refuses; any token will do, since it is masked
        reference.tokenizer.pad_token = "</s>"
    if limit is not None:  # where the table of positions ends, sentence-transformers itself fails
        reference.max_seq_length = limit
    encoder = SentenceTransformerEncoder(
        model, batch_tokens=200, precision="auto" if case.dtype == BRAIN else "float32"
    )
    assert encoder.space.max_tokens == limit
    assert encoder.space.query_prompt == case.prompt
    for role, encode in (("query", encoder.encode_query), ("document", encoder.encode_document)):
        cosines = vectors.cosine(encode([*texts, *LONG]), one_by_one(reference, role, [*texts, *LONG]).numpy())
        floor = 0.999 if case.dtype == BRAIN else 0.9999  # two batches of bfloat16 differ by its rounding alone
        assert cosines.min() > floor
    counted = encoder.count_tokens(LONG, "document")
    assert counted == [limit] * 2 if limit is not None else counted[1] == 302


def test_weights_saved_in_half_precision_teach_from_their_directory(tmp_path):
    path = make_model(tmp_path / "teacher", layers=2)
    SentenceTransformer(str(path), device="cpu").half().save_pretrained(str(tmp_path / "half"), create_model_card=False)
    reference = SentenceTransformer(str(tmp_path / "half"), device="cpu")
    assert reference.dtype == HALF
    texts = sentences(20, seed=3)
    found = SentenceTransformerEncoder(tmp_path / "half").encode_document(texts)
    assert vectors.cosine(found, one_by_one(reference, "document", texts).numpy()).min() > 0.99, "bfloat16 units"
    exact = SentenceTransformerEncoder(tmp_path / "half", precision="float32")
    assert exact.model.dtype == torch.float32
    assert vectors.cosine(exact.encode_document(texts), one_by_one(reference, "document", texts).numpy()).min() > 0.9999
    other = SentenceTransformerEncoder(path, precision="bfloat16", loading=Loading(dtype="bfloat16"))
    assert other.model.dtype == BRAIN


@pytest.mark.parametrize(
    ("weights", "native", "kept", "autocast"),
    [
        (torch.float32, True, torch.float32, True),
        (torch.float32, False, torch.float32, False),
        (BRAIN, False, torch.float32, False),
        (BRAIN, True, BRAIN, False),
        (HALF, False, HALF, False),
    ],
)
def test_precision_of_a_gpu_is_never_emulated(teacher_path, monkeypatch, weights, native, kept, autocast):
    from leaf_embed.encoders import precision

    asked = []
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: asked.append(including_emulation) or native
    )
    model = SentenceTransformer(str(teacher_path), device="cpu").to(weights)
    monkeypatch.setattr(type(model), "device", torch.device("cuda"))
    settled, runs_in_bfloat16 = precision.settle_precision(model, "auto", owned=False)
    assert (settled.dtype, runs_in_bfloat16) == (kept, autocast)
    assert model.dtype == weights, "a model in memory is not changed"
    assert not any(asked)


def test_a_model_in_memory_is_not_changed(teacher_path):
    model = SentenceTransformer(str(teacher_path), device="cpu")
    model.tokenizer.pad_token, before = None, model.max_seq_length
    encoder = SentenceTransformerEncoder(model, max_tokens=20, precision="float32")
    assert encoder.space.max_tokens == 20
    assert (model.max_seq_length, model.tokenizer.pad_token) == (before, None)
    assert next(model.parameters()) is next(encoder.model.parameters()), "the weights are shared"


def test_texts_that_a_module_would_put_side_by_side_are_padded(teacher_path):
    """With flash attention sentence-transformers concatenates the texts of a batch; here they are sorted instead."""
    model, texts = SentenceTransformer(str(teacher_path), device="cpu"), sentences(30, seed=11)
    expected = model.encode(texts)
    model[0].can_flatten_inputs, model[0].data_collator = True, None
    np.testing.assert_allclose(
        SentenceTransformerEncoder(model, precision="float32").encode_document(texts), expected, atol=1e-5
    )
    assert model[0].can_flatten_inputs, "a model in memory is not changed"


def test_tokens_that_were_added_without_embeddings(teacher_path):
    model = SentenceTransformer(str(teacher_path), device="cpu")
    texts = sentences(20, seed=4)
    expected = one_by_one(model, "document", texts).numpy()
    model.tokenizer.add_special_tokens({"pad_token": "<new pad>", "additional_special_tokens": ["<extra>"]})
    encoder = SentenceTransformerEncoder(model, precision="float32")
    np.testing.assert_allclose(encoder.encode_document(texts), expected, atol=1e-5)
    with pytest.raises(InputError, match="'<extra>' as token"):
        encoder.encode_document(["red stone", "red <extra> stone"])


def test_truncate_dim_of_a_teacher(teacher_path):
    model = SentenceTransformer(str(teacher_path), device="cpu", truncate_dim=8)
    encoder = SentenceTransformerEncoder(model, precision="float32")
    texts = sentences(10, seed=5)
    assert (encoder.space.dim, encoder.space.unit_norm) == (8, True)
    expected = model.encode(texts, normalize_embeddings=True)
    np.testing.assert_allclose(encoder.encode_document(texts), expected, atol=1e-5)


def router(query, document, **options):
    """A model with a route of its own for each role, which share a last module."""
    routes = Router.for_query_document(query_modules=query, document_modules=document)
    return SentenceTransformer(modules=[routes, Normalize()], device="cpu", **options).eval()


@pytest.fixture(scope="module")
def aligned_pair(tmp_path_factory):
    """A Router whose routes have other weights, tokenizers, limits and prompts."""
    query = make_model(tmp_path_factory.mktemp("query") / "model", layers=1, seed=3, positions=40)
    document = build(Case("roberta"), build_backbone("roberta", tmp_path_factory.mktemp("document")))
    small = SentenceTransformer(str(query), device="cpu")
    return router([small[0], small[1]], [document[0], document[1]], prompts={"query": ASK, "document": "the "})


@pytest.mark.parametrize("from_directory", [False, True])
def test_a_router_teaches_each_role_by_its_route(aligned_pair, tmp_path, from_directory):
    source = aligned_pair
    if from_directory:
        aligned_pair.save_pretrained(str(tmp_path / "pair"), create_model_card=False)
        source = tmp_path / "pair"
    encoder = SentenceTransformerEncoder(source, precision="float32", batch_tokens=128)
    texts = [*SHORT, *LONG]
    reference = copy.deepcopy(aligned_pair)
    for route in reference[0].sub_modules.values():
        route[0].max_seq_length = min(route[0].max_seq_length, POSITIONS)
    for role, encode in (("query", encoder.encode_query), ("document", encoder.encode_document)):
        found, expected = encode(texts), one_by_one(reference, role, texts).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert vectors.cosine(encoder.encode_query(texts), encoder.encode_document(texts)).max() < 0.9, "two models"
    assert (encoder.space.query_prompt, encoder.space.document_prompt) == (ASK, "the ")
    assert encoder.space.max_tokens == POSITIONS
    assert encoder.count_tokens(LONG, "query") == [40, 40]
    assert encoder.count_tokens(LONG, "document") == [POSITIONS] * 2


def static(seed=0, width=32):
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(seed)
    return StaticEmbedding(tokenizer, embedding_dim=width)


def test_static_queries_beside_a_transformer(teacher_path):
    """The pair that a static leaf and its teacher make."""
    teacher = SentenceTransformer(str(teacher_path), device="cpu")
    model = router([static()], [teacher[0], teacher[1]])
    encoder = SentenceTransformerEncoder(model, precision="float32")
    texts = [*sentences(20, seed=6), *LONG]
    np.testing.assert_allclose(encoder.encode_query(texts), model.encode_query(texts), atol=1e-5)
    np.testing.assert_allclose(encoder.encode_document(texts), model.encode_document(texts), atol=1e-5)
    assert encoder.count_tokens(["red green", ""], "query") == [2, 0]


def test_routes_of_different_sizes_and_without_queries_are_refused(teacher_path):
    teacher = SentenceTransformer(str(teacher_path), device="cpu")
    with pytest.raises(InputError, match="different dimensions: 8 for a query and 32 for a document"):
        SentenceTransformerEncoder(router([static(width=8)], [teacher[0], teacher[1]]))
    nameless = SentenceTransformer(modules=[Router({"a": [static()], "b": [static(1)]})], device="cpu")
    with pytest.raises(InputError, match="no route for a query"):
        SentenceTransformerEncoder(nameless)


@pytest.mark.parametrize(
    ("prompts", "default", "query", "document"),
    [
        ({"query": "q: ", "passage": "p: "}, None, "q: ", ""),
        ({"query": "q: ", "document": "d: ", "passage": "p: "}, None, "q: ", "d: "),
        ({"other": "o: "}, "other", "", ""),
    ],
)
def test_prompts_are_chosen_as_sentence_transformers_does(teacher_path, prompts, default, query, document):
    model = SentenceTransformer(str(teacher_path), device="cpu", prompts=prompts, default_prompt_name=default)
    encoder = SentenceTransformerEncoder(model, precision="float32")
    assert (encoder.space.query_prompt, encoder.space.document_prompt) == (query, document)
    np.testing.assert_allclose(encoder.encode_query(["red"]), model.encode_query(["red"]), atol=1e-5)
    np.testing.assert_allclose(encoder.encode_document(["red"]), model.encode_document(["red"]), atol=1e-5)


def test_the_text_side_of_clip(tmp_path):
    import transformers

    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    ids = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1, "vocab_size": len(VOCABULARY)}
    vision = {**text, "image_size": 8, "patch_size": 4}
    both = transformers.CLIPConfig(
        text_config={**text, **ids, "max_position_embeddings": 24}, vision_config=vision, projection_dim=16
    )
    torch.manual_seed(0)
    transformers.CLIPModel(both).save_pretrained(tmp_path)
    from tests.encoders.teachers import save_tokenizer

    save_tokenizer(tmp_path, {})
    size = {"size": {"shortest_edge": 8}, "crop_size": {"height": 8, "width": 8}}
    transformers.CLIPImageProcessor(**size).save_pretrained(tmp_path)
    model = SentenceTransformer(modules=[Transformer(str(tmp_path))], device="cpu").eval()
    reference = copy.deepcopy(model)
    reference.max_seq_length = 24
    encoder = SentenceTransformerEncoder(model, precision="float32")
    assert (encoder.space.dim, encoder.space.max_tokens) == (16, 24)
    expected = one_by_one(reference, "document", [*SHORT, *LONG]).numpy()
    assert vectors.cosine(encoder.encode_document([*SHORT, *LONG]), expected).min() > 0.9999


class NoMask(torch.nn.Module):
    """A first module whose vectors depend on padding: the mean over all positions, as of models without a mask."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table = torch.nn.Embedding(300, 16)

    def tokenize(self, texts):
        rows = [[ord(c) % 299 + 1 for c in text] or [0] for text in texts]
        longest = max(map(len, rows))
        return {"input_ids": torch.tensor([row + [0] * (longest - len(row)) for row in rows])}

    def forward(self, features):
        return features | {"sentence_embedding": self.table(features["input_ids"]).mean(dim=1)}

    def get_embedding_dimension(self):
        return 16


def test_where_padding_changes_vectors_texts_are_encoded_alone():
    model = SentenceTransformer(modules=[NoMask()], device="cpu")
    texts = sentences(20, seed=8)
    expected = one_by_one(model, "document", texts).numpy()
    np.testing.assert_allclose(SentenceTransformerEncoder(model).encode_document(texts), expected, atol=1e-5)
    assert np.abs(model.encode(texts) - expected).max() > 0.1, "a batch of sentence-transformers differs"


def test_a_model_that_fails_raises_our_error(teacher_path):
    class Fails(torch.nn.Module):
        def forward(self, features):
            raise IndexError("index out of range in self")

    plain = SentenceTransformer(str(teacher_path), device="cpu")
    with pytest.raises(TeacherError, match="IndexError: index out of range"):
        SentenceTransformerEncoder(SentenceTransformer(modules=[*plain, Fails()], device="cpu"))


def test_each_text_is_tokenized_once_and_ahead(teacher_path, monkeypatch):
    import threading

    encoder = SentenceTransformerEncoder(teacher_path, precision="float32")
    seen, threads, preprocess = [], set(), encoder.model.preprocess

    def watched(texts, **options):
        seen.extend(texts)
        threads.add(threading.current_thread().name)
        return preprocess(texts, **options)

    monkeypatch.setattr(encoder.model, "preprocess", watched)
    texts = sentences(1200, seed=9)
    found = encoder.encode_document(texts)
    assert sorted(seen) == sorted(texts)
    assert threads != {"MainThread"}
    np.testing.assert_allclose(found[::100], encoder.model.encode(texts[::100]), atol=1e-5)


def test_two_threads_share_an_encoder(teacher_path):
    from concurrent.futures import ThreadPoolExecutor

    encoder = SentenceTransformerEncoder(teacher_path, precision="float32")
    texts = sentences(300, seed=10)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(encoder.encode_document, itertools.repeat(texts, 8)))
    for one in found[1:]:
        np.testing.assert_allclose(one, found[0], atol=1e-6)


def test_a_very_long_text_is_cut_on_the_side_that_the_tokenizer_cuts(teacher_path):
    model = SentenceTransformer(str(teacher_path), device="cpu")
    model.tokenizer.truncation_side = "left"
    text = "red " * 20_000 + "cold river " * 60
    found = SentenceTransformerEncoder(model, precision="float32").encode_document(text)
    np.testing.assert_allclose(found, model.encode(text), atol=1e-5)


def test_options_of_loading_reach_the_model(teacher_path):
    encoder = SentenceTransformerEncoder(teacher_path, loading=Loading(attention="eager", dtype="bfloat16"))
    assert encoder.model[0].auto_model.config._attn_implementation == "eager"
    assert encoder.model.dtype == BRAIN
    with pytest.raises(InputError, match="has no option colour"):
        SentenceTransformerEncoder(teacher_path, loading=Loading(options={"colour": 1}))
    with pytest.raises(InputError, match="device cannot be among"):
        Loading(options={"device": "cpu"})
    with pytest.raises(InputError, match="unknown dtype 'int3'"):
        Loading(dtype="int3")
