import torch
from mmengine.logging import HistoryBuffer

from gppf_mm.testing.faults import digest


def test_a_digest_sees_every_bit_and_kind():
    base = torch.tensor([1.0, 2.0])
    others = [
        torch.nextafter(base, base + 1),
        base.double(),
        base.reshape(1, 2),
        base.flip(0),
        base.tolist(),
        base.numpy().astype("float64"),
        [base],
        {"a": base},
        {"b": base},
        torch.tensor([1.0, 2.0], dtype=torch.bfloat16),
    ]
    assert len({digest(value) for value in [base, *others]}) == len(others) + 1
    assert digest(base) == digest(torch.tensor([[1.0, 9.0], [2.0, 9.0]])[:, 0])
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1, "b": [2]}) != digest({"a": 2, "b": [1]})


def test_equal_values_at_borders_are_told_apart():
    assert digest([[1], [2, 3]]) != digest([[1, 2], [3]])
    assert digest(HistoryBuffer([1.0], [1]).data) != digest(
        HistoryBuffer([2.0], [1]).data
    )
