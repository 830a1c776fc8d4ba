"""The first stage: a recipe becomes the only task of a run."""

from mmengine.config import Config

from gppf_mm.recipes import expand, find_recipe, load_recipe

from .inputs import BATCH_SIZE
from .kinds import backbone_family, recipe_kind
from .result import RecipeCheck
from .stages import Skip, stage

TASK = "checked"


def expand_recipe(result: RecipeCheck, num_units: int) -> tuple[Config, Config]:
    """Take the first stage: read a recipe and expand it as the only task of a run.

    Args:
        result: Gets the recipe's library, kind and family.
        num_units: Units per layer.

    Returns:
        The recipe's own config and the multi-task config.

    Raises:
        Skip: If a rule says that the recipe cannot be judged.
        StageError: If the expansion fails.
    """
    with stage("expand"):
        try:
            recipe = load_recipe(result.recipe)
        except ValueError as error:
            _skip_what_is_no_recipe(result.recipe, error)
            raise
        cfg, model = recipe.cfg, recipe.cfg.model
        result.scope = recipe.scope
        result.kind = recipe_kind(recipe.scope, model)
        result.family = backbone_family(model)
        if not cfg.get("train_dataloader"):
            raise Skip("nothing to train: no `train_dataloader` in the config")
        router = dict(type="gppf_mm.TopKRouter", k=1, group="block")
        run = dict(
            tasks={TASK: dict(config=result.recipe, batch_size=BATCH_SIZE)},
            lego=dict(num_units=num_units, router=router),
        )
        full = expand(Config(run))
    return cfg, full


def _skip_what_is_no_recipe(name: str, error: ValueError) -> None:
    """Tell files that MMEngine cannot read, or that hold settings alone, by reading."""
    try:
        cfg = Config.fromfile(find_recipe(name), import_custom_modules=False)
    except Exception as broken:
        # A `_base_` that the library does not ship, say.
        kind = type(broken).__name__
        raise Skip(f"MMEngine cannot read the config: {kind}") from error
    if not isinstance(cfg.get("model"), dict) or "type" not in cfg.model:
        raise Skip("not a recipe: no model in the config") from error
