"""Lazy token embeddings: plain AdamW on the tokens that occur, nothing on the others."""

import numpy as np
import pytest
import torch

from leaf_embed.distill import DistillConfig, build_student
from leaf_embed.distill.lazy_adam import LazyAdam
from leaf_embed.distill.loss import squared_l2
from leaf_embed.distill.optimizers import Optimizers
from leaf_embed.distill.students.transformer import forward
from leaf_embed.encoders.transformer import SentenceTransformerEncoder

STEPS = 4


@pytest.fixture(scope="module")
def space(teacher_path):
    return SentenceTransformerEncoder(teacher_path, precision="float32").space


def trained(teacher_path, space, ids, dense=False, **changes):
    """A student after some steps on the same batch, lazily or by torch's own clipping and AdamW over every token."""
    student = build_student(teacher_path, space, layers=1).eval()
    config = DistillConfig(weight_decay=0.0, **changes)
    optimizers = None if dense else Optimizers(student, [student[0].auto_model.get_input_embeddings()], config)
    plain = torch.optim.AdamW(student.parameters(), lr=1e-3, weight_decay=0.0) if dense else None
    target = torch.nn.functional.normalize(torch.randn(len(ids), space.dim, generator=torch.Generator().manual_seed(0)))
    features = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    for _ in range(STEPS):
        squared_l2(forward(student, dict(features), False), target).backward()
        if dense:
            torch.nn.utils.clip_grad_norm_(student.parameters(), config.max_grad_norm)
            plain.step()
            plain.zero_grad()
        else:
            optimizers.step(1e-3)
    if not dense:
        optimizers.release()
    return student


def table(student):
    return student[0].auto_model.get_input_embeddings().weight.detach()


@pytest.mark.parametrize("norm", [1e9, 0.05])
def test_lazy_equals_dense_where_every_token_occurs(teacher_path, space, norm):
    size = len(table(build_student(teacher_path, space, layers=1)))
    ids = torch.arange(size - size % 4).reshape(4, -1)[:, :40]
    lazy, dense = (trained(teacher_path, space, ids, dense=plain, max_grad_norm=norm) for plain in (False, True))
    moved = (table(dense) - table(build_student(teacher_path, space, layers=1))).abs().mean()
    assert (table(lazy) - table(dense)).abs().mean() < moved / 100
    words = ["red stone", "warm river by the tree"]
    assert np.allclose(lazy.encode(words), dense.encode(words), atol=1e-3)


def test_the_papers_recipe_is_torchs_own_adamw(teacher_path, space):
    """Every weight, token embeddings that do not occur included: those decay."""
    config = DistillConfig.paper(weight_decay=0.1, max_grad_norm=0.05)
    ids = torch.tensor([[5, 6, 7, 6]])
    features = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    ours, torchs = (build_student(teacher_path, space, layers=1).eval() for _ in range(2))
    before = table(ours).clone()
    optimizers = Optimizers(ours, [ours[0].auto_model.get_input_embeddings()], config)
    weights = [one for one in torchs.parameters() if one.requires_grad]
    groups = [{"params": [one for one in weights if one.ndim < 2], "weight_decay": 0.0}]
    groups.append({"params": [one for one in weights if one.ndim > 1], "weight_decay": 0.1})
    plain = torch.optim.AdamW(groups, lr=1e-3)
    for _ in range(STEPS):
        squared_l2(forward(ours, dict(features), False), torch.eye(space.dim)[:1]).backward()
        optimizers.step(1e-3)
        squared_l2(forward(torchs, dict(features), False), torch.eye(space.dim)[:1]).backward()
        torch.nn.utils.clip_grad_norm_(weights, 0.05)
        plain.step()
        plain.zero_grad()
    assert torch.allclose(table(ours), table(torchs), atol=1e-6)
    assert torch.allclose(table(ours)[20], before[20] * (1 - 1e-3 * 0.1) ** STEPS, atol=1e-7)
    assert not torch.equal(table(ours)[20], before[20])


def test_other_tokens_stay_exactly(teacher_path, space):
    before = table(build_student(teacher_path, space, layers=1)).clone()
    after = table(trained(teacher_path, space, torch.tensor([[5, 6, 7, 6]])))
    moved = (before != after).any(dim=1).nonzero().flatten().tolist()
    assert moved == [5, 6, 7]


def test_tables_are_released_as_other_programs_expect_them(teacher_path, space):
    student = trained(teacher_path, space, torch.tensor([[5, 6, 7, 6]]))
    embeddings = student[0].auto_model.get_input_embeddings()
    assert embeddings.weight.requires_grad
    assert not embeddings.sparse


def test_lazy_adam_equals_torchs_sparse_adam():
    generator = torch.Generator().manual_seed(0)
    tables = [torch.nn.Parameter(torch.randn(9, 4, generator=torch.Generator().manual_seed(1))) for _ in range(2)]
    optimizers = [LazyAdam(tables[:1], lr=1e-2), torch.optim.SparseAdam(tables[1:], lr=1e-2)]
    for _ in range(5):
        rows = torch.randint(0, 7, (1, 6), generator=generator)  # some of them twice
        values = torch.randn(6, 4, generator=generator)
        for table, optimizer in zip(tables, optimizers, strict=True):
            table.grad = torch.sparse_coo_tensor(rows, values, table.shape)
            optimizer.step()
    assert torch.allclose(*tables, atol=1e-6)
    assert torch.equal(tables[0][7:], torch.randn(9, 4, generator=torch.Generator().manual_seed(1))[7:])
