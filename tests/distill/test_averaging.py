"""Averages of weights: what they are worth by arithmetic, and the model as it was afterwards."""

import pytest
import torch

from leaf_embed.distill.averaging import DECAY, WeightAverage


@pytest.fixture
def model():
    return torch.nn.Linear(2, 1, bias=False)


def see(average, model, values, when):
    for value in values:
        with torch.no_grad():
            model.weight.fill_(value)
        average.add(when)


def averaged(average, model):
    with average.applied():
        return float(model.weight.detach()[0, 0])


def test_checkpoints_are_averaged_evenly(model):
    average = WeightAverage(model, "checkpoints")
    see(average, model, [1.0, 2.0, 6.0], "checkpoints")
    see(average, model, [100.0], "ema")
    assert averaged(average, model) == pytest.approx(3.0)
    assert float(model.weight.detach()[0, 0]) == 100.0, "its own weights again"


def test_exponential_average(model):
    average = WeightAverage(model, "ema")
    see(average, model, [float(n) for n in range(3000)], "ema")
    expected = 0.0
    for step in range(1, 3000):
        share = max(1 - DECAY, 9 / (9 + step))
        expected += share * (step - expected)
    assert averaged(average, model) == pytest.approx(expected, rel=1e-3)


def test_none_keeps_nothing(model):
    average = WeightAverage(model, "none")
    see(average, model, [1.0], "none")
    assert not average
    assert averaged(average, model) == 1.0


def test_it_is_resumed(model):
    first = WeightAverage(model, "checkpoints")
    see(first, model, [1.0, 2.0], "checkpoints")
    second = WeightAverage(model, "checkpoints")
    second.load_state_dict(first.state_dict())
    see(second, model, [6.0], "checkpoints")
    assert averaged(second, model) == pytest.approx(3.0)
