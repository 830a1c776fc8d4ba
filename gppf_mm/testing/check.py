"""The check of one recipe, stage by stage."""

import gc
import time
from copy import deepcopy

from mmengine.config import Config
from torch import Size

from gppf_mm.export import export_config, export_state_dict
from gppf_mm.models import GPPF
from gppf_mm.registry import MODELS
from gppf_mm.utils.from_scratch import without_weights
from gppf_mm.utils.loading import load_whole
from gppf_mm.utils.seeding import seed_everything
from gppf_mm.utils.walk import find_values

from .compare import largest_difference
from .expansion import TASK, expand_recipe
from .frugal import no_random_fill
from .inputs import random_batch
from .outputs import outputs_of
from .result import RecipeCheck, first_line
from .shrink import image_sizes, shrink
from .skips import skip_error, skip_reason
from .stages import Skip, StageError, stage
from .stock import build_stock, import_library, skip_what_stock_cannot
from .training import learn

TOLERANCE = 1e-4


def check_recipe(name: str, num_units: int = 2, seed: int = 0) -> RecipeCheck:
    """Check that a stock recipe works as a task, from expansion to export.

    With two random images and no data set: expand the recipe, build it with
    ``num_units`` units of which one is active, compute the stock losses and their
    gradients, predict, export, load strictly into the stock model and compare what both
    predict. Pretrained weights are left out, so that nothing is downloaded.

    Args:
        name: The recipe, as `gppf_mm.recipes.load_recipe` takes it.
        num_units: Units per layer. Defaults to 2.
        seed: Seed of weights, images and labels. Defaults to 0.

    Returns:
        The outcome. No error of a stage is raised.
    """
    result = RecipeCheck(name)
    start = time.perf_counter()
    try:
        _run(result, num_units, seed)
    except Skip as skip:
        result.status, result.reason = "skipped", str(skip)
    except StageError as failure:
        error = failure.__cause__ or failure
        missing = skip_error(error)
        result.status = "skipped" if missing else "failed"
        result.stage = "" if missing else str(failure)
        result.reason = missing or first_line(error)
    result.seconds = round(time.perf_counter() - start, 2)
    return result


def _run(result: RecipeCheck, num_units: int, seed: int) -> None:
    cfg, full = expand_recipe(result, num_units)
    reason = skip_reason(result.scope, cfg)
    if reason:
        raise Skip(reason)
    with stage("build"):
        import_library(result.scope, full)
    model, small, batch = _learn_at_some_size(result, cfg, full, seed)
    try:
        with stage("predict"):
            found = outputs_of(model, TASK, batch, seed)
    except StageError as error:
        if not skip_error(error):
            state = export_state_dict(model, TASK)
            stock_cfg = export_config(small, TASK)
            skip_what_stock_cannot(error, stock_cfg, batch, seed, state)
        raise
    with stage("export"):
        with no_random_fill():
            state = export_state_dict(model, TASK)
        stock_cfg = export_config(small, TASK)
    del model
    gc.collect()
    with stage("load"):
        with no_random_fill():
            stock = build_stock(stock_cfg)
        load_whole(stock, state)
        del state
    with stage("compare"):
        expected = outputs_of(stock, None, batch, seed)
        result.difference, result.compared = largest_difference(found, expected)
        if not result.compared:
            raise ValueError("the predictions hold nothing to compare")
        if not result.difference <= TOLERANCE:
            raise ValueError(
                f"the exported model differs by {result.difference:.1e}, relative to "
                f"the largest value; expected at most {TOLERANCE:.0e}"
            )


def _learn_at_some_size(
    result: RecipeCheck, cfg: Config, full: Config, seed: int
) -> tuple[GPPF, Config, dict]:
    """Build the model and train it for a step, on the smallest images it takes."""
    pipeline = next(find_values(cfg.train_dataloader, "pipeline"), ())
    sizes = image_sizes(result.scope, result.kind, cfg.model, pipeline)
    for number, (size, set_img_size) in enumerate(sizes, start=1):
        result.image_size = size
        small = deepcopy(full)
        small.model.tasks[TASK] = shrink(
            without_weights(full.model.tasks[TASK]), size, set_img_size
        )
        with stage("inputs"):
            batch = random_batch(result.scope, result.kind, cfg, size, seed)
        try:
            return _learn(small, batch, seed), small, batch
        except StageError as error:
            if skip_error(error):
                raise
            if number == len(sizes):
                skip_what_stock_cannot(error, export_config(small, TASK), batch, seed)
                raise
    raise StageError("build")


def _learn(cfg: Config, batch: dict, seed: int) -> GPPF:
    with stage("build"):
        model = _build(cfg, seed)
    shapes = _shapes(model)
    with stage("loss"):
        learn(model, TASK, batch)
        if _shapes(model) != shapes:
            # EVA-02 computes its tables anew for images of another size.
            raise ValueError("images of this size change the shapes of the weights")
    return model


def _shapes(model: GPPF) -> list[Size]:
    return [value.shape for value in model.state_dict().values()]


def _build(cfg: Config, seed: int) -> GPPF:
    seed_everything(seed)
    if "backbone" not in cfg.model.tasks[TASK]:
        cfg.model.share = ["image_encoder"]
    # `init_weights` sets all but the router's few logits.
    with no_random_fill(larger_than=10_000):
        model = MODELS.build(cfg.model)
    model.init_weights()
    return model
