"""The parts of a config that belong together: of training, validation and test."""

from mmengine.config import Config

_PARTS = dict(
    train=("train_dataloader", "train_cfg", "optim_wrapper"),
    val=("val_dataloader", "val_cfg", "val_evaluator"),
    test=("test_dataloader", "test_cfg", "test_evaluator"),
)


def require_stage(cfg: Config, stage: str) -> None:
    """Require that a config has what a tool runs, and no other stage by halves.

    Args:
        cfg: The config.
        stage: ``'train'`` or ``'test'``, the stage that runs.

    Raises:
        ValueError: If it has not.
    """
    for name, keys in _PARTS.items():
        missing = [key for key in keys if cfg.get(key) is None]
        whole = len(missing) == len(keys)
        if missing and (name == stage or not whole):
            remedy = (
                "Those of the validation may serve: test_dataloader = val_dataloader, "
                "and so on."
                if whole and name == "test"
                else "Add what is missing; an empty dict will do for a `val_cfg` or "
                "`test_cfg`. A run without validation has None for all of its keys."
            )
            raise ValueError(
                f"The config has no {_join(missing)}, or None there; expected "
                f"{_join(keys)} together. {remedy}"
            )


def _join(keys: list[str] | tuple[str, ...]) -> str:
    *first, last = [f"`{key}`" for key in keys]
    return f"{', '.join(first)} and {last}" if first else last
