"""What belongs together in a config is there together."""

import pytest
from mmengine.config import Config

from gppf_mm.apis import require_stage

TRAIN = dict(train_dataloader={}, train_cfg={}, optim_wrapper={})
TEST = dict(test_dataloader={}, test_cfg={}, test_evaluator={})


def test_a_stage_that_does_not_run_may_be_missing():
    require_stage(Config(TRAIN), "train")
    require_stage(Config(TEST | dict(val_cfg=None)), "test")


@pytest.mark.parametrize(
    ("cfg", "stage", "message"),
    [
        (TRAIN, "test", r"no `test_dataloader`, .* and `test_evaluator`.*Those of the"),
        (TEST, "train", r"no `train_dataloader`, `train_cfg` and `optim_wrapper`"),
        (TEST | dict(test_cfg=None), "test", r"no `test_cfg`, or None.*Add what"),
        (TRAIN | dict(val_cfg={}), "train", r"no `val_dataloader` and `val_eval"),
        (TEST | dict(train_cfg={}), "test", r"no `train_dataloader` and `optim"),
    ],
)
def test_what_is_missing_is_named(cfg: dict, stage: str, message: str):
    with pytest.raises(ValueError, match=message):
        require_stage(Config(cfg), stage)
