"""Hooks that know a single task and its data set."""

from collections.abc import Iterable

from mmengine.hooks import Hook

# They would look for one task's samples in a batch that is keyed by task.
_DRAWING = (
    "mmdet.DetVisualizationHook",
    "mmdet.GroundingVisualizationHook",
    "mmdet.TrackVisualizationHook",
    "mmengine.NaiveVisualizationHook",
    "mmpretrain.VisualizationHook",
    "mmseg.SegVisualizationHook",
)
# They would change, or ask, the one data set of the run, most of them by epochs.
_REACHING = (
    "mmdet.PipelineSwitchHook",
    "mmdet.YOLOXModeSwitchHook",
    "mmpretrain.SetAdaptiveMarginsHook",
    "mmpretrain.SwitchRecipeHook",
)
# They would compare the one data set of the run with all heads.
_COMPARING = ("mmdet.NumClassCheckHook", "mmpretrain.ClassNumCheckHook")
# They would look for the parts of one task's model. A `TaskHook` shows it to them.
_OF_A_MODEL = (
    "mmdet.SetEpochInfoHook",
    "mmpretrain.DenseCLHook",
    "mmpretrain.PrepareProtoBeforeValLoopHook",
    "mmpretrain.SimSiamHook",
)
# Its queue is made and kept at the ends of a run and of its epochs, which no single
# task of a multi-task run has.
_UNSUPPORTED = ("mmpretrain.SwAVHook",)


def check_hooks(hooks: Iterable[Hook]) -> None:
    """Refuse stock hooks that would fail in the middle of a run, or do nothing.

    Args:
        hooks: The run's hooks.

    Raises:
        ValueError: If one draws one task's predictions, or works on its data set or
            compares its classes, or works on its model outside a `TaskHook`, or acts
            where a `TaskHook` does not call it.
    """
    for hook in hooks:
        stock = getattr(hook, "hook", hook)  # That of a `TaskHook`.
        # One of the user's own may know better, whatever it derives from.
        name = f"{type(stock).__module__.partition('.')[0]}.{type(stock).__name__}"
        draws = getattr(stock, "draw", getattr(stock, "enable", True))
        if name in _DRAWING and draws:
            raise ValueError(
                f"The hooks have {name!r}, which draws the predictions of a single "
                "task; expected `default_hooks.visualization` to be "
                "dict(type='gppf_mm.MultiTaskVisualizationHook', draw_val=True) or "
                "None. It draws each task's by the visualizer of its library, as does "
                "tools/test.py --show-dir."
            )
        if name in _REACHING:
            raise ValueError(
                f"The hooks have {name!r}, which works on the one data set of a run, "
                "and a multi-task run has a set for each task, in other processes. It "
                "is not supported, nor is it in a TaskHook. Take it out of "
                "`custom_hooks`; to train on with another pipeline or loss, start a "
                "second run from the checkpoint by `load_from`."
            )
        if name in _COMPARING:
            raise ValueError(
                f"The hooks have {name!r}, which compares the heads with the one data "
                "set of a run. A multi-task run compares each task's classes by "
                "itself, before it trains. Take the hook out of `custom_hooks`."
            )
        if name in _UNSUPPORTED:
            raise ValueError(
                f"The hooks have {name!r}, which acts when the run starts and when its "
                "epochs end, and a task has no run and no epochs of its own. It is not "
                "supported, nor is it in a TaskHook. Take it out of `custom_hooks`."
            )
        if name in _OF_A_MODEL and stock is hook:
            library, _, kind = name.partition(".")
            raise ValueError(
                f"The hooks have {name!r}, which works on the model of a single task; "
                "expected it in `custom_hooks` as dict(type='gppf_mm.TaskHook', "
                f"task=NAME, hook=dict(_scope_={library!r}, type={kind!r}, ...))."
            )
