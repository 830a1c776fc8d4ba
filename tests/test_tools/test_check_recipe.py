import json
from pathlib import Path

from tests.runs import REPO, tool

RECIPES = [
    "mmpretrain::resnet/resnet18_8xb16_cifar10.py",
    "mmdet::centernet/centernet_tta.py",
    "mmdet::no/such.py",
]


def test_one_line_a_recipe_and_the_same_in_the_json(tmp_path: Path):
    out = tmp_path / "outcomes.json"
    script = REPO / "tools/analysis_tools/check_recipe.py"
    process = tool([script, *RECIPES, "--json", out], cwd=tmp_path)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 1, output
    lines = [line for line in output.splitlines() if line.startswith(tuple(RECIPES))]
    assert lines[0] == f"{RECIPES[0]}: ok"
    assert lines[1].startswith(f"{RECIPES[1]}: skipped: ")
    assert lines[2].startswith(f"{RECIPES[2]}: failed: expand: ")
    outcomes = json.loads(out.read_text())
    assert [item["recipe"] for item in outcomes] == RECIPES
    assert [item["status"] for item in outcomes] == ["ok", "skipped", "failed"]
