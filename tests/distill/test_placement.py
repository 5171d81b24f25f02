"""A student lives on one device: every tensor of a step is there, and what is saved is on the CPU.

A device without data, torch's ``meta``, stands for a GPU: under :class:`OneDevice` it takes what is moved there, gives
made-up numbers where a program reads it, and refuses every operation that mixes its tensors with those of the CPU.
"""

import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from leaf_embed.distill import DistillConfig, TeacherCache, distill
from leaf_embed.distill import train as training
from leaf_embed.distill.distributed import Alone, Several, processes
from leaf_embed.distill.loss import squared_l2
from leaf_embed.distill.placement import student_device
from leaf_embed.distill.students.static import StaticStudent
from leaf_embed.distill.students.transformer import TransformerStudent
from leaf_embed.distill.train import TrainingRun
from leaf_embed.encoders.torch_models import local_device
from leaf_embed.encoders.transformer import SentenceTransformerEncoder
from leaf_embed.errors import InputError
from tests.conftest import texts

MOVES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}
CONFIG = DistillConfig.quick(max_steps=6, precision="float32", batch_size=16, warm_start_texts=50)
KINDS = ("transformer", "static")


class OneDevice(TorchDispatchMode):
    """Counts the operations on the other device, and refuses those that mix devices."""

    def __init__(self):
        super().__init__()
        self.there = self.moved = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if torch.is_inference_mode_enabled():  # there the parts of an operation are not seen by themselves
            with self:
                result = operation.decompose(*args, **(kwargs or {}))
            if result is not NotImplemented:
                return result
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
        there = any(one.is_meta for one in tensors)
        if operation is torch.ops.aten._local_scalar_dense.default and there:
            return 0.5 if tensors[0].is_floating_point() else 1
        if operation is torch.ops.aten._to_copy.default and there and kwargs.get("device") == torch.device("cpu"):
            shape, dtype = tensors[0].shape, kwargs.get("dtype") or tensors[0].dtype
            return torch.linspace(0.1, 1, shape.numel()).reshape(shape).to(dtype)
        if operation is torch.ops.aten.index.Tensor and there and tensors[-1].dtype == torch.bool:
            return tensors[0]  # a mask without data selects everything
        if operation is torch.ops.aten._coalesce.default and there:
            known = tensors[0]
            return torch.sparse_coo_tensor(known._indices(), known._values(), known.shape)._coalesced_(True)
        if operation in MOVES:
            self.moved += there or (kwargs or {}).get("device") is not None
        elif there:
            self.there += 1
            mixed = [one for one in tensors if not one.is_meta and one.dim()]
            assert not mixed, f"{operation} takes a tensor of the CPU, shape {tuple(mixed[0].shape)}"
        return operation(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def cache(teacher_path, tmp_path_factory):
    teacher = SentenceTransformerEncoder(teacher_path, precision="float32")
    found = TeacherCache(tmp_path_factory.mktemp("cache"), teacher.space)
    found.fill(texts(120), teacher)
    found.fill(StaticStudent(teacher_path, teacher.space).start_texts(), teacher)
    return found


@pytest.fixture(autouse=True)
def checkpoints(monkeypatch):
    """A checkpoint after every step."""
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)


def made(kind, teacher_path, cache, device):
    """A run on a device, with its texts."""
    if kind == "static":
        student = StaticStudent(teacher_path, cache.space)
    else:
        student = TransformerStudent(teacher_path, cache.space, CONFIG, layers=2)
    data = [student.tokenize(cache, np.arange(*span), 64) for span in ((100,), (100, 120))]
    student.model.to(device)
    return TrainingRun(student, CONFIG, "a"), data


def tensors_of(state):
    return [one for one in tree_leaves(state) if isinstance(one, torch.Tensor)]


def stop(info):
    if info.step == 4:
        raise KeyboardInterrupt


def test_mixed_devices_are_noticed():
    with OneDevice(), pytest.raises((AssertionError, RuntimeError)):
        torch.stack([torch.ones(2, device="meta"), torch.ones(2)])


@pytest.mark.parametrize("kind", KINDS)
def test_all_of_a_step_is_on_the_students_device(kind, teacher_path, cache, tmp_path):
    with OneDevice() as mode:
        run, (learned, held_out) = made(kind, teacher_path, cache, "meta")
        batch = run.student.batch(learned, np.arange(16))
        loss = squared_l2(run.student.vectors(dict(batch)), learned.targets(np.arange(16)).to("meta"))
        with pytest.raises(KeyboardInterrupt):
            run.train(learned, held_out, tmp_path / "checkpoint.pt", stop)
    assert {one.device.type for one in [*batch.values(), loss]} == {"meta"}
    assert {one.device.type for one in run.model.state_dict().values()} == {"meta"}
    moments = [one for one in tensors_of(run.optimizers.state_dict()) if one.dim()]
    assert {one.device.type for one in moments} == {"meta"}
    assert len(moments) == 2 * len([name for name, _ in run.model.named_parameters() if "pooler" not in name])
    assert mode.there > 100
    saved = tensors_of(torch.load(tmp_path / "checkpoint.pt", weights_only=True))
    assert {one.device.type for one in saved} == {"cpu"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("first", "then"), [("cpu", "meta"), ("meta", "cpu")])
