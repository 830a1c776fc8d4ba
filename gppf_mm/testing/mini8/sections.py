"""The sections of the benchmark."""

from collections.abc import Callable, Iterable

from .derived import (
    group_variants,
    norm_variants,
    over,
    scheduled,
    transformers,
    weighted,
)
from .transfer import transfer_variants
from .variants import SINGLE, STRONG, Variant, main_variants


def sections(*best: str) -> dict[str, dict[str, Variant]]:
    """Return the variants of each section, by name.

    Args:
        best: The legos of the main section that the others go on with. Defaults to
            ``'lego4_soft'`` alone.

    Raises:
        ValueError: If there is no such variant.
    """
    main = {variant.name: variant for variant in main_variants()}
    names = [name for name in main if name.startswith("lego")]
    for name in best:
        if name not in names:
            raise ValueError(
                f"`--best` has {name!r}; expected lego variants: {', '.join(names)}."
            )
    single, strong, soft = main["single"], main[STRONG], main["lego4_soft"]
    legos = [main[name] for name in best] or [soft]
    compared = (SINGLE, STRONG, *(lego.name for lego in legos))
    listed = dict(
        main=list(main.values()),
        groups=[single, strong, soft, *group_variants()],
        norms=[single, strong, *_with(legos, norm_variants)],
        schedule=[single, *_with([strong, *legos], scheduled)],
        weighting=[single, *_with([strong, *legos], weighted)],
        narrow=over("narrow_", compared),
        wide=over("wide_", compared),
        transfer=transfer_variants(main, legos),
        transformer=transformers([lego.name for lego in legos]),
    )
    return {
        section: {variant.name: variant for variant in variants}
        for section, variants in listed.items()
    }


def _with(
    legos: Iterable[Variant], derive: Callable[[Variant], list[Variant]]
) -> list[Variant]:
    """Return variants, each followed by those that are derived from it."""
    return [item for lego in legos for item in (lego, *derive(lego))]
