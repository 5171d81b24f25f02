"""The API teacher against a real HTTP server on loopback, well and badly behaved."""

import email.utils
import io
import logging
import time
import traceback
from datetime import datetime, timedelta, timezone

import pytest
from rich.console import Console
from rich.traceback import Traceback

from leaf_embed.distill import DistillConfig, TeacherCache, Text, distill
from leaf_embed.encoders import Metered
from leaf_embed.encoders.api import ApiEncoder, ApiOptions, api_batches, estimate_cost, estimate_tokens
from leaf_embed.errors import BudgetError, InputError, TeacherError, VectorError
from tests.conftest import sentences
from tests.encoders.api_server import serving, vector

KEY = "sk-secret-0123456789"
FAST = {"key_env": "LEAF_TEST_KEY", "timeout": 0.3, "max_wait": 0.2}


@pytest.fixture
def api(monkeypatch):
    monkeypatch.setenv("LEAF_TEST_KEY", KEY)
    with serving() as served:
        yield served


def make(api, *, script=(), options=None, **given):
    """An encoder whose space is known, and a server that has forgotten the canaries."""
    encoder = ApiEncoder(api.url, "embed-1", options=ApiOptions(**(FAST | (options or {}))), **given)
    assert encoder.space.teacher == "embed-1"
    for seen in (api.bodies, api.keys, api.times):
        seen.clear()
    api.script[:] = script
    return encoder


# --- what is asked, and what comes back ------------------------------------------------------------------------------


def test_vectors_prompts_and_the_request(api):
    encoder = make(api, query_prompt="q: ")
    assert encoder.encode_query("tree").tolist() == [7, 2, 1]
    assert encoder.encode_document(["tree", "a"]).tolist() == [[4, 2, 1], [1, 0, 1]]
    assert api.bodies[0] == {"model": "embed-1", "input": ["q: tree"], "encoding_format": "float"}
    assert api.keys == [f"Bearer {KEY}"] * 2
    assert (encoder.space.dim, encoder.space.unit_norm, encoder.space.query_prompt) == (3, False, "q: ")
    assert encoder.space.verify(encoder).passed
    assert isinstance(encoder, Metered)


def test_nothing_is_sent_before_it_is_needed(api):
    encoder = ApiEncoder(api.url, "embed-1")
    assert repr(encoder).startswith("ApiEncoder(")
    assert encoder.encode_document([]).shape == (0, 3)
    assert len(api.bodies) == 1, "the canaries, to know the size"


def test_dimensions(api):
    encoder = make(api, dimensions=5)
    assert encoder.encode_document("tree").shape == (5,)
    assert api.bodies[0]["dimensions"] == 5
    api.script[:] = ["wrong size"]
    with pytest.raises(VectorError, match="asked for 5 dimensions and returned 2"):
        encoder.encode_document("tree")


def test_no_key_is_sent_where_none_is_set(api, monkeypatch):
    monkeypatch.delenv("LEAF_TEST_KEY")
    make(api).encode_document("tree")
    assert api.keys == [None]


def test_batches_are_bounded_by_texts_and_by_tokens(api):
    encoder = make(api, options={"items": 3, "tokens": 20})
    words = ["a" * 8, "b" * 8, "c" * 8, "d" * 8, "e" * 40, "f" * 400, "g" * 4]
    assert encoder.encode_document(words).tolist() == [vector(word) for word in words]
    assert [len(body["input"]) for body in api.bodies] == [3, 2, 1, 1]
    assert list(encoder.call_sizes(words, "document")) == [3, 2, 1, 1]
    assert list(api_batches([], ApiOptions())) == []


def test_estimate():
    assert estimate_tokens(["", "abcd", "abcde", "日本"]) == 1 + 2 + 3 + 3


def test_rows_are_put_in_order_by_index(api):
    encoder = make(api, script=["shuffled"])
    assert encoder.encode_document(["a", "tree", "sea"]).tolist() == [[1, 0, 1], [4, 2, 1], [3, 1, 1]]


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mood", "error", "message"),
    [
        ("one less", TeacherError, "answered 2 texts with 1 vectors"),
        ("twice the first", TeacherError, r"indices \[0\].*expected one each"),
        ("no index", TeacherError, "something else than embeddings"),
        ("wrong size", VectorError, "2 dimensions; expected 3"),
        ("unequal size", VectorError, "unequal size"),
        ("nan", VectorError, "NaN or infinity for 'tree'"),
        ((200, {}, "<html>"), TeacherError, "something else than embeddings"),
        ((200, {}, []), TeacherError, "something else than embeddings"),
        ((302, {"Location": "http://elsewhere"}, {}), TeacherError, "refused the texts, status 302"),
        ((400, {}, {"error": {"message": "too long"}}), TeacherError, "status 400: too long"),
        ((404, {}, "not here"), TeacherError, "status 404: not here"),
        ((401, {}, {}), TeacherError, r"refused access \(401\); \$LEAF_TEST_KEY is set"),
        ((429, {}, {"error": {"code": "insufficient_quota", "message": "pay"}}), TeacherError, "status 429: pay"),
        ((429, {"Retry-After": "3600"}, {}), TeacherError, "asks to wait 3600 s"),
    ],
)
def test_a_bad_answer_is_refused_at_once(api, mood, error, message):
    encoder = make(api, script=[mood])
    with pytest.raises(error, match=message):
        encoder.encode_document(["a", "tree"])
    assert len(api.bodies) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"base_url": "api.openai.com"}, "address must be like"),
        ({"base_url": f"https://user:{KEY}@host/v1"}, "holds a user, a password"),
        ({"base_url": f"https://host/v1?key={KEY}"}, "holds a user, a password"),
        ({"model": ""}, "which model"),
        ({"dimensions": 0}, "at least 1"),
        ({"budget": 0}, "at least 1"),
    ],
)
def test_bad_values(given, message):
    with pytest.raises(InputError, match=message) as error:
        ApiEncoder(**({"base_url": "https://host/v1", "model": "m"} | given))
    assert KEY not in str(error.value)


