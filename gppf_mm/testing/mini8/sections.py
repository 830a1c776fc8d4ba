"""The sections of the benchmark."""

from .derived import (
    group_variants,
    norm_variants,
    scheduled,
    transformers,
    weighted,
)
from .transfer import transfer_variants
from .variants import STRONG, Variant, main_variants


def sections(best: str = "lego4_soft") -> dict[str, dict[str, Variant]]:
    """Return the variants of each section, by name.

    Args:
        best: The variant of the main section that the others go on with. Defaults to
            ``'lego4_soft'``.

    Raises:
        ValueError: If there is no such variant.
    """
    main = {variant.name: variant for variant in main_variants()}
    legos = [name for name in main if name.startswith("lego")]
    if best not in legos:
        raise ValueError(
            f"`--best` is {best!r}; expected one of the lego variants: "
            f"{', '.join(legos)}."
        )
    single, strong, lego = main["single"], main[STRONG], main[best]
    soft = main["lego4_soft"]
    listed = dict(
        main=list(main.values()),
        groups=[single, strong, soft, *group_variants()],
        norms=[single, strong, lego, *norm_variants(lego)],
        schedule=[single, strong, *scheduled(strong), lego, *scheduled(lego)],
        weighting=[single, strong, lego, *weighted(lego)],
        transfer=transfer_variants(main, best),
        transformer=transformers(best),
    )
    return {
        section: {variant.name: variant for variant in variants}
        for section, variants in listed.items()
    }
