import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from gppf_mm.testing import largest_difference


def _predictions(shift: float = 0.0) -> dict:
    boxes = torch.tensor([[0.0, 2.0, 4.0, 8.0]])
    boxes[0, 1] += shift
    return dict(
        predict=[InstanceData(bboxes=boxes, labels=torch.tensor([3]))],
        tensor=(np.array([1.0, -1.0]), "a name"),
    )


def test_the_difference_is_relative_to_the_largest_value():
    assert largest_difference(_predictions(), _predictions()) == (0.0, 6)
    worst, _ = largest_difference(_predictions(0.08), _predictions())
    assert worst == pytest.approx(0.01)


def test_small_values_are_not_excused_by_an_absolute_tolerance():
    one, other = torch.full((3,), 1e-7), torch.full((3,), 2e-7)
    assert largest_difference(one, other)[0] == pytest.approx(0.5)


def test_zeros_are_no_evidence():
    assert largest_difference([torch.zeros(9)], [torch.zeros(9)]) == (0.0, 0)
    assert largest_difference([], []) == (0.0, 0)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([torch.ones(3)], "by one of the two models alone"),
        ([torch.ones(2), torch.ones(1)], "has the shapes"),
        ([torch.ones(3), torch.tensor([torch.nan])], "finite in one"),
    ],
)
def test_other_structures_are_not_equal(found: list, message: str):
    with pytest.raises(ValueError, match=message):
        largest_difference(found, [torch.ones(3), torch.ones(1)])


def test_equal_nans_and_infinities_are_equal():
    strange = torch.tensor([torch.nan, torch.inf, -torch.inf, 1.0])
    assert largest_difference(strange, strange.clone()) == (0.0, 1)
    with pytest.raises(ValueError, match="finite in one"):
        largest_difference(strange, -strange)
