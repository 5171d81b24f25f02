"""Training curves reach a tracker; one that cannot be used is refused by name."""

import pytest
from accelerate.tracking import GeneralTracker

from leaf_embed.distill import DistillConfig, distill
from leaf_embed.errors import InputError
from tests.conftest import texts

CONFIG = DistillConfig.quick(max_steps=25, learning_rate=2e-3, precision="float32", holdout=0.1)


class Notebook(GeneralTracker):
    """Writes down what it is told."""

    name = "notebook"
    requires_logging_directory = False
    main_process_only = True

    def __init__(self):
        super().__init__()
        self.config, self.logged, self.ended = {}, [], False

    @property
    def tracker(self):
        return self

    def store_init_configuration(self, values):
        self.config = values

    def log(self, values, step, **options):
        self.logged.append((step, values))

    def finish(self):
        self.ended = True


def test_a_tracker_is_called_with_the_training(teacher_path, tmp_path):
    notebook = Notebook()
    distill(
        teacher_path,
        texts(200),
        teacher_path,
        tmp_path / "leaf",
        CONFIG,
        layers=1,
        export_graphs=False,
        track=[notebook],
    )
    assert [step for step, _ in notebook.logged] == [10, 20, 25]
    assert notebook.config["learning_rate"] == 2e-3
    assert notebook.ended
    first, last = notebook.logged[0][1], notebook.logged[-1][1]
    assert last["loss"] < first["loss"]
    assert last["learning_rate"] == pytest.approx(1.5e-5)
    assert 0 < last["held_out_loss"] < 2


@pytest.mark.parametrize("name", ["nobody", "comet_ml"])
def test_an_unknown_tracker_and_one_that_is_not_installed(teacher_path, tmp_path, name):
    with pytest.raises(InputError, match=name):
        distill(teacher_path, texts(50), teacher_path, tmp_path / "leaf", CONFIG, layers=1, track=[name])
    assert not (tmp_path / "leaf").exists()
