"""What a distillation writes: students that survive saving, and graphs compared with the model that was trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from leaf_embed.distill import DistillConfig, distill
from leaf_embed.errors import InputError
from tests.conftest import texts
from tests.encoders.teachers import Case, build, build_backbone

QUICK = DistillConfig.quick(max_steps=12, precision="float32", holdout=0.1)


def test_a_student_that_does_not_survive_saving_is_refused_before_it_is_trained(tmp_path: Path) -> None:
    model = build(Case("modernbert"), build_backbone("modernbert", tmp_path / "backbone"))
    model[0].auto_model.layers[1].attn_norm.weight.data.normal_()
    model.save(str(tmp_path / "teacher"))
    teacher = tmp_path / "teacher"
    with pytest.raises(InputError, match=r"other vectors once it was saved and loaded .* Keep its lowest layers"):
        distill(teacher, texts(60), teacher, tmp_path / "leaf", QUICK, layers=[1])
    assert not (tmp_path / "leaf").exists()
    report = distill(teacher, texts(60), teacher, tmp_path / "leaf", QUICK, layers=[0])  # its windows are 16 tokens
    assert report.parity["float32"].min_cosine > 0.9999
