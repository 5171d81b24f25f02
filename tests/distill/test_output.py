"""What a distillation writes: students that survive saving, and graphs compared with the model that was trained."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from leaf_embed.distill import DistillConfig, distill, output
from leaf_embed.errors import InputError
from tests.conftest import texts
from tests.encoders.teachers import Case, build, build_backbone

QUICK = DistillConfig.quick(max_steps=12, precision="float32", holdout=0.1)


def test_a_student_that_does_not_survive_saving_is_refused_before_it_is_trained(
    teacher_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = output.save_model

    def broken(model: Any, folder: Path) -> None:
        changed = copy.deepcopy(model)
        changed[0].auto_model.encoder.layer[0].attention.self.query.weight.data.zero_()
        written(changed, folder)

    monkeypatch.setattr(output, "save_model", broken)
    with pytest.raises(InputError, match=r"other vectors once it was saved and loaded .* Keep its lowest layers"):
        distill(teacher_path, texts(60), teacher_path, tmp_path / "leaf", QUICK, layers=1)
    assert not (tmp_path / "leaf").exists()


def test_padding_beyond_a_sliding_window_is_no_number_in_no_loss(tmp_path: Path) -> None:
    """Windows of 16 tokens, texts of up to 24; the graphs are compared with the model that was trained."""
    build(Case("modernbert"), build_backbone("modernbert", tmp_path / "backbone")).save(str(tmp_path / "teacher"))
    teacher = tmp_path / "teacher"
    report = distill(teacher, texts(60), teacher, tmp_path / "leaf", QUICK, layers=[1])
    assert report.parity["float32"].min_cosine > 0.9999
