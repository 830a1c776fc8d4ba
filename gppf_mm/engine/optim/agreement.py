"""Where the tasks' recipes agree on a parameter that they share."""

from collections.abc import Mapping
from logging import WARNING

from mmengine.logging import print_log

from gppf_mm.models import LegoNetwork

from .multipliers import NEUTRAL, Multipliers


def agree(
    network: LegoNetwork, recipes: Mapping[str, Mapping[str, Multipliers] | None]
) -> dict[str, Multipliers]:
    """Settle the multipliers of the bank's parameters.

    The tasks that train a parameter decide; where they differ, the multiplier is 1 and
    one warning names the first such parameter (our choice).

    Args:
        network: The shared network.
        recipes: For each task the multipliers of its parameters by name, as
            `read_multipliers` gives them, or None where it has no rules.

    Returns:
        The multipliers by the parameters' names.
    """
    trained = {
        task: frozenset(network.shared_names(task)) - network.frozen_names(task)
        for task in recipes
    }
    agreed: dict[str, Multipliers] = {}
    differing: dict[str, str] = {}
    for name in (*network.bank.lego_names, *network.bank.shared_names):
        votes = {
            task: NEUTRAL if recipe is None else recipe[name]
            for task, recipe in recipes.items()
            if name in trained[task] and (recipe is None or name in recipe)
        }
        rates = {vote.lr for vote in votes.values()} or {1.0}
        decays = {vote.decay for vote in votes.values()} or {1.0}
        agreed[name] = Multipliers(
            rates.pop() if len(rates) == 1 else 1.0,
            decays.pop() if len(decays) == 1 else 1.0,
        )
        if rates or decays:
            differing[name] = ", ".join(
                f"{vote.lr:g} and {vote.decay:g} in {task!r}"
                for task, vote in votes.items()
            )
    if differing:
        name, votes_text = next(iter(differing.items()))
        print_log(
            f"The tasks' recipes differ in the multipliers of {len(differing)} "
            "parameter(s) of the bank, which get 1 where they do; the first is "
            f"{name!r}, with lr_mult and decay_mult {votes_text}. Give these tasks the "
            "same rules under `optim_wrapper.paramwise_cfg.tasks` to have them kept.",
            logger="current",
            level=WARNING,
        )
    return agreed
