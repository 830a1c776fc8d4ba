"""Hooks that know a single task."""

import pytest
from mmdet.engine.hooks import (
    DetVisualizationHook,
    NumClassCheckHook,
    PipelineSwitchHook,
    SetEpochInfoHook,
)
from mmengine.hooks import NaiveVisualizationHook
from mmengine.visualization import Visualizer
from mmpretrain.engine.hooks import (
    ClassNumCheckHook,
    SwAVHook,
    SwitchRecipeHook,
    VisualizationHook,
)
from mmseg.engine.hooks import SegVisualizationHook

from gppf_mm.engine.hooks import (
    CheckpointHook,
    MultiTaskVisualizationHook,
    TaskHook,
)
from gppf_mm.engine.runner.hook_checks import check_hooks


@pytest.fixture(autouse=True)
def _visualizer() -> None:
    Visualizer.get_instance("hook_checks")


@pytest.mark.parametrize(
    "make",
    [
        lambda: DetVisualizationHook(draw=True),
        lambda: SegVisualizationHook(draw=True),
        lambda: VisualizationHook(enable=True),
        NaiveVisualizationHook,
    ],
)
def test_drawing_a_single_task_is_refused(make):
    hook = make()
    with pytest.raises(ValueError, match=rf"{type(hook).__name__}.*MultiTaskVisual"):
        check_hooks([CheckpointHook(), hook])


def test_hooks_that_switch_the_data_are_refused():
    for hook in (PipelineSwitchHook(3, []), SwitchRecipeHook([])):
        with pytest.raises(ValueError, match=rf"{type(hook).__name__}.*not supported"):
            check_hooks([hook])


def test_hooks_that_compare_classes_are_not_needed():
    for hook in (NumClassCheckHook(), ClassNumCheckHook()):
        with pytest.raises(ValueError, match=rf"{type(hook).__name__}.*by itself"):
            check_hooks([hook])


def test_hooks_of_a_single_model_are_shown_the_way():
    shown = r"gppf_mm\.TaskHook.*hook=dict\(_scope_='mmdet', type='SetEpochInfoHook', "
    with pytest.raises(ValueError, match=shown):
        check_hooks([SetEpochInfoHook()])
    check_hooks([TaskHook("det", dict(_scope_="mmdet", type="SetEpochInfoHook"))])


def test_a_hook_that_needs_a_run_of_its_own_is_not_sent_to_a_task_hook():
    options = dict(
        batch_size=2,
        epoch_queue_starts=1,
        crops_for_assign=[0, 1],
        feat_dim=4,
        queue_length=4,
    )
    inside = TaskHook("pre", dict(_scope_="mmpretrain", type="SwAVHook", **options))
    for hook in (SwAVHook(**options), inside):
        with pytest.raises(ValueError, match=r"SwAVHook.*nor is it in a TaskHook"):
            check_hooks([hook])


def test_others_are_taken():
    """Also one that does not draw, as stock default hooks have it."""

    class MyVisualizationHook(DetVisualizationHook):
        pass

    check_hooks(
        [
            DetVisualizationHook(),
            SegVisualizationHook(),
            VisualizationHook(),
            MultiTaskVisualizationHook(draw=True),
            MyVisualizationHook(draw=True),
        ]
    )