@pytest.mark.parametrize("options", [{"timeout": 0}, {"attempts": 0}, {"items": -1}, {"key_env": KEY}])
def test_bad_options(options):
    with pytest.raises(InputError) as error:
        ApiOptions(**options)
    if "key_env" in options:
        assert KEY not in str(error.value), "a key given for its name"


# --- texts that are too long ----------------------------------------------------------------------------------------


def test_texts_are_cut_to_what_the_model_reads(api):
    encoder = make(api, max_tokens=11, document_prompt="d: ")
    assert encoder.encode_document(["tree " * 40, "short"]).tolist() == [[40, 14, 1], [8, 0, 1]]
    assert api.bodies[0]["input"] == ["d: " + ("tree " * 40)[:37], "d: short"]
    assert list(encoder.call_sizes(["e" * 400_000] * 3, "document")) == [3], "sizes are those of what is sent"


def test_a_text_that_is_refused_is_found_and_halved(api, monkeypatch):
    """A model that reads 11 tokens, of a script with two bytes per token: the estimate of four is too high."""
    well = api.answer

    def strict(body, mood):
        if any(len(text.encode()) > 22 for text in body["input"]):
            return 400, {}, {"error": {"message": "too long"}}
        return well(body, mood)

    encoder = make(api, max_tokens=11)
    monkeypatch.setattr(api, "answer", strict)
    words = ["tree", "\u03b1" * 100, "sea", "ice"]
    assert encoder.encode_document(words)[:, 0].tolist() == [4, 8, 3, 3]
    monkeypatch.setattr(api, "answer", lambda body, mood: (413, {}, "no"))
    with pytest.raises(TeacherError, match=r"status 413.* The text is 'tree"):
        encoder.encode_document(["tree " * 90, "sea"])


@pytest.mark.parametrize("texts", [None, "one text", b"bytes", [1], ["a", None]])
def test_bad_texts_for_an_estimate(texts):
    with pytest.raises(InputError, match="expected"):
        estimate_tokens(texts)
    with pytest.raises(InputError, match="expected"):
        estimate_cost(texts)


def test_a_cost_is_estimated_of_anything_that_is_a_text():
    assert estimate_cost([Text("\ud83d"), Text("abcd"), Text("abcd")]).texts == 2
    for bad in ({"max_tokens": "8"}, {"max_tokens": 0}, {"query_prompt": None}):
        with pytest.raises(InputError):
            estimate_cost([Text("a")], **bad)


# --- what is tried again ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [
        ["hang up"],
        ["stall"],
        ["cut off"],
        [(500, {}, "oops"), (503, {}, {}), (429, {}, {})],
        [(429, {"Retry-After": "0.15"}, {})],
        [(529, {"Retry-After": "soon"}, {})],
    ],
)
def test_what_passes_is_tried_again(api, script):
    encoder = make(api, script=script)
    assert encoder.encode_document(["tree"]).tolist() == [[4, 2, 1]]
    assert len(api.bodies) == len(script) + 1
    if script[0] == (429, {"Retry-After": "0.15"}, {}):
        assert api.times[1] - api.times[0] >= 0.15


def test_retry_after_as_a_date(api):
    soon = datetime.now(timezone.utc) + timedelta(seconds=2)
    encoder = make(api, script=[(429, {"Retry-After": email.utils.format_datetime(soon, usegmt=True)}, {})])
    encoder = ApiEncoder(api.url, "embed-1", options=ApiOptions(**(FAST | {"max_wait": 3.0})))
    encoder.encode_document("tree")
    assert time.time() >= soon.timestamp() - 1, "a date has whole seconds"
    assert api.times[1] - api.times[0] > 0.5


def test_it_gives_up_after_so_many_attempts(api):
    encoder = make(api, script=[(500, {}, {"error": {"message": f"bad {KEY} luck"}})] * 9, options={"attempts": 3})
    with pytest.raises(TeacherError, match=r"failed 3 times, at last: status 500: bad \*\*\* luck.*goes on where"):
        encoder.encode_document("tree")
    assert len(api.bodies) == 3


