from pathlib import Path

from tests.runs import REPO, tool

RECIPE = "mmpretrain::resnet/resnet18_8xb16_cifar10.py"


def test_a_sweep_writes_its_page_and_goes_on_where_it_was(tmp_path: Path):
    def sweep() -> str:
        script = REPO / "tools/analysis_tools/sweep_recipes.py"
        options = ["--libraries", "mmpretrain", "--only", "resnet18_8xb16_cifar10"]
        options += ["--jobs", "1", "--table", tmp_path / "page.md"]
        process = tool([script, *options], cwd=tmp_path)
        output = process.communicate(timeout=300)[0]
        assert process.returncode == 0, output
        return output

    assert f"{RECIPE}: ok" in sweep()
    page = (tmp_path / "page.md").read_text()
    assert "| classification | mmpretrain | 1 | 1 | 1 | 0 | 0 | 100.0% |" in page
    assert RECIPE not in sweep()
    assert (tmp_path / "page.md").read_text() == page
