"""Plain attention over short texts: the fused kernel's vectors and gradients, and nothing left behind."""

import pytest
import torch

from leaf_embed.distill import attention, build_student
from leaf_embed.distill.attention import short_text_attention
from leaf_embed.distill.students.transformer import forward
from leaf_embed.encoders.transformer import SentenceTransformerEncoder


@pytest.mark.parametrize("length", [7, 64, 65])
def test_same_vectors_and_gradients(teacher_path, length, monkeypatch):
    used = []
    plain = attention._attend
    monkeypatch.setattr(attention, "_attend", lambda *a, **k: used.append(a[1].shape[2]) or plain(*a, **k))
    monkeypatch.setattr(attention, "LONGEST", 32)
    space = SentenceTransformerEncoder(teacher_path, precision="float32").space
    student = build_student(teacher_path, space, layers=2).eval()
    ids = torch.randint(5, 60, (3, min(length, 64)), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    features = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}

    def run():
        student.zero_grad()
        vectors = forward(student, dict(features), False)
        vectors[:, :3].sum().backward()
        return vectors.detach(), [p.grad.clone() for p in student.parameters() if p.grad is not None]

    vectors, gradients = run()
    with short_text_attention(student):
        again, others = run()
    assert len(used) == 2, "one call a layer"
    assert torch.allclose(vectors, again, atol=1e-5)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(gradients, others, strict=True))
    assert student[0].auto_model.config._attn_implementation == "sdpa"


def test_a_model_that_attends_otherwise_is_left_alone(teacher_path):
    space = SentenceTransformerEncoder(teacher_path, precision="float32").space
    student = build_student(teacher_path, space, layers=1)
    student[0].auto_model.set_attn_implementation("eager")
    with short_text_attention(student):
        assert student[0].auto_model.config._attn_implementation == "eager"