def test_a_run_goes_on_on_another_device(kind, first, then, teacher_path, cache, tmp_path):
    with OneDevice(), warnings.catch_warnings():
        run, data = made(kind, teacher_path, cache, first)
        with pytest.raises(KeyboardInterrupt):
            run.train(*data, tmp_path / "checkpoint.pt", stop)
        warnings.simplefilter("ignore")  # what is loaded onto meta tensors is not kept
        run, data = made(kind, teacher_path, cache, then)
        assert run.train(*data, tmp_path / "checkpoint.pt") == 3
    held = [*run.model.state_dict().values(), *(one for one in tensors_of(run.optimizers.state_dict()) if one.dim())]
    assert {one.device.type for one in held} == {then}


@pytest.mark.parametrize("kind", KINDS)
def test_a_leaf_of_another_device_is_written_from_the_cpu(kind, teacher_path, tmp_path):
    student = "static" if kind == "static" else teacher_path
    with OneDevice() as mode:
        teacher = SentenceTransformerEncoder(teacher_path, precision="float32", device="cpu")
        report = distill(
            teacher, texts(120), student, tmp_path / "leaf", CONFIG, device="meta", layers=2, export_graphs=False
        )
    assert mode.there > 100
    assert report.steps == 6
    weights = [one for file in report.output.rglob("*.safetensors") for one in load_file(file).values()]
    assert sum(one.numel() for one in weights) >= report.parameters
    assert all(torch.isfinite(one).all() for one in weights)


class Machine:
    """What torch and a launcher say of a machine with some GPUs."""

    def __init__(self, monkeypatch, gpus, rank=None):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        for name, value in {"LOCAL_RANK": rank, "WORLD_SIZE": None if rank is None else 4}.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize(
    ("gpus", "rank", "asked", "found", "student"),
    [
        (0, None, None, None, "cpu"),
        (0, 1, None, None, "cpu"),
        (2, None, None, None, "cuda"),
        (2, None, "cuda", "cuda", "cuda"),
        (2, None, "cuda:1", "cuda:1", "cuda:1"),
        (2, None, "cpu", "cpu", "cpu"),
        (4, 3, None, "cuda:3", "cuda:3"),
        (4, 3, "cuda", "cuda:3", "cuda:3"),
        (4, 3, "cpu", "cpu", "cpu"),
        (0, None, "mps", "mps", "cpu"),
    ],
)
def test_each_process_has_its_own_gpu(monkeypatch, gpus, rank, asked, found, student):
    Machine(monkeypatch, gpus, rank)
    assert local_device(asked) == found
    assert student_device(asked) == student


@pytest.mark.parametrize(
    ("gpus", "rank", "asked", "message"),
    [
        (0, None, "gpu", "expected a device of torch"),
        (0, None, "cuda", "no GPU with CUDA"),
        (2, None, "cuda:2", "no GPU 2: torch finds 2"),
        (2, 3, None, "no GPU 3: torch finds 2"),
        (4, 3, "cuda:0", "one GPU for several processes"),
    ],
)
def test_devices_that_cannot_be(monkeypatch, teacher_path, tmp_path, gpus, rank, asked, message):
    Machine(monkeypatch, gpus, rank)
    with pytest.raises(InputError, match=message):
        student_device(asked)
    with pytest.raises(InputError, match=message):
        distill(teacher_path, texts(20), "static", tmp_path / "leaf", device=asked)
    with pytest.raises(InputError, match=message):
        SentenceTransformerEncoder(teacher_path, device=asked)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("device", "backend"), [("cuda:1", "nccl"), ("cpu", "gloo"), ("meta", "gloo")])
def test_nccl_is_for_tensors_on_gpus(monkeypatch, device, backend):
    import accelerate

    class State:
        process_index, num_processes = 1, 4

        def __init__(self, cpu, timeout):
            self.backend = "gloo" if cpu else "nccl"

    monkeypatch.setattr(accelerate, "PartialState", State)
    Machine(monkeypatch, 4, rank=1)
    group = processes(device)
    assert isinstance(group, Several)
    assert (group._state.backend, group._device) == (backend, device if backend == "nccl" else "cpu")
    Machine(monkeypatch, 4)
    assert isinstance(processes(device), Alone)
