"""What the test tool makes of its options."""

import pytest
from mmengine.config import Config

from gppf_mm.apis import draw_predictions


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        ("gppf_mm.MultiTaskVisualizationHook", True),
        # As the config's default scope has it.
        ("MultiTaskVisualizationHook", True),
        ("mmdet.DetVisualizationHook", False),
    ],
)
def test_drawing_keeps_what_the_config_says_of_its_own_hook(kind: str, kept: bool):
    hook = dict(type=kind, score_thr=0.7)
    cfg = Config(dict(default_hooks=dict(visualization=hook)))
    draw_predictions(cfg, "show", interval=4)
    made = cfg.default_hooks.visualization
    assert made.type == "gppf_mm.MultiTaskVisualizationHook"
    assert (made.out_dir, made.interval) == ("show", 4)
    assert ("score_thr" in made) == kept
