import pytest

from gppf_mm.utils.messages import (
    check_mapping,
    check_names,
    check_task_name,
    check_tasks,
    describe,
)


def test_what_is_allowed_passes() -> None:
    check_names("model.lego", ["router"], ["num_units", "router"])
    check_tasks("model.loss_weights", dict(seg=1, det=2), ["det", "seg"])
    check_task_name("coco-2017_det")


@pytest.mark.parametrize(
    ("found", "hint"), [("nums_units", "Did you mean 'num_units'"), ("zzz", None)]
)
def test_unknown_key_names_key_place_and_remedy(found: str, hint: str | None) -> None:
    with pytest.raises(ValueError, match=rf"model\.lego.*{found}") as error:
        check_names("model.lego", [found], ["num_units", "router"])
    assert "'num_units', 'router'" in str(error.value)
    assert (hint or "") in str(error.value)
    assert ("Did you mean" in str(error.value)) == (hint is not None)


@pytest.mark.parametrize("found", ["r50.pth", True, None, ["checkpoint"], 3])
def test_what_is_no_dict_is_named_with_an_example(found: object) -> None:
    with pytest.raises(TypeError, match=r"`lego\.init` is .*such as dict\(units="):
        check_mapping("lego.init", found, "dict(units='equal')")
    check_mapping("lego.init", {}, "dict(units='equal')")


@pytest.mark.parametrize(
    ("found", "named"), [(["det"], "seg"), ([], "det"), (["det", "seg", "sge"], "sge")]
)
def test_missing_and_unknown_tasks(found: list[str], named: str) -> None:
    with pytest.raises(ValueError, match=rf"val_dataloader.*'{named}'"):
        check_tasks("val_dataloader", found, ["det", "seg"])


@pytest.mark.parametrize("name", ["a.b", "a/b", "", "a b", "det\n", "train", "keys"])
def test_task_names_that_cannot_be(name: str) -> None:
    with pytest.raises(ValueError, match=r"model\.tasks"):
        check_task_name(name)


def test_an_error_without_words_is_described_by_what_failed() -> None:
    with pytest.raises(AssertionError) as empty:
        _fail([1])
    found = describe(empty.value)
    assert found == "AssertionError: raise AssertionError (in _fail)"
    assert describe(ValueError("two\nlines.")) == "ValueError: two lines"


def _fail(values: list[int]) -> None:
    if values:
        raise AssertionError
