"""Training: the schedule at its corners, a student that approaches its teacher, resume, and errors."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from leaf_embed.distill import DistillConfig, TeacherCache
from leaf_embed.distill import train as training
from leaf_embed.distill.students.static import StaticStudent
from leaf_embed.distill.students.transformer import TransformerStudent
from leaf_embed.distill.train import TrainingRun, learning_rate, measure_alignment
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.errors import InputError, TrainingError
from tests.conftest import texts

CONFIG = DistillConfig.quick(max_steps=60, learning_rate=2e-3, precision="float32", batch_size=16)
KINDS = ("transformer", "static")


@pytest.fixture(scope="module")
def cache(teacher_path, tmp_path_factory):
    teacher = SentenceTransformerEncoder(teacher_path, precision="float32")
    found = TeacherCache(tmp_path_factory.mktemp("cache"), teacher.space)
    found.fill(texts(300), teacher)
    found.fill(StaticStudent(teacher_path, teacher.space).start_texts(), teacher)
    return found


def make(kind, teacher_path, cache):
    """A student and its texts, before any warm start of a transformer."""
    if kind == "static":
        student = StaticStudent(teacher_path, cache.space)
    else:
        student = TransformerStudent(teacher_path, cache.space, CONFIG, layers=2)
    learned, held_out = (student.tokenize(cache, np.arange(*span), 64) for span in ((260,), (260, 300)))
    if kind == "static":
        student.start(learned)
    return student, (learned, held_out)


@pytest.fixture
def made(teacher_path, cache):
    return make("transformer", teacher_path, cache)


@pytest.fixture
def student(made):
    return made[0]


@pytest.fixture
def data(made):
    return made[1]


def run(student, data, tmp_path, config=CONFIG, log=None, identity="a"):
    tmp_path.mkdir(exist_ok=True)
    return TrainingRun(student, config, identity).train(*data, tmp_path / "checkpoint.pt", log)


def test_learning_rate_at_the_corners_of_its_cycles():
    config = DistillConfig(cycles=3, warmup_steps=0)
    rates = [learning_rate(step, 300, config) for step in range(300)]
    for start in (0, 100, 200):
        assert rates[start] == pytest.approx(1e-4)
        assert rates[start + 99] == pytest.approx(1e-5)
    assert rates[50] == pytest.approx((rates[49] + rates[51]) / 2)


def test_warm_up_takes_a_tenth_of_a_short_run_at_most():
    config = DistillConfig(cycles=1, warmup_steps=100)
    rates = [learning_rate(step, 100, config) for step in range(100)]
    assert rates[0] < rates[5] < rates[10]
    assert max(rates) == rates[10]


def test_a_student_approaches_its_teacher(student, data, tmp_path):
    before = measure_alignment(student, data[1])
    assert run(student, data, tmp_path) == 60
    after = measure_alignment(student, data[1])
    assert after.cosine > before.cosine + 0.2
    assert after.loss < before.loss / 2


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_weights(teacher_path, cache, tmp_path, kind):
    states = []
    for attempt in range(2):
        student, data = make(kind, teacher_path, cache)
        run(student, data, tmp_path / str(attempt))
        states.append(student.model.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_run_ends_with_the_same_weights(teacher_path, cache, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    whole, data = make(kind, teacher_path, cache)
    run(whole, data, tmp_path / "whole", CONFIG)

    def stop(info):
        if info.step == 37:
            raise KeyboardInterrupt

    first, data = make(kind, teacher_path, cache)
    with pytest.raises(KeyboardInterrupt):
        run(first, data, tmp_path / "broken", CONFIG, log=stop)
    second, data = make(kind, teacher_path, cache)
    left = run(second, data, tmp_path / "broken", CONFIG)
    assert left == 60 - 36  # the checkpoint of step 36 was the last one written
    expected = whole.model.state_dict()
    assert all(torch.equal(expected[name], tensor) for name, tensor in second.model.state_dict().items())


def test_a_checkpoint_of_another_run_is_neither_taken_up_nor_lost(student, data, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    config = DistillConfig.quick(max_steps=5, precision="float32")
    run(student, data, tmp_path, config, identity="a")
    kept = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(TrainingError, match=r"of another run, at step 4: .*choose another --output, or delete"):
        run(student, data, tmp_path, config, identity="b")
    assert (tmp_path / "checkpoint.pt").read_bytes() == kept
    (tmp_path / "checkpoint.pt").unlink()
    assert run(student, data, tmp_path, config, identity="b") == 5


def test_a_damaged_checkpoint_is_named(student, data, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"half")
    with pytest.raises(TrainingError, match=r"checkpoint\.pt cannot be read"):
        run(student, data, tmp_path)


def test_a_loss_that_is_no_number_stops_the_run(student, data, tmp_path):
    with torch.no_grad():
        student.model[2].linear.weight.fill_(math.nan)
    with pytest.raises(TrainingError, match=r"nan at step 0, in the batch of 16 texts that begins with: [a-z]"):
        run(student, data, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_the_best_weights_are_kept(teacher_path, cache, tmp_path, kind):
    """With a rate that wrecks the student late in the run, the weights from before are returned."""
    student, data = make(kind, teacher_path, cache)
    losses = []
    original = measure_alignment

    def spy(*arguments):
        found = original(*arguments)
        losses.append(found.loss)
        return found

    options = {"learning_rate": 0.5, "final_learning_rate": 0.5, "precision": "float32"}
    patch = pytest.MonkeyPatch()
    patch.setattr(training, "measure_alignment", spy)
    run(student, data, tmp_path, DistillConfig.quick(max_steps=40, **options))
    patch.undo()
    assert original(student, data[1]).loss == pytest.approx(min(losses), rel=1e-4)


def test_bfloat16_learns_too(teacher_path, cache, data, tmp_path):
    student = TransformerStudent(teacher_path, cache.space, replace(CONFIG, precision="bfloat16"), layers=2)
    assert run(student, data, tmp_path) == 60
    assert measure_alignment(student, data[1]).cosine > 0.7


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 0},
        {"learning_rate": 0},
        {"max_steps": -1},
        {"holdout": 1.0},
        {"max_tokens": 2},
        {"mrl": "turn"},
        {"precision": "float8"},
    ],
)
def test_impossible_recipes(change):
    with pytest.raises(InputError, match=next(iter(change))):
        DistillConfig(**change)


def test_a_small_corpus_is_read_more_often():
    assert DistillConfig.static().steps(2_560) == 800
    assert DistillConfig.static().steps(256_000) == 3000
    assert DistillConfig.static(max_steps=5).steps(2_560) == 5


def test_steps_of_the_paper_recipe():
    assert DistillConfig.paper().steps(6_400) == 3 * 10 * 200
    assert DistillConfig.paper(max_steps=7).steps(6_400) == 7
    assert np.isclose(DistillConfig.paper().learning_rate, 1e-4)
