"""Export one task as a plain checkpoint and config of its stock library.

Without --task: the run of a stock config whose backbone is a gppf_mm.LegoBackbone.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

from mmengine.config import DictAction

from gppf_mm.apis import (
    DICT_ACTION_HELP,
    kind_errors,
    load_config,
    read_config,
    short_path,
)
from gppf_mm.export import ExportedTask, export_backbone, export_task


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file of the run")
    parser.add_argument("checkpoint", help="checkpoint of the run")
    parser.add_argument("--task", metavar="NAME", help="task to export")
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE.pth",
        help="checkpoint to write; the config goes beside it as FILE.py",
    )
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, help=DICT_ACTION_HELP
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with kind_errors():
        if args.task is None:
            cfg = read_config(args.config, args.cfg_options)
            exported = export_backbone(cfg, args.checkpoint, args.out)
        else:
            cfg = load_config(args.config, args.cfg_options)
            exported = export_task(cfg, args.checkpoint, args.task, args.out)
    report(f"Task {args.task!r}" if args.task else "The run", exported)


def report(what: str, exported: ExportedTask) -> None:
    print(
        f"{what} is a plain {exported.scope} model now; the stock model of the "
        "written config has loaded it strictly."
    )
    size = exported.checkpoint.stat().st_size / 2**20
    print(f"  {exported.checkpoint}  {exported.parameters:,} values, {size:.1f} MiB")
    kind = "test and training" if exported.can_train else "test, no training"
    print(f"  {exported.config}  config: {kind}")
    tool = stock_tool(exported.scope, "test")
    if tool:
        print(f"Test it: python {tool} {exported.config} {exported.checkpoint}")
    else:
        print(f"Test it with the test tool of {exported.scope}.")


def stock_tool(scope: str, name: str) -> str | None:
    """Find a tool that an installed library brings along."""
    spec = find_spec(scope)
    if spec is None or spec.origin is None:
        return None
    tool = Path(spec.origin).parent / ".mim" / "tools" / f"{name}.py"
    return short_path(tool) if tool.is_file() else None


if __name__ == "__main__":
    main()
