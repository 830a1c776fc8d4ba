"""Fine-tuning on classes that no network has seen."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.config import Config

from gppf_mm.datasets.mini8 import FRACTIONS

from .run import Run
from .variants import SHARED, SINGLE, STRONG, Variant

HELDOUT = "heldout"
HELDOUT_CONFIG = "heldout-r18w8_mini8.py"
# Before the per cent in a variant's name.
FRACTION_MARK = "~"
# The task whose route and norms are taken: the nearest to the held-out classes.
SOURCE_TASK = "objects"
TRANSFER_ITERATIONS = 300

# What is not trained; docs/en/transfer.md has the words.
_LEGO_WAYS: dict[str, dict[str, Any]] = dict(
    copy=dict(freeze="routes"), route_only=dict(freeze="units"), both={}
)
# Keys of a router that name the tasks of the run that it trained.
_OF_TASKS = ("initial_routes", "affinity")
# The one task of a `LegoBackbone`.
_TASK = "task"


@dataclass(frozen=True)
class TransferVariant(Variant):
    """One way to start on the held-out set.

    Attributes:
        fraction: Per cent of the training images.
        source: The variant of the main section whose run it starts from; None from
            scratch.
        way: A key of the lego ways; empty where all weights are taken as they are.
    """

    fraction: int = 100
    source: Variant | None = None
    way: str = ""


def transfer_variants(
    main: Mapping[str, Variant], legos: Iterable[Variant]
) -> list[Variant]:
    """Return all ways on all fractions.

    Args:
        main: The variants of the main section.
        legos: The legos to start from.
    """
    sources: list[tuple[str, Variant | None, str]] = [("scratch", None, "")]
    sources += [(name, main[name], "") for name in (SINGLE, SHARED, STRONG)]
    sources += [
        (f"{lego.name}:{way}", lego, way) for lego in legos for way in _LEGO_WAYS
    ]
    return [
        TransferVariant(
            name=f"{name}{FRACTION_MARK}{fraction}%",
            what=f"{fraction} % of {HELDOUT}, from {name}",
            config=HELDOUT_CONFIG,
            fraction=fraction,
            source=source,
            way=way,
        )
        for fraction in FRACTIONS
        for name, source, way in sources
    ]


@dataclass(frozen=True)
class TransferRun(Run):
    """A fine-tuning run.

    Attributes:
        source: The run that it starts from, to be done before; None from scratch.
        heldout: Another stock config of mmpretrain to fine-tune, with the backbone of
            the main comparison, whose ``train_dataloader.dataset`` is read with a
            list for each fraction, ``train_<per cent>.txt``. Defaults to None, the
            held-out classes of CIFAR-10.
    """

    source: Run | None = None
    heldout: Path | None = None

    @cached_property
    def parts(self) -> dict[str, Config]:
        """The config of the run.

        Raises:
            FileNotFoundError: If the run that it starts from is not done.
        """
        variant = self.variant
        if not isinstance(variant, TransferVariant):
            raise TypeError(f"{variant.name} is no variant of the transfer section.")
        cfg = Config.fromfile(self.heldout or self.configs / variant.config)
        data = cfg.train_dataloader.dataset
        data.ann_file = f"train_{variant.fraction}.txt"
        self._set_common(cfg, self.iterations, 1)
        if self.source is not None:
            self._take(cfg, variant)
        return {HELDOUT: cfg}

    @cached_property
    def checkpoint(self) -> Path:
        """What the run starts from: a checkpoint of the source, or an export of it.

        Raises:
            FileNotFoundError: If the source's run is not done.
        """
        source = self.source
        if source is None or source.result() is None:
            raise FileNotFoundError(
                f"{self.variant.name} starts from a run of the main section that is "
                "not done. Do `--only main` first, with the same seeds, iterations "
                "and work dir."
            )
        part = SOURCE_TASK if source.variant.is_stock else "all"
        found = source.folder / part / f"iter_{source.iterations}.pth"
        if source.variant.is_stock or self.variant.way:  # type: ignore[attr-defined]
            return found
        return source.folder / f"{SOURCE_TASK}.pth"

    @property
    def has_start(self) -> bool:
        """Whether the run that it starts from, if any, is done and did not diverge."""
        if self.source is None:
            return True
        # A stock network of another task may have diverged alone.
        return SOURCE_TASK in (self.source.result() or {}).get("metrics", {})

    def result(self) -> dict[str, Any] | None:
        """Return what the run wrote at its end, None before it or its source's."""
        if self.source is not None and self.source.result() is None:
            return None
        return super().result()

    def prepare(self) -> None:
        """Write configs and facts, and export the source's task if need be."""
        super().prepare()
        source = self.source
        if source is None or self.checkpoint.is_file():
            return
        # Imports the task libraries.
        from gppf_mm.export import export_task

        trained = source.folder / "all" / f"iter_{source.iterations}.pth"
        # The written config has the tasks in the order that the run had them in.
        cfg = Config.fromfile(source.folder / "all.py")
        export_task(cfg, trained, SOURCE_TASK, self.checkpoint)

    def _take(self, cfg: Config, variant: TransferVariant) -> None:
        checkpoint = str(self.checkpoint)
        if not variant.way:
            cfg.model.backbone.init_cfg = dict(
                type="Pretrained", checkpoint=checkpoint, prefix="backbone."
            )
            return
        lego = dict(variant.source.lego) if variant.source else {}
        lego["router"], transfer = _start(lego["router"], variant.way)
        # As in configs/downstream: a route is a few numbers.
        route = dict(lr_mult=10.0, decay_mult=0.0)
        cfg.optim_wrapper.paramwise_cfg = dict(custom_keys=dict(router=route))
        cfg.custom_imports = dict(
            imports=["gppf_mm.models"], allow_failed_imports=False
        )
        cfg.model.backbone = dict(
            type="gppf_mm.LegoBackbone",
            skeleton=cfg.model.backbone.to_dict(),
            **lego,
            transfer=dict(checkpoint=checkpoint, **transfer),
        )


def _start(router: Mapping[str, Any], way: str) -> tuple[dict, dict]:
    """Return the router and the transfer by which a lego starts.

    A route that was learned is copied. One that was given is given once more: fixed
    where the route is to stay, as the first route of a router with as many active
    units where it is to learn.
    """
    others = {key: value for key, value in router.items() if key not in _OF_TASKS}
    given = others.pop("routes", None)
    if given is None:
        return others, dict(route=SOURCE_TASK, **_LEGO_WAYS[way])
    route = {_TASK: given[SOURCE_TASK]}
    if way == "copy":
        return dict(others, routes=route), dict(norms=SOURCE_TASK)
    learned = dict(type="gppf_mm.TopKRouter", k=len(route[_TASK]), init_std=0.0)
    start = {**others, **learned, "initial_routes": route}
    return start, dict(norms=SOURCE_TASK, **_LEGO_WAYS[way])
