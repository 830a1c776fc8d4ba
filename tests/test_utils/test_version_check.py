"""The versions of the stack."""

import sys
import types
from pathlib import Path

import pytest
from packaging.requirements import Requirement as Specifier

from gppf_mm.utils.version_check import (
    MMCV,
    MMENGINE,
    TORCH,
    check_requirement,
    check_stack,
)

MMINSTALL = Path(__file__).parents[2] / "requirements" / "mminstall.txt"


def stub(monkeypatch: pytest.MonkeyPatch, module: str, version: str) -> None:
    library = types.ModuleType(module)
    library.__version__ = version
    library.__path__ = [f"/site/{module}"]
    monkeypatch.setitem(sys.modules, module, library)


def test_the_reference_stack_is_accepted():
    check_stack()


@pytest.mark.parametrize(
    ("version", "accepted"),
    [
        ("1.7.2", False),
        ("2.0.1", False),
        ("2.1.0rc1", False),
        ("2.1.0", True),
        ("2.1.5", True),
        ("2.2.0", False),
    ],
)
def test_mmcv_range(monkeypatch, version, accepted):
    stub(monkeypatch, "mmcv", version)
    if accepted:
        check_requirement(MMCV)
        return
    with pytest.raises(ImportError) as caught:
        check_requirement(MMCV)
    message = str(caught.value)
    assert f"found mmcv {version} in /site/mmcv" in message
    assert ">=2.1.0,<2.2.0" in message
    assert MMCV.remedy in message


def test_an_old_torch_is_named_with_its_remedy(monkeypatch):
    """Instead of a function of it that is not there, once a run begins."""
    stub(monkeypatch, "torch", "2.5.1+cu124")
    with pytest.raises(
        ImportError, match=r"torch>=2\.6\.0,<3\.0\.0, but found torch 2\.5"
    ):
        check_requirement(TORCH)
    stub(monkeypatch, "torch", "2.6.0+cu126")
    check_requirement(TORCH)


@pytest.mark.parametrize("requirement", [MMCV, MMENGINE], ids=lambda r: r.module)
def test_a_missing_library_is_named_with_its_remedy(monkeypatch, requirement):
    monkeypatch.setitem(sys.modules, requirement.module, None)
    with pytest.raises(ImportError, match="none was found") as caught:
        check_requirement(requirement)
    assert requirement.module in str(caught.value)
    assert requirement.remedy in str(caught.value)


def test_a_library_that_lacks_its_own_dependency_says_so_itself(monkeypatch, tmp_path):
    (tmp_path / "mmcv").mkdir()
    (tmp_path / "mmcv" / "__init__.py").write_text("import addict_of_mmcv\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mmcv")
    with pytest.raises(ModuleNotFoundError, match="addict_of_mmcv"):
        check_requirement(MMCV)


def test_the_ranges_are_those_of_mminstall():
    lines = MMINSTALL.read_text().splitlines()
    specifiers = [Specifier(line) for line in lines if line and line[0] != "#"]
    declared = {specifier.name: specifier.specifier for specifier in specifiers}
    for requirement in (MMCV, MMENGINE):
        accepted = f">={requirement.minimum},<{requirement.below}"
        assert declared[requirement.module] == Specifier(f"x{accepted}").specifier
        assert f"{requirement.module}{accepted}" in requirement.remedy
