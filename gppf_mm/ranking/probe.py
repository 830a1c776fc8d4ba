"""How well frozen features separate labels."""

from collections.abc import Sequence

import numpy as np

_ALPHAS = np.logspace(-1, 4, 6)


def probe_score(
    features: np.ndarray,
    labels: Sequence[tuple[int, ...]],
    images: Sequence[int],
    folds: int = 5,
) -> float:
    """Fit a linear probe to features and test it on images that it has not seen.

    A ridge classifier with balanced classes over standardised features, its
    regularisation chosen by leave-one-out; balanced accuracy over cross-validation
    folds that part images, not rows (our choice: closed-form, and so fast and without
    a seed of its own). Where rows have several labels, the mean over the labels of the
    accuracy of telling who has it.

    Args:
        features: Of shape (M, C).
        labels: The classes of each row.
        images: The image of each row.
        folds: Number of folds. Defaults to 5.

    Returns:
        The balanced accuracy, from 0 to 1; chance is 1 over the number of classes, or
        1/2 where rows have several labels.

    Raises:
        ImportError: If scikit-learn is missing.
        ValueError: If there are too few images or classes to tell.
    """
    classes = sorted({label for row in labels for label in row})
    if all(len(row) == 1 for row in labels):
        targets = [np.array([row[0] for row in labels])]
    else:
        targets = [np.array([label in row for row in labels]) for label in classes]
    scores = [
        _accuracy(features, target, np.asarray(images), folds)
        for target in targets
        if len(np.unique(target)) > 1
    ]
    if not scores:
        raise ValueError(
            f"The images have {len(classes)} class(es); expected two or more, which a "
            "probe could tell apart. Take more images: --images."
        )
    return float(np.mean(scores))


def _accuracy(
    features: np.ndarray, target: np.ndarray, images: np.ndarray, folds: int
) -> float:
    try:
        from sklearn.linear_model import RidgeClassifierCV
        from sklearn.metrics import balanced_accuracy_score
        from sklearn.model_selection import GroupKFold, cross_val_predict
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise ImportError(
            "Ranking routes needs scikit-learn; install it: pip install scikit-learn."
        ) from error
    number = len(np.unique(images))
    if number < folds:
        raise ValueError(
            f"There are {number} labelled image(s) for {folds} folds; expected more. "
            "Take more images: --images."
        )
    probe = make_pipeline(
        StandardScaler(), RidgeClassifierCV(alphas=_ALPHAS, class_weight="balanced")
    )
    found = cross_val_predict(
        probe, features, target, groups=images, cv=GroupKFold(folds)
    )
    return float(balanced_accuracy_score(target, found))
