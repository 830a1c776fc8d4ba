"""What PyTorch's weights-only loading accepts and refuses once gppf_mm is imported."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.optim import OneCycleParamScheduler
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner import Runner
from torch import nn

from gppf_mm.utils.serialization import allow_checkpoint_types


class Line(BaseModel):
    """A model that fits a line."""

    def __init__(self):
        super().__init__()
        self.fit = nn.Linear(1, 1)

    def forward(self, inputs, mode="tensor"):
        x = inputs.float().reshape(-1, 1)
        return {"loss": (self.fit(x) - 2 * x).square().mean()}


def make_runner(work_dir: Path, iters: int, resume: str | None = None) -> Runner:
    loader = dict(
        dataset=[dict(inputs=float(x)) for x in range(4)],
        sampler=dict(type="DefaultSampler", shuffle=True),
        batch_size=2,
        collate_fn=dict(type="default_collate"),
    )
    return Runner(
        model=Line(),
        work_dir=str(work_dir),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=False, max_iters=iters),
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=0.1)),
        param_scheduler=[
            dict(type="LinearLR", start_factor=0.1, by_epoch=False, end=2),
            dict(type="MultiStepLR", milestones=[4], by_epoch=False),
        ],
        custom_hooks=[dict(type="EMAHook")],
        default_hooks=dict(logger=dict(type="LoggerHook", interval=2)),
        experiment_name=work_dir.name,
        default_scope=None,  # it would outlive the test
        log_level="WARNING",
        load_from=resume,
        resume=resume is not None,
    )


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    runner = make_runner(tmp_path, iters=6)
    runner.train()
    # What a metric and a user's hook may leave there.
    runner.message_hub.update_info("best_score", np.float32(0.5))
    runner.message_hub.update_info("classes", np.array(["cat", "dog"]))
    runner.save_checkpoint(str(tmp_path), "last.pth", meta=dict(fold=np.int64(3)))
    return runner


@pytest.fixture
def nothing_allowed():
    """Take the declarations of this process back for the length of a test."""
    allowed = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    yield
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(allowed)


def test_a_runners_checkpoint_loads_weights_only(runner, tmp_path, nothing_allowed):
    file = tmp_path / "last.pth"
    with pytest.raises(pickle.UnpicklingError):
        torch.load(file, weights_only=True)

    allow_checkpoint_types()
    loaded = torch.load(file, weights_only=True)
    trusted = torch.load(file, weights_only=False)
    assert loaded.keys() == trusted.keys()
    assert len(loaded["param_schedulers"]) == 2
    assert loaded["meta"] == trusted["meta"]
    assert loaded["meta"]["fold"] == 3
    info = loaded["message_hub"]["runtime_info"]
    assert info["best_score"] == np.float32(0.5)
    assert info["classes"].tolist() == ["cat", "dog"]
    losses, expected = (
        checkpoint["message_hub"]["log_scalars"]["train/loss"]
        for checkpoint in (loaded, trusted)
    )
    assert losses.data[0].tolist() == expected.data[0].tolist()
    assert losses.mean() == expected.mean()


def test_a_runner_resumes_from_its_checkpoint(runner, tmp_path):
    resumed = make_runner(tmp_path / "on", iters=8, resume=str(tmp_path / "last.pth"))
    resumed.train()
    assert resumed.iter == 8
    before, after = (
        one.message_hub.get_scalar("train/loss").data[0].tolist()
        for one in (runner, resumed)
    )
    assert len(after) == 8
    assert after[:6] == before


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_arrays_of_either_numpy_load(tmp_path, core):
    value = {"array": np.arange(3), "number": np.float64(0.5)}
    torch.save(value, tmp_path / "x.pth", _use_new_zipfile_serialization=False)
    written = (tmp_path / "x.pth").read_bytes()
    here = np.zeros(1).__reduce__()[0].__module__.removesuffix(".multiarray")
    renamed = written.replace(f"c{here}.".encode(), f"c{core}.".encode())
    assert f"c{core}.multiarray".encode() in renamed
    (tmp_path / "y.pth").write_bytes(renamed)

    loaded = torch.load(tmp_path / "y.pth", weights_only=True)
    assert loaded["array"].tolist() == [0, 1, 2]
    assert loaded["number"] == 0.5


class Malice:
    """Runs code when it is unpickled without protection."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def test_a_checkpoint_with_code_is_refused(tmp_path):
    trace = tmp_path / "trace"
    torch.save({"state_dict": {}, "extra": Malice(trace)}, tmp_path / "x.pth")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "x.pth", weights_only=True)
    assert not trace.exists()

    # The file would have done harm.
    torch.load(tmp_path / "x.pth", weights_only=False)
    assert trace.exists()


def test_an_array_of_python_objects_is_refused(tmp_path):
    torch.save(np.array([1, "a"], dtype=object), tmp_path / "x.pth")
    with pytest.raises(pickle.UnpicklingError, match="ObjectDType"):
        torch.load(tmp_path / "x.pth", weights_only=True)


# What MMEngine's schedulers cannot be built without.
SCHEDULERS = dict(
    Step=dict(step_size=1),
    MultiStep=dict(milestones=[1, 1, 3]),
    Exponential=dict(gamma=0.5),
    CosineAnnealing=dict(T_max=3),
    OneCycle=dict(eta_max=1.0, total_steps=3),
    CosineRestart=dict(periods=[2], eta_min=0.0),
)


@pytest.mark.parametrize("name", sorted(PARAM_SCHEDULERS.module_dict))
def test_the_state_of_any_scheduler_loads_weights_only(tmp_path, name):
    kind = PARAM_SCHEDULERS.get(name)
    settings = SCHEDULERS.get(re.sub("LR|Momentum|ParamScheduler", "", name), {})
    if name.endswith("ParamScheduler"):
        settings = dict(settings, param_name="lr")
    changes = [{}]
    if "OneCycle" in name:
        changes = [dict(anneal_strategy=which) for which in ("cos", "linear")]
    for change in changes:
        weights = [nn.Parameter(torch.zeros(1))]
        optimizer = torch.optim.SGD(weights, lr=0.1, momentum=0.9)
        state = kind(optimizer, **settings, **change).state_dict()
        torch.save(state, tmp_path / "x.pth")
        assert torch.load(tmp_path / "x.pth", weights_only=True) == state


class Attribute:
    """Is pickled as an attribute of another object."""

    def __init__(self, owner: object, name: str):
        self.owner, self.name = owner, name

    def __reduce__(self):
        return getattr, (self.owner, self.name)


@pytest.mark.parametrize(
    "attribute",
    [
        Attribute(HistoryBuffer, "__init__"),
        Attribute(HistoryBuffer, "register_statistics"),
        Attribute(HistoryBuffer, "_annealing_cos"),
        Attribute(OneCycleParamScheduler, "__init__"),
        Attribute(OneCycleParamScheduler, "state_dict"),
        Attribute([], "append"),
        Attribute(torch.Size, "count"),
    ],
)
def test_getattr_reaches_what_is_listed_alone(tmp_path, attribute):
    torch.save(Attribute(HistoryBuffer, "mean"), tmp_path / "x.pth")
    assert torch.load(tmp_path / "x.pth", weights_only=True) is HistoryBuffer.mean

    torch.save(attribute, tmp_path / "x.pth")
    with pytest.raises(pickle.UnpicklingError, match="asks for the attribute"):
        torch.load(tmp_path / "x.pth", weights_only=True)
