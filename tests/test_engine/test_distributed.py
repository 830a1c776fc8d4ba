"""Data-parallel training on two CPU processes over gloo."""

import os
import re
from pathlib import Path

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import distributed, multiprocessing

from gppf_mm.engine.distributed import SIMTDataParallel
from gppf_mm.models import GPPF
from tests.runs import REPO, make_tiny_toy, tiny_config, tool, write_config
from tests.stand_ins import batches, build_gppf

RANKS = 2
ROUTER = dict(type="gppf_mm.TopKRouter", k=2, group="stage")


def gradients(model: GPPF) -> dict[str, torch.Tensor | None]:
    return {name: item.grad for name, item in model.named_parameters()}


def build() -> GPPF:
    torch.manual_seed(0)
    return build_gppf(num_units=4, router=ROUTER).train()


class KeepGradients(torch.optim.SGD):
    """Notes the gradients that a step would use, and takes no step."""

    def step(self, closure=None) -> None:
        self.seen = [
            None if item.grad is None else item.grad.clone()
            for item in self.param_groups[0]["params"]
        ]


def run_rank(rank: int, folder: Path) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=RANKS
    )
    model = build()
    if rank:  # The wrapper must send rank 0's values.
        for item in model.parameters():
            item.data.add_(1)
    optimizer = KeepGradients(model.parameters(), lr=1.0)
    SIMTDataParallel(model).train_step(batches(seed=rank), OptimWrapper(optimizer))
    torch.save((optimizer.seen, dict(model.named_buffers())), folder / f"{rank}.pt")
    distributed.destroy_process_group()


def test_gradients_are_the_average_of_the_ranks(tmp_path: Path):
    multiprocessing.spawn(run_rank, (tmp_path,), nprocs=RANKS)
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in range(RANKS)]
    references = []
    for rank in range(RANKS):
        model = build()
        model.backward(
            batches(seed=rank), OptimWrapper(torch.optim.SGD(model.parameters(), lr=1))
        )
        references.append(model)
    expected = [gradients(model) for model in references]
    inactive = 0
    for index, name in enumerate(expected[0]):
        pair = [side[name] for side in expected]
        if pair[0] is None and pair[1] is None:
            assert found[0][0][index] is None
            inactive += 1
            continue
        mean = sum(item for item in pair if item is not None) / RANKS
        for seen, _ in found:
            torch.testing.assert_close(seen[index], mean, rtol=1e-5, atol=1e-6)
        assert torch.equal(found[0][0][index], found[1][0][index])
    assert inactive > 0  # Units that no task activates are not sent.
    for name, value in found[0][1].items():
        if value.is_floating_point():
            assert torch.equal(value, found[1][1][name])
            sides = [dict(model.named_buffers())[name] for model in references]
            torch.testing.assert_close(value, sum(sides) / RANKS)


@pytest.mark.slow
def test_dist_train_keeps_ranks_identical(tmp_path: Path):
    """`bash tools/dist_train.sh CONFIG 2` trains, evaluates and ends in one state."""
    make_tiny_toy(tmp_path)
    options = {"custom_hooks": [dict(type="StateDigestHook")]}
    cfg = tiny_config(tmp_path / "run", options)
    cfg.custom_imports = dict(imports=["tests.state_digest_hook"])
    config = write_config(cfg, tmp_path)
    script = REPO / "tools/dist_train.sh"
    run = tool(
        ["-c", _BASH, script, config, "2", "--work-dir", tmp_path / "run"], tmp_path
    )
    output = run.communicate(timeout=400)[0]
    assert run.returncode == 0, output
    digests = re.findall(r"rank (\d) digest (\w+)", output)
    assert sorted(rank for rank, _ in digests) == ["0", "1"]
    assert len({digest for _, digest in digests}) == 1
    assert re.search(r"Iter\(val\).*det/coco/bbox_mAP.*mean:", output)
    assert (tmp_path / "run/iter_4.pth").is_file()


# `tool` starts Python; the launcher must find the same one on PATH.
_BASH = """
import os, subprocess, sys
env = {**os.environ, "PORT": "29577"}
env["PATH"] = os.path.dirname(sys.executable) + os.pathsep + env["PATH"]
sys.exit(subprocess.call(["bash", *sys.argv[1:]], env=env))
"""
