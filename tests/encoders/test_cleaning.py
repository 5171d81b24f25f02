"""One cleaning of texts at every door of every encoder: half a surrogate pair and NUL do no harm anywhere."""

import numpy as np
import pytest

from leaf_embed import load
from leaf_embed.encoders.api import ApiEncoder
from leaf_embed.encoders.base import Counting
from leaf_embed.errors import InputError
from leaf_embed.texts import clean
from tests.encoders.test_travel import MAKERS

PAIRS = [("red \ud83d stone", "red \ufffd stone"), ("\udc00", "\ufffd"), ("a\0b", "a\ufffdb"), ("ok \U0001f600", None)]


@pytest.mark.parametrize(("text", "expected"), PAIRS)
def test_cleaning(text, expected):
    assert clean(text) == (expected or text)
    clean(text).encode()


def test_a_pair_of_surrogates_is_the_character_that_it_stands_for():
    assert clean("\ud83d\ude00") == "\U0001f600"


@pytest.mark.parametrize("name", MAKERS)
def test_every_door_takes_half_a_pair(name, leaf_path, teacher_path, tmp_path):
    encoder = MAKERS[name](leaf_path, teacher_path, tmp_path)
    dirty, tidy = [pair[0] for pair in PAIRS], [clean(pair[0]) for pair in PAIRS]
    doors = [encoder.encode_query, lambda texts: encoder.encode(texts, "query")]
    if name != "leaf" and getattr(encoder, "can_encode_documents", True):
        doors.append(encoder.encode_document)
    for door in doors:
        np.testing.assert_allclose(door(dirty), door(tidy), atol=1e-6)
        np.testing.assert_allclose(door(dirty[0]), door(tidy[0]), atol=1e-6)
    if isinstance(encoder, Counting):
        for role in ("query", "document"):
            assert encoder.count_tokens(dirty, role) == encoder.count_tokens(tidy, role)
            assert encoder.count_tokens([], role) == []
        with pytest.raises(InputError, match="item 0 is of type int"):
            encoder.count_tokens([3], "query")
        with pytest.raises(InputError, match="'query' or 'document'"):
            encoder.count_tokens(["a"], "passage")


def test_calibration_and_the_requests_of_an_api_take_half_a_pair(leaf_path):
    encoder = load(leaf_path).query_encoder
    np.testing.assert_array_equal(
        encoder.feed("\ud83d", "query")["input_ids"], encoder.feed("\ufffd", "query")["input_ids"]
    )
    assert list(ApiEncoder("http://127.0.0.1:9/v1", "m").call_sizes(["\ud83d", "a\0b"], "query")) == [2]
