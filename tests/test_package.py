"""The package as it is built, installed and imported."""

import email
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from gppf_mm.version import __version__

ROOT = Path(__file__).parents[1]
NOT_SOURCES = (".*", "build", "data", "dist", "work_dirs", "*.egg-info", "__pycache__")
MIM_ENTRIES = ("configs", "tools", "model-index.yml")

BUILD = """
import sys
# Building must not need the stack.
sys.modules.update(dict.fromkeys(["torch", "mmengine", "mmcv"]))
from setuptools import build_meta
print(getattr(build_meta, "build_" + sys.argv[1])(sys.argv[2]))
"""


def build(kind: str, source: Path, out: Path) -> Path:
    out.mkdir(exist_ok=True)
    command = [sys.executable, "-c", BUILD, kind, str(out)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.split()[-1]


def run_python(
    *arguments: str, path: Path | str, cwd: Path
) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
    )


def mim_files(checkout: Path) -> set[str]:
    """Return what `.mim` of a wheel built from the checkout has to hold."""
    files = [
        file
        for entry in MIM_ENTRIES
        for file in [checkout / entry, *(checkout / entry).rglob("*")]
        if file.is_file() and file.suffix != ".pyc"
    ]
    return {f"gppf_mm/.mim/{file.relative_to(checkout).as_posix()}" for file in files}


def wheel_names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NOT_SOURCES))
    (copy / "tools" / "probe.py").write_text("")
    (copy / "configs" / "_base_" / "probe.py").write_text("probe = 7\n")
    return copy


@pytest.mark.slow
def test_wheels_hold_the_configs_and_tools_of_their_checkout(checkout, tmp_path):
    wheel = build("wheel", checkout, tmp_path / "wheel")
    names = wheel_names(wheel)
    assert {name for name in names if "/.mim/" in name} == mim_files(checkout)

    sdist = build("sdist", checkout, tmp_path / "sdist")
    shutil.unpack_archive(sdist, tmp_path / "unpacked", filter="data")
    from_sdist = build(
        "wheel", tmp_path / "unpacked" / f"gppf_mm-{__version__}", tmp_path / "again"
    )
    assert wheel_names(from_sdist) == names

    (checkout / "tools" / "probe.py").unlink()
    rebuilt = wheel_names(build("wheel", checkout, tmp_path / "wheel"))
    assert names - rebuilt == {"gppf_mm/.mim/tools/probe.py"}


@pytest.mark.slow
def test_a_wheel_replaces_nothing_that_a_user_has(checkout, tmp_path):
    wheel = build("wheel", checkout, tmp_path)
    name = f"gppf_mm-{__version__}.dist-info/METADATA"
    metadata = email.message_from_bytes(zipfile.ZipFile(wheel).read(name))
    required = [r for r in metadata.get_all("Requires-Dist") if "extra ==" not in r]
    # Neither a bound nor a package that comes in builds of its own.
    assert sorted(required) == ["numpy", "rich"]


@pytest.mark.slow
def test_a_build_names_what_the_checkout_lacks(checkout, tmp_path):
    shutil.rmtree(checkout / "tools")
    with pytest.raises(AssertionError, match=r"tools is missing.*complete checkout"):
        build("wheel", checkout, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["editable", "wheel"])
def test_config_names_reach_into_an_installed_package(checkout, tmp_path, kind):
    site = tmp_path / "site"
    zipfile.ZipFile(build(kind, checkout, tmp_path / "wheel")).extractall(site)
    package, path = site / "gppf_mm", str(site)
    if kind == "editable":
        # The distribution is in one place, the package in another.
        package, path = checkout / "gppf_mm", f"{checkout}{os.pathsep}{site}"
        link = package / ".mim" / "configs"
        assert link.is_symlink()
        assert link.resolve() == checkout.resolve() / "configs"
    (tmp_path / "heir.py").write_text("_base_ = 'gppf_mm::_base_/probe.py'\n")
    code = (
        "import gppf_mm; from mmengine.config import Config; from mmengine.hub import "
        "get_config; print(Config.fromfile('heir.py').probe, "
        "get_config('gppf_mm::_base_/probe.py').probe, gppf_mm.__file__)"
    )
    done = run_python("-c", code, path=path, cwd=tmp_path)
    assert done.stdout.strip() == f"7 7 {package / '__init__.py'}", done.stderr


def test_the_citation_and_the_changelog_name_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_import_is_light(tmp_path):
    code = "import sys, gppf_mm; print(*sys.modules)"
    done = run_python("-c", code, path=ROOT, cwd=tmp_path)
    loaded = set(done.stdout.split())
    assert "gppf_mm" in loaded, done.stderr
    heavy = {"mmdet", "mmseg", "mmpretrain", "mmengine.runner", "gppf_mm.models"}
    assert not loaded & heavy


@pytest.mark.parametrize(
    ("stub", "message"),
    [
        ("mmcv.__version__ = '1.7.2'", "mmcv 1.7.2"),
        ("sys.modules['mmcv'] = None", "none was found"),
        ("sys.modules['torch'] = None", "needs PyTorch"),
    ],
)
def test_import_under_a_wrong_stack_tells_the_remedy(tmp_path, stub, message):
    code = (
        "import sys, types; mmcv = types.ModuleType('mmcv'); mmcv.__path__ = ['/x']; "
        f"sys.modules['mmcv'] = mmcv; {stub}; import gppf_mm"
    )
    done = run_python("-c", code, path=ROOT, cwd=tmp_path)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("ImportError: gppf_mm needs")
    assert message in last
    assert "nstall" in last


def test_collect_env_prints_the_stack(tmp_path):
    arguments = ("-W", "error::RuntimeWarning", "-m", "gppf_mm.utils.collect_env")
    done = run_python(*arguments, path=ROOT, cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert f"gppf_mm: {__version__}" in lines, done.stderr

    import mmcv
    import mmdet
    import mmengine
    import torch

    assert f"PyTorch: {torch.__version__}" in lines
    assert f"MMEngine: {mmengine.__version__}" in lines
    assert f"MMCV: {mmcv.__version__}" in lines
    assert f"MMDetection: {mmdet.__version__}" in lines
    assert "MMCV ops: compiled" in lines
