from collections import OrderedDict

import pytest
import torch

from gppf_mm.testing import check, check_recipe, stock
from gppf_mm.testing.training import check_gradients
from tests.stand_ins import TASKS, batches, build_gppf, loss_of

CLASSIFIER = "mmpretrain::resnet/resnet18_8xb16_cifar10.py"
DETECTOR = "mmdet::yolox/yolox_tiny_8xb8-300e_coco.py"
SEGMENTOR = "mmseg::erfnet/erfnet_fcn_4xb4-160k_cityscapes-512x1024.py"
TOP1 = dict(type="TopKRouter", k=1)


@pytest.mark.parametrize(
    ("recipe", "kind"),
    [
        (CLASSIFIER, "classification"),
        (DETECTOR, "detection"),
        (SEGMENTOR, "semantic segmentation"),
    ],
)
def test_a_sound_recipe_is_ok_and_something_was_compared(recipe: str, kind: str):
    result = check_recipe(recipe)
    assert result.line() == "ok", result
    assert result.kind == kind
    assert result.difference <= 1e-4
    assert result.compared > 0


def _break(monkeypatch: pytest.MonkeyPatch, change) -> None:
    """Let the export return what `change` makes of the right state dict."""
    right = check.export_state_dict

    def wrong(model, task):
        return change(model, task, right(model, task))

    monkeypatch.setattr(check, "export_state_dict", wrong)


def test_an_export_of_the_wrong_units_is_caught(monkeypatch: pytest.MonkeyPatch):
    def other_units(model, task, state):
        network = model.network
        plan = network.draw(task).units()
        for name in network.bank.lego_names:
            (active,) = plan[network.groups[name]]
            state[name] = network.bank.units(name)[1 - active].detach().clone()
        return state

    _break(monkeypatch, other_units)
    result = check_recipe(CLASSIFIER)
    assert (result.status, result.stage) == ("failed", "compare")
    assert "the exported model differs by" in result.reason


def test_an_export_with_fresh_statistics_is_caught(monkeypatch: pytest.MonkeyPatch):
    def fresh(model, task, state):
        ones = {k: torch.ones_like(v) for k, v in state.items() if "running_var" in k}
        return OrderedDict({**state, **ones})

    _break(monkeypatch, fresh)
    assert check_recipe(CLASSIFIER).stage == "compare"


def test_an_incomplete_export_is_caught(monkeypatch: pytest.MonkeyPatch):
    def incomplete(model, task, state):
        state.popitem()
        return state

    _break(monkeypatch, incomplete)
    result = check_recipe(CLASSIFIER)
    assert (result.status, result.stage) == ("failed", "load")
    assert "\n" not in result.line()


def test_predictions_without_numbers_are_not_ok(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(check, "outputs_of", lambda *args: {"predict": []})
    result = check_recipe(CLASSIFIER)
    assert result.line().startswith("failed: compare: the predictions hold nothing")


def test_a_file_of_settings_is_skipped_and_a_missing_one_fails():
    settings = check_recipe("mmdet::centernet/centernet_tta.py")
    assert settings.line() == "skipped: not a recipe: no model in the config"
    missing = check_recipe("mmdet::centernet/no-such-config.py")
    assert missing.line().startswith("failed: expand: mmdet ships no config")


@pytest.mark.parametrize("stock_error", ["broken", "another reason"])
def test_what_its_own_library_cannot_do_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, stock_error: str
):
    def fail(message: str):
        def outputs_of(*args):
            raise RuntimeError(message)

        return outputs_of

    monkeypatch.setattr(check, "outputs_of", fail("broken"))
    monkeypatch.setattr(stock, "outputs_of", fail(stock_error))
    expected = {
        "broken": "skipped: its own library fails too, in predict: broken",
        "another reason": "failed: predict: broken",
    }
    assert check_recipe(CLASSIFIER).line() == expected[stock_error]


def test_gradients_of_the_active_units_alone_pass():
    model = build_gppf(TOP1, num_units=2)
    with pytest.raises(ValueError, match="no active unit has a gradient"):
        check_gradients(model, TASKS[0])
    with model.activate(TASKS[0]) as whole:
        loss_of(whole, batches()[TASKS[0]]).backward()
    check_gradients(model, TASKS[0])

    bank = model.network.bank
    name = bank.lego_names[0]
    (active,) = model.network.draw(TASKS[0]).units()[model.network.groups[name]]
    inactive = bank.units(name)[1 - active]
    inactive.grad = torch.zeros_like(inactive)
    with pytest.raises(ValueError, match="is inactive, yet trained"):
        check_gradients(model, TASKS[0])