def test_no_server_is_there():
    encoder = ApiEncoder("http://127.0.0.1:9", "m", options=ApiOptions(**(FAST | {"attempts": 2})))
    with pytest.raises(TeacherError, match="failed 2 times, at last: ConnectError"):
        encoder.encode_document("tree")
    assert encoder.spent == 0


# --- the key ---------------------------------------------------------------------------------------------------------


def every_word_of(error):
    """What a traceback can show of an error, variables included."""
    page = io.StringIO()
    trace = Traceback.from_exception(type(error), error, error.__traceback__, show_locals=True, locals_max_length=None)
    Console(file=page, width=200).print(trace)
    return page.getvalue() + "".join(traceback.format_exception(error)) + repr(error)


@pytest.mark.parametrize(
    "mood", [(401, {}, {"error": {"message": f"bad key {KEY}"}}), (400, {}, KEY), (500, {}, KEY), "hang up", "stall"]
)
def test_the_key_is_never_shown(api, mood, caplog):
    caplog.set_level(logging.DEBUG)
    encoder = make(api, script=[mood] * 2, options={"attempts": 2})
    with pytest.raises(TeacherError) as caught:
        encoder.encode_document("tree")
    assert api.keys[0] == f"Bearer {KEY}"
    shown = every_word_of(caught.value) + caplog.text + repr(encoder) + repr(vars(encoder)) + repr(encoder.space)
    assert KEY not in shown.replace(repr(api.script), "").replace(repr(mood), "")


def test_a_key_with_a_line_break_inside_is_not_quoted(api, monkeypatch):
    monkeypatch.setenv("LEAF_TEST_KEY", f"{KEY}\n{KEY}")
    with pytest.raises(InputError, match=r"\$LEAF_TEST_KEY holds what cannot be a key") as caught:
        ApiEncoder(api.url, "m", options=ApiOptions(**FAST)).encode_document("tree")
    assert KEY not in "".join(traceback.format_exception(caught.value))
    monkeypatch.setenv("LEAF_TEST_KEY", f"{KEY}\n")
    ApiEncoder(api.url, "m", options=ApiOptions(**FAST)).encode_document("tree")
    assert api.keys[-1] == f"Bearer {KEY}"


# --- what it costs ---------------------------------------------------------------------------------------------------


def test_spending_is_what_the_server_counts_and_an_estimate_where_it_does_not(api):
    encoder = make(api)
    spent = encoder.spent
    assert spent == 8 * 5
    encoder.encode_document(["a", "b"])
    assert encoder.spent == spent + 10
    api.script[:] = ["no usage"]
    encoder.encode_document(["abcd" * 100])
    assert encoder.spent > spent + 10
    lost = encoder.spent
    api.script[:] = ["stall"]
    encoder.encode_document("a")
    assert encoder.spent > lost + 5, "an answer that was lost may have been billed"


def test_the_budget_stops_before_it_is_exceeded_and_what_is_cached_stays(api, tmp_path):
    words = [Text(text) for text in sentences(40)]
    encoder = make(api, options={"items": 4})
    encoder.budget = encoder.spent + 80
    cache = TeacherCache(tmp_path, encoder.space)
    with pytest.raises(BudgetError, match=r"the next 4 texts cost about .* tokens.*goes on where this one stopped"):
        cache.fill(words, encoder)
    paid = len(api.texts)
    assert 4 <= paid == len(cache) < 40
    assert encoder.spent <= encoder.budget
    encoder.budget = None
    TeacherCache(tmp_path, encoder.space).fill(words, encoder)
    assert sorted(api.texts) == sorted(text.text for text in words), "nothing was paid for twice"


def test_after_a_failure_nothing_is_paid_twice(api, tmp_path):
    words = [Text(text, "query" if i % 3 else "document") for i, text in enumerate(sentences(40))]
    encoder = make(api, script=["well"] * 5 + [(400, {}, "no")], options={"items": 4})
    cache = TeacherCache(tmp_path, encoder.space)
    with pytest.raises(TeacherError):
        cache.fill(words, encoder)
    assert len(cache) == 18
    rows = TeacherCache(tmp_path, encoder.space).fill(words, encoder)
    assert len(api.texts) == 44, "40, and the 4 that were refused"
    found = TeacherCache(tmp_path, encoder.space)
    assert found.vectors(rows).tolist() == [vector(text.text) for text in found.texts(rows)]


def test_a_leaf_from_an_api(api, teacher_path, tmp_path):
    encoder = make(api, dimensions=8)
    config = DistillConfig.quick(max_steps=5, precision="float32", holdout=0)
    corpus = [Text(text) for text in sentences(40)]
    distill(encoder, corpus, teacher_path, tmp_path / "leaf", config, layers=1, export_graphs=False)
    assert len(api.texts) == 40, "the canaries were asked for before"
    written = "".join(f.read_text(errors="ignore") for f in tmp_path.rglob("*") if f.is_file())
    assert "embed-1" in written
    assert KEY not in written
