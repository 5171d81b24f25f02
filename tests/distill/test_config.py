"""Recipes from JSON: what leaves keep is valid input, and every other value is refused by name."""

import json
import re

import pytest

from leaf_embed.distill import DistillConfig
from leaf_embed.errors import InputError
from leaf_embed.format import read_leaf


@pytest.mark.parametrize(
    "config",
    [
        DistillConfig(),
        DistillConfig.static(),
        DistillConfig.quick(max_steps=7, query_share=1, mrl="rotate", precision="float32", seed=3),
    ],
)
def test_there_and_back_through_json(config):
    assert DistillConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_the_recipe_of_a_leaf(leaf_path):
    assert DistillConfig.from_dict(read_leaf(leaf_path).recipe["config"]).max_steps == 150


def test_what_is_left_out_is_a_default():
    assert DistillConfig.from_dict({}) == DistillConfig()
    assert DistillConfig.from_dict({"learning_rate": 1, "query_share": None}) == DistillConfig(learning_rate=1)


def test_removed_options_are_read_where_they_are_off():
    old = {"focal": 0.0, "averaging": "none", "prefixes": []}
    assert DistillConfig.from_dict(old | {"epochs": 3}) == DistillConfig(epochs=3)


@pytest.mark.parametrize("change", [{"focal": 1.0}, {"averaging": "ema"}, {"prefixes": [64]}])
def test_removed_options_that_are_on_are_refused(change):
    [(name, value)] = change.items()
    with pytest.raises(InputError, match=f"sets {name} to {re.escape(repr(value))}.*was removed.*leave {name} out"):
        DistillConfig.from_dict(change)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"learnig_rate": 1e-3}, "unknown field 'learnig_rate'; expected some of batch_size, learning_rate"),
        ({"batch_size": "32"}, "batch_size in the recipe is '32'; expected a whole number"),
        ({"batch_size": 3.5}, "batch_size in the recipe is 3.5; expected a whole number"),
        ({"epochs": True}, "epochs in the recipe is True; expected a whole number"),
        ({"learning_rate": None}, "learning_rate in the recipe is None; expected a number"),
        ({"max_steps": "9"}, "max_steps in the recipe is '9'; expected a whole number, or null"),
        ({"query_share": []}, r"query_share in the recipe is \[\]; expected a number, or null"),
        ({"mrl": ["rotate"]}, "mrl in the recipe is .*; expected one of none, rotate"),
        ({"mrl": "turn"}, "mrl is one of none, rotate; got 'turn'"),
        ({"token_embeddings": "frozen"}, "token_embeddings is one of lazy, dense; got 'frozen'"),
        ({"epochs": 0}, "epochs must be above 0; got 0"),
        ({"learning_rate": float("nan")}, "learning_rate in the recipe is nan; expected a number"),
        ({"weight_decay": float("inf")}, "weight_decay in the recipe is inf; expected a number"),
        ({"seed": -1}, "seed must not be negative; got -1"),
        ([["epochs", 3]], "a recipe is a JSON object of fields by name; got list"),
    ],
)
def test_what_cannot_be_a_recipe(value, message):
    with pytest.raises(InputError, match=message):
        DistillConfig.from_dict(value)


def test_recipes_from_before_token_embeddings_was_a_field_were_lazy():
    assert DistillConfig.from_dict({"epochs": 3}).token_embeddings == "lazy"
    assert DistillConfig.from_dict({"token_embeddings": "lazy"}) == DistillConfig()
    assert DistillConfig.paper().token_embeddings == "dense"


def test_fields_given_in_python_are_checked_alike():
    with pytest.raises(InputError, match=r"batch_size in the recipe is 2\.5; expected a whole number"):
        DistillConfig(batch_size=2.5)
