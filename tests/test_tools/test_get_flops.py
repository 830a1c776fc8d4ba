import json
import runpy
from pathlib import Path

from rich.console import Console

from gppf_mm.complexity import Complexity, ModelComplexity
from tests.runs import CONFIG, REPO


def test_table_and_json_have_every_task(tool_main, tmp_path: Path):
    out = tmp_path / "flops.json"
    top2 = ["model.lego.router.type=gppf_mm.TopKRouter", "model.lego.router.k=2"]
    code, _ = tool_main(
        "analysis_tools/get_flops.py", CONFIG, "--json", out, "--cfg-options", *top2
    )
    assert code == 0
    written = json.loads(out.read_text())
    shapes = {task: item["shape"] for task, item in written["tasks"].items()}
    assert shapes == dict(det=[128, 128], seg=[96, 96], cls=[64, 64])

    tasks = {task: Complexity(**item) for task, item in written["tasks"].items()}
    tool = runpy.run_path(str(REPO / "tools/analysis_tools/get_flops.py"))
    console = Console(width=110, record=True, file=(tmp_path / "out").open("w"))
    console.print(tool["make_table"](ModelComplexity(**{**written, "tasks": tasks})))
    lines = console.export_text().splitlines()
    for task, item in tasks.items():
        assert item.flops == item.stock_flops
        row = next(line for line in lines if f" {task} " in line)
        for count in (item.active, item.total, item.stock):
            assert f"{count / 1e6:.2f}" in row
